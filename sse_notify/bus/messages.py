"""The messages that hubs receive, and the form in which a channel layer carries them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from typing import Any

#: Bytes of frames in one layer message; a larger batch is split.
MESSAGE_BYTES = 256 * 1024
#: Topics and sessions that one message about permissions may name.
REVOCATION_SUBJECTS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One numbered event, encoded once for everybody who gets it."""

    seq: int
    topic: str
    frame: bytes
    excluded: frozenset[str] = frozenset()
    """The users, by key as text, who do not get it."""
    category: str = ""
    """The notification's category; who has muted it gets the frame's muted form."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The entries of one stretch of the log.

    ``entries`` can be fewer than the numbers: what expired has no frame, nor has history.
    """

    first: int
    last: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """An event for whoever listens now: not in the log, without a number."""

    topic: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Revocation:
    """A permission may have changed: check streams again, or end them. Never in the log."""

    topics: tuple[str, ...] = ()
    """The streams that listen to one of these: ``user:5``, ``group:3``."""
    sessions: tuple[str, ...] = ()
    """The streams of these sessions, which :func:`sse_notify.access.sessions.digest` names."""
    everybody: bool = False
    """All streams."""
    end: str = ""
    """The reason for ``bye``, if the streams are to be ended without a query."""
    again: bool = False
    """Whether the clients of streams that are ended are to come back."""
    users: dict[str, str] = field(default_factory=dict)
    """The topics of users that were saved, each with what the user looks like now: see :func:`sse_notify.access.decisions.fingerprint`.
    Nothing of a user that looked so before has changed."""


@dataclass(frozen=True, slots=True)
class PresenceQuery:
    """The question which users are connected."""

    reply_channel: str
    """The layer's channel for the answers."""


Message = Batch | Ephemeral | Revocation | PresenceQuery


def join(first: Any, then: Any) -> Revocation | None:
    """Return one message in place of two revocations, ``None`` if both messages are needed."""
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
    """Return the layer message that carries ``message``."""
    if isinstance(message, Ephemeral):
        return {"topic": message.topic, "frame": message.frame}
    if isinstance(message, Revocation):
        return {"revocation": list(astuple(message))}
    if isinstance(message, PresenceQuery):
        return {"presence": message.reply_channel}
    entries = [[e.seq, e.topic, e.frame, [*e.excluded], e.category] for e in message.entries]
    return {"first": message.first, "last": message.last, "entries": entries}


def unpack(message: dict[str, Any]) -> Message | None:
    """Return what :func:`pack` was given; ``None`` for what another version may have sent."""
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
