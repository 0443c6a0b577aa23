"""The messages that hubs receive, and their encoding for a channel layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from itertools import pairwise
from typing import Any

from sse_notify.sse.format import dumps

#: Bytes of frames in one channel layer message. A larger batch is split, and waiting messages are
#: joined until they have as many characters.
MESSAGE_BYTES = 256 * 1024
#: Bytes that a message or an entry takes apart from its texts.
OVERHEAD_BYTES = 200
#: Maximum number of rows that one transaction numbers. It limits how long the head stays locked,
#: and the range of a batch.
SEQUENCE_BATCH = 1000
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

    There can be fewer entries than numbers: expired rows and imported history have no frame. If
    ``first`` is ``last + 1``, it has no range: the log has entries up to ``last``, which hubs read.
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


def size(message: Message) -> int:
    """Return approximately how many bytes ``message`` takes in memory or in the channel layer."""
    if isinstance(message, Ephemeral):
        return OVERHEAD_BYTES + len(message.topic) + len(message.frame)
    if isinstance(message, Revocation):
        users = (*message.users, *message.users.values())
        return OVERHEAD_BYTES + sum(map(len, (*message.topics, *message.sessions, *users)))
    entries = message.entries if isinstance(message, Batch) else ()
    return OVERHEAD_BYTES * (1 + len(entries)) + sum(map(_entry_size, entries))


def _entry_size(entry: Entry) -> int:
    return len(entry.frame) + sum(map(len, entry.excluded))


def split(message: Message) -> Iterator[Message]:
    """Yield ``message``, in several parts if it is a large batch."""
    if not isinstance(message, Batch):
        yield message
        return
    entries: list[Entry] = []
    first, total = message.first, 0
    for entry in message.entries:
        if entries and total + len(entry.frame) > MESSAGE_BYTES:
            yield Batch(first, entry.seq - 1, tuple(entries))
            first, total, entries = entry.seq, 0, []
        entries.append(entry)
        total += _entry_size(entry)
    yield Batch(first, message.last, tuple(entries))


def pack(message: Message) -> str:
    """Return ``message`` as JSON."""
    if isinstance(message, Ephemeral):
        return dumps(["ephemeral", message.topic, message.frame.decode()])
    if isinstance(message, Revocation):
        return dumps(["revocation", *astuple(message)])
    if isinstance(message, PresenceQuery):
        return dumps(["presence", message.reply_channel])
    entries = [
        [e.seq, e.topic, e.frame.decode(), [*e.excluded], e.category] for e in message.entries
    ]
    return dumps(["batch", message.first, message.last, entries])


def unpack(packed: Any) -> Message:
    """Return the message from :func:`pack`, given what the JSON says.

    Raises:
        ValueError: it is not what :func:`pack` returns for a valid message.
    """
    match packed:
        case ["ephemeral", str(topic), str(frame)]:
            return Ephemeral(topic, frame.encode())
        case ["revocation", [*topics], [*sessions], bool(), str(), bool(), dict(users)]:
            if _are_text(*topics, *sessions, *users.values()):
                return Revocation(tuple(topics), tuple(sessions), *packed[3:])
        case ["presence", str(channel)]:
            return PresenceQuery(channel)
        case ["batch", int(first), int(last), [*entries]] if 0 < first <= last + 1:
            batch = Batch(first, last, tuple(map(_entry, entries)))
            # In order and inside the range. If the range were wider, it could hide later events.
            numbers = (first - 1, *(entry.seq for entry in batch.entries), last + 1)
            if last - first < SEQUENCE_BATCH and all(a < b for a, b in pairwise(numbers)):
                return batch
    raise ValueError("The message has another form.")


def _entry(packed: Any) -> Entry:
    match packed:
        case [int(seq), str(topic), str(frame), [*excluded], str(category)] if _are_text(*excluded):
            return Entry(seq, topic, frame.encode(), frozenset(excluded), category)
    raise ValueError("An entry of the message has another form.")


def _are_text(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
