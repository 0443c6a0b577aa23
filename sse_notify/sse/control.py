"""The events that the stream itself sends: ``hello``, ``ping``, ``reset``, ``lost`` and ``bye``.

It also makes the muted form of a notification, and announces events to the script's
``EventSource``, which ignores events whose names it does not listen to.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from sse_notify.sse.format import dumps, encode, encode_comment, encode_json

#: The version of the protocol that ``hello`` names.
VERSION = 1

#: The names that every version of the script listens to: ``NAMES`` in ``js/eventsource.js``. Do not
#: add to them. An older script then gets ``next`` before an event that it could not know.
KNOWN = frozenset(
    {"hello", "bye", "ping", "lost", "reset", "update", "remove"}
    | {"notification", "progress", "message"}
)
_FIELDS = re.compile(rb"(?:event: (.*)\n)?(?:topic: (.*)\n)?(?=data)")


def hello(
    cursor: int,
    *,
    head: int,
    state_seq: int | None,
    unread: int,
    unseen: int,
    key: str | None,
    heartbeat: float,
    retry: int,
    resumes: bool = False,
) -> bytes:
    """Return ``hello``, the first block of a stream; if the client resumes, after a ``ping``.

    WebKit's ``EventSource`` keeps the part of an event that a reset connection (RST) has cut, and
    puts it before the first event of the next connection. So that event is one whose data matters
    to nobody.

    Args:
        cursor: the number after which the replay starts.
        head: the highest number of the log at that moment.
        state_seq: the number of the inbox's newest change; ``None`` if there is none.
        unread, unseen: the numbers of these notifications up to ``head``.
        key: stands for the user; ``None`` for an anonymous visitor.
        heartbeat: seconds between two heartbeats.
        retry: milliseconds after which the client reconnects.
        resumes: whether the client sent ``Last-Event-ID``, as an ``EventSource`` that reconnects.
    """
    data = {
        "v": VERSION,
        "cursor": cursor,
        "head": head,
        "state_seq": state_seq,
        "unread": unread,
        "unseen": unseen,
        "key": key,
        "ping": heartbeat,
        "server_time": datetime.now(UTC).isoformat(),
    }
    # ``retry`` is in the block of ``hello``, because some parsers treat a separate block as an
    # event without data. The comment ends the line that was cut.
    first = encode_comment() + ping(cursor) if resumes else b""
    return first + encode(dumps(data), event="hello", id=cursor, retry=retry)


@lru_cache(maxsize=16)  # all streams of a hub send the same bytes
def ping(cursor: int) -> bytes:
    """Return a heartbeat.

    It has no id, so it does not move the client's cursor.
    """
    return encode_json({"cursor": cursor}, event="ping")


def reset(reason: str, cursor: int) -> bytes:
    """Return ``reset``: the client fetches the state again and continues from ``cursor``."""
    return encode_json({"reason": reason, "cursor": cursor}, event="reset", id=cursor)


def lost(count: int) -> bytes:
    """Return ``lost``: ``count`` ephemeral events were dropped because the client was slow."""
    return encode_json({"count": count}, event="lost")


def bye(reason: str, retry_after: int | None) -> bytes:
    """Return ``bye``, the last block of a stream.

    Args:
        reason: "lifetime", "drain", "logout", "revoked", "replaced", or what a project gave to
            :func:`sse_notify.revocation.disconnect`.
        retry_after: milliseconds after which the client reconnects; ``None``: it does not.
    """
    return encode_json({"reason": reason, "retry_after": retry_after}, event="bye")


@lru_cache(maxsize=16)  # all users who have muted it get the same bytes
def muted(frame: bytes) -> bytes:
    """Return a notification's block for a user who has muted its category: silent and muted.

    A block is encoded once for all users. This changes it without decoding it, which works because
    ``silent`` is the last field of its JSON.
    """
    before, _silent, after = frame.rpartition(b'"silent":')
    _value, end, rest = after.partition(b"}")
    return before + b'"silent":true,"muted":true' + end + rest


def with_names(chunk: bytes) -> bytes:
    """Return the blocks, with ``next`` before each that has a topic or a name outside ``KNOWN``.

    An ``EventSource`` ignores events whose names it does not listen to, and the field ``topic``.
    ``next`` contains both, so that the package's script can listen to the name before the event
    arrives, and add its topic.
    """
    parts: list[bytes] = []
    copied = start = 0
    # Look only where blocks begin: this runs on the event loop for each stream, and data is long.
    while start < len(chunk):
        match = _FIELDS.match(chunk, start)
        if match and (names := _announced(*match.groups())):
            parts += [chunk[copied:start], names]
            copied = start
        end = chunk.find(b"\n\n", start)
        start = len(chunk) if end < 0 else end + 2
    return b"".join([*parts, chunk[copied:]]) if parts else chunk


@lru_cache(maxsize=256)
def _announced(event: bytes | None, topic: bytes | None) -> bytes:
    """Return ``next`` for a block with these fields; nothing if the client knows them."""
    name = "message" if event is None else event.decode()
    if name in KNOWN and topic is None:
        return b""
    known = {"event": name, "topic": None if topic is None else topic.decode()}
    return encode_json(known, event="next")
