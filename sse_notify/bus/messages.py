"""The messages that hubs receive, and their encoding for a channel layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from typing import Any

#: Maximum bytes of frames in one channel layer message. A larger batch is split.
MESSAGE_BYTES = 256 * 1024
#: Maximum number of topics, sessions and users that a joined revocation may name.
REVOCATION_SUBJECTS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One numbered event, encoded once for all users who get it."""

    seq: int
    topic: str
    frame: bytes
    excluded: frozenset[str] = frozenset()
    """The users who do not get it, by primary key as a string."""
    category: str = ""
    """The notification's category. Users who have muted it get the muted form of the frame."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The entries of one range of the log.

    There can be fewer entries than numbers: expired rows and imported history have no frame.
    """

    first: int
    last: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """An event for the current subscribers. It is not in the log and has no number."""

    topic: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Revocation:
    """A permission may have changed: check streams again, or end them. It is not in the log."""

    topics: tuple[str, ...] = ()
    """The streams that subscribe to one of these, for example ``user:5`` or ``group:3``."""
    sessions: tuple[str, ...] = ()
    """The streams of these sessions, as named by :func:`sse_notify.access.sessions.digest`."""
    everybody: bool = False
    """All streams."""
    end: str = ""
    """The reason in ``bye`` if streams must end without a query; "" to check them."""
    again: bool = False
    """Whether the clients of ended streams should reconnect."""
    users: dict[str, str] = field(default_factory=dict)
    """The topics of saved users, each with the user's new fingerprint: see
    :func:`sse_notify.access.decisions.fingerprint`. If the fingerprint is the same as before, the
    user's permissions have not changed.
    """


@dataclass(frozen=True, slots=True)
class PresenceQuery:
    """A request for the users who are connected."""

    reply_channel: str
    """The channel for the answers."""


Message = Batch | Ephemeral | Revocation | PresenceQuery


def join(first: Any, then: Any) -> Revocation | None:
    """Return one revocation that replaces both messages; ``None`` if both are needed."""
    if not (isinstance(first, Revocation) and isinstance(then, Revocation)):
        return None
    topics = tuple(dict.fromkeys((*first.topics, *then.topics)))
    sessions = tuple(dict.fromkeys((*first.sessions, *then.sessions)))
    users = {**first.users, **then.users}
    is_large = len(topics) + len(sessions) + len(users) > REVOCATION_SUBJECTS
    if is_large or (first.end, first.again) != (then.end, then.again):
        return None
    everybody = first.everybody or then.everybody
    return Revocation(topics, sessions, everybody, first.end, first.again, users)


def split(message: Message) -> Iterator[Message]:
    """Yield ``message``, in several parts if it is a large batch."""
    if not isinstance(message, Batch):
        yield message
        return
    entries: list[Entry] = []
    first, size = message.first, 0
    for entry in message.entries:
        if entries and size + len(entry.frame) > MESSAGE_BYTES:
            yield Batch(first, entry.seq - 1, tuple(entries))
            first, size, entries = entry.seq, 0, []
        entries.append(entry)
        size += len(entry.frame)
    yield Batch(first, message.last, tuple(entries))


def pack(message: Message) -> dict[str, Any]:
    """Return ``message`` encoded as a channel layer message."""
    if isinstance(message, Ephemeral):
        return {"topic": message.topic, "frame": message.frame}
    if isinstance(message, Revocation):
        return {"revocation": list(astuple(message))}
    if isinstance(message, PresenceQuery):
        return {"presence": message.reply_channel}
    entries = [[e.seq, e.topic, e.frame, [*e.excluded], e.category] for e in message.entries]
    return {"first": message.first, "last": message.last, "entries": entries}


def unpack(message: dict[str, Any]) -> Message | None:
    """Return the message from :func:`pack`; ``None`` if it is unknown, from another version."""
    if "topic" in message:
        return Ephemeral(message["topic"], message["frame"])
    if "revocation" in message:
        topics, sessions, *rest = message["revocation"]
        return Revocation(tuple(topics), tuple(sessions), *rest)
    if "presence" in message:
        return PresenceQuery(message["presence"])
    if "entries" not in message:
        return None
    entries = tuple(
        Entry(seq, topic, frame, frozenset(excluded), *category)
        for seq, topic, frame, excluded, *category in message["entries"]
    )
    return Batch(message["first"], message["last"], entries)
