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

    def joined_with(self, other: Message) -> Revocation | None:
        """Return one message in place of this and ``other``, ``None`` if both are needed."""
        if not isinstance(other, Revocation) or (self.end, self.again) != (other.end, other.again):
            return None
        topics = tuple(dict.fromkeys((*self.topics, *other.topics)))
        sessions = tuple(dict.fromkeys((*self.sessions, *other.sessions)))
        users = {**self.users, **other.users}
        if len(topics) + len(sessions) + len(users) > REVOCATION_SUBJECTS:
            return None
        everybody = self.everybody or other.everybody
        return Revocation(topics, sessions, everybody, self.end, self.again, users)


@dataclass(frozen=True, slots=True)
class PresenceQuery:
    """The question which users are connected."""

    reply_channel: str
    """The layer's channel for the answers."""


Message = Batch | Ephemeral | Revocation | PresenceQuery


def pack(message: Message) -> Iterator[dict[str, Any]]:
    """Yield the layer messages that carry ``message``: several for a large batch."""
    match message:
        case Ephemeral():
            yield {"topic": message.topic, "frame": message.frame}
        case Revocation():
            yield {"revocation": list(astuple(message))}
        case PresenceQuery():
            yield {"presence": message.reply_channel}
        case Batch():
            yield from _pack_batch(message)


def _pack_batch(batch: Batch) -> Iterator[dict[str, Any]]:
    rows: list[list[Any]] = []
    first, size = batch.first, 0
    for entry in batch.entries:
        if rows and size + len(entry.frame) > MESSAGE_BYTES:
            yield {"first": first, "last": entry.seq - 1, "entries": rows}
            first, size, rows = entry.seq, 0, []
        rows.append([entry.seq, entry.topic, entry.frame, list(entry.excluded), entry.category])
        size += len(entry.frame)
    yield {"first": first, "last": batch.last, "entries": rows}


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
