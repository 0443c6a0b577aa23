"""What is told to hubs, and the form in which a channel layer carries it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from typing import Any

from sse_notify.log import Batch, Entry

#: Bytes of frames in one message; a larger batch becomes several.
MESSAGE_BYTES = 256 * 1024
#: Topics and sessions that one message about permissions may name.
REVOCATION_SUBJECTS = 1000
#: Users that one answer names; a hub with more of them gives several.
ANSWER_USERS = 10_000


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """An event for whoever listens now: not in the log, without a number."""

    topic: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Revocation:
    """A permission may have changed: streams are to be looked at again, or to be ended. Never in the log."""

    topics: tuple[str, ...] = ()
    """The streams that listen to one of these: ``user:5``, ``group:3``."""
    sessions: tuple[str, ...] = ()
    """The streams that rest on one of these sessions, which are named by :func:`sse_notify.sessions.digest`."""
    everybody: bool = False
    """All streams."""
    end: str = ""
    """The reason for ``bye``, if the streams are to be ended without a look at the database."""
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
class RollCall:
    """Somebody asks every hub how it is."""

    id: str
    """Names the call in its answers."""
    channel: str = ""
    """The layer's channel for the answers of other processes; "" if they need not be asked."""
    users: bool = False
    """Whether an answer is to name the users."""
    here: Callable[[dict[str, Any]], Any] | None = field(default=None, compare=False)
    """Takes the answers of this process, from any thread."""


Message = Batch | Ephemeral | Revocation | RollCall


def pack(message: Message) -> Iterator[dict[str, Any]]:
    """Yield what a layer carries in place of ``message``: for a large batch several, each with its own stretch of numbers."""
    if isinstance(message, Ephemeral):
        yield {"topic": message.topic, "frame": message.frame}
    elif isinstance(message, Revocation):
        yield {"revocation": list(astuple(message))}
    elif isinstance(message, RollCall):
        yield {"roll_call": [message.id, message.channel, message.users]}
    else:
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
    """Return what :func:`pack` was given; ``None`` for what a newer version of this package may have sent."""
    if "topic" in message:
        return Ephemeral(message["topic"], message["frame"])
    if "revocation" in message:
        topics, sessions, *rest = message["revocation"]
        return Revocation(tuple(topics), tuple(sessions), *rest)
    if "roll_call" in message:
        return RollCall(*message["roll_call"])
    if "entries" not in message:
        return None
    entries = tuple(
        Entry(seq, topic, frame, frozenset(excluded), *category)
        for seq, topic, frame, excluded, *category in message["entries"]
    )
    return Batch(message["first"], message["last"], entries)


def parts_of(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield ``answer`` to a roll call, with at most :data:`ANSWER_USERS` of its users; then the others, each part with its ``id``."""
    users = list(answer.get("users", {}).items())
    yield {**answer, "users": dict(users[:ANSWER_USERS])}
    for start in range(ANSWER_USERS, len(users), ANSWER_USERS):
        yield {"id": answer["id"], "users": dict(users[start : start + ANSWER_USERS])}


def pack_answer(answer: dict[str, Any]) -> bytes:
    """Return ``answer`` as a layer carries it: the keys of many users take a tenth of the room."""
    return zlib.compress(json.dumps(answer).encode(), level=1)


def unpack_answer(packed: bytes) -> dict[str, Any]:
    """Return what :func:`pack_answer` was given."""
    answer: dict[str, Any] = json.loads(zlib.decompress(packed))
    return answer
