"""The events that the stream itself sends: ``hello``, ``ping``, ``reset``, ``lost`` and ``bye``.

It also has the muted form of an event of the log.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sse_notify.sse.format import dumps, encode, encode_json

#: The version of the protocol that ``hello`` names.
VERSION = 1


def hello(cursor: int, *, retry: int, **fields: Any) -> bytes:
    """Return the first block of a stream.

    Args:
        cursor: the number after which the replay starts.
        retry: milliseconds after which the client reconnects.
        fields: ``head``, how far the log was numbered at that moment; ``state_seq``, the number of
            the inbox's newest change, ``None`` if there is none; how many notifications are
            ``unread`` and ``unseen``, up to ``head``; ``key``, which stands for the user, ``None``
            for an anonymous visitor; ``ping``, the seconds between two heartbeats.
    """
    data = {
        "v": VERSION,
        "cursor": cursor,
        **fields,
        "server_time": datetime.now(UTC).isoformat(),
    }
    # The blank line in front ends an event that was cut on an earlier connection, which a browser
    # may have kept. ``retry`` is in the block of ``hello``, as some parsers take a block of its own
    # for an event without data.
    return b"\n" + encode(dumps(data), event="hello", id=cursor, retry=retry)


@lru_cache(maxsize=16)  # as all streams of a hub send the same
def ping(cursor: int) -> bytes:
    """Return a heartbeat.

    It carries no id: only events that a client received move its cursor, no clock does.
    """
    return encode_json({"cursor": cursor}, event="ping")


def reset(reason: str, cursor: int) -> bytes:
    """Return the order to fetch the state again and go on from ``cursor``."""
    return encode_json({"reason": reason, "cursor": cursor}, event="reset", id=cursor)


def lost(count: int) -> bytes:
    """Return the number of ephemeral events that were dropped because the client was too slow."""
    return encode_json({"count": count}, event="lost")


def bye(reason: str, retry_after: int | None) -> bytes:
    """Return the last block of a stream.

    Args:
        reason: "lifetime", "drain", "logout", "revoked" or "slow".
        retry_after: milliseconds after which the client reconnects; ``None``: it does not.
    """
    return encode_json({"reason": reason, "retry_after": retry_after}, event="bye")


@lru_cache(maxsize=16)  # as all users who have muted it get the same
def muted(frame: bytes) -> bytes:
    """Return the block of a notification for a user who has muted its category: silent, and muted.

    A block is encoded once for everybody. This makes its other form without decoding it: ``silent``
    is the last field of its JSON.
    """
    before, _silent, after = frame.rpartition(b'"silent":')
    _value, end, rest = after.partition(b"}")
    return before + b'"silent":true,"muted":true' + end + rest
