"""What the app itself says on a stream, beside the events of the log: ``reset``, ``ping``, ``lost`` and ``bye``; and the muted form of those."""

from __future__ import annotations

from functools import lru_cache

from sse_notify.sse.format import encode_json


@lru_cache(maxsize=16)  # as all streams of a hub send the same
def ping(cursor: int) -> bytes:
    """Return a heartbeat. It carries no id: a client moves its cursor by what it was given, not by what a clock says."""
    return encode_json({"cursor": cursor}, event="ping")


def reset(reason: str, cursor: int) -> bytes:
    """Return the verdict that what the client has is void: it fetches its state anew and goes on from ``cursor``."""
    return encode_json({"reason": reason, "cursor": cursor}, event="reset", id=cursor)


def lost(count: int) -> bytes:
    """Return word of ephemeral events that the client did not get, as it was slower than its stream."""
    return encode_json({"count": count}, event="lost")


def bye(reason: str, retry_after: int | None) -> bytes:
    """Return the last block of a stream.

    Args:
        reason: "lifetime", "drain", "logout", "revoked" or "slow".
        retry_after: milliseconds after which the client is to come back; ``None``: not by itself.
    """
    return encode_json({"reason": reason, "retry_after": retry_after}, event="bye")


def muted(frame: bytes) -> bytes:
    """Return the block of a notification as it goes to a user who has muted its category: ``silent``, and ``muted`` as well.

    A block is encoded once for everybody; this makes the other form of it without decoding it. ``silent`` is the last field of its JSON.
    """
    before, _silent, after = frame.rpartition(b'"silent":')
    _value, end, rest = after.partition(b"}")
    return before + b'"silent":true,"muted":true' + end + rest
