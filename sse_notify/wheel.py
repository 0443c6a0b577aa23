"""One timer for all streams of a hub: heartbeats, lifetimes, and writes that block for too long.

A wheel with a slot for each second. A stream lies in the slot in which something may be due, is looked at once there, and is put
into the slot of its next date: a stream costs one look for each heartbeat, whatever it sends meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from sse_notify.conf import get_settings
from sse_notify.frames import ping

if TYPE_CHECKING:
    from sse_notify.conf import Settings
    from sse_notify.stream import Stream

#: Seconds between two turns.
TICK = 1.0


class Wheel:
    """The dates of the streams of one hub. All methods are to be called on its loop.

    Args:
        cursor: returns the hub's cursor, which a ``ping`` tells.
    """

    def __init__(self, cursor: Callable[[], int]) -> None:
        self._cursor = cursor
        self._slots: dict[int, list[Stream]] = {}
        self._turned = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ping: tuple[int, bytes] = (-1, b"")

    def start(self) -> None:
        """Begin to turn."""
        self._turned = int(monotonic())  # the streams' clock
        self._timer = asyncio.get_running_loop().call_later(TICK, self._turn)

    def stop(self) -> None:
        """Turn no more, and forget every stream."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._slots.clear()

    def add(self, stream: Stream) -> None:
        """Look after ``stream`` until it is closed."""
        # Spread from the start, so that streams that came in one storm do not all ping in the same second.
        stream.written_at -= random.uniform(0, get_settings().HEARTBEAT / 2)
        self._schedule(stream, get_settings())

    def _schedule(self, stream: Stream, conf: Settings) -> None:
        due = min(stream.written_at + conf.HEARTBEAT, stream.deadline)
        if stream.sending_since is not None:
            due = min(due, stream.sending_since + conf.SEND_TIMEOUT)
        # The first slot that is not before the date, and never one that was passed.
        self._slots.setdefault(max(int(due) + 1, self._turned + 1), []).append(stream)

    def _turn(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK, self._turn)
        now, conf = monotonic(), get_settings()
        for second in range(self._turned + 1, int(now) + 1):
            self._turned = second
            for stream in self._slots.pop(second, ()):
                if not stream.closed:
                    self._visit(stream, now, conf)

    def _visit(self, stream: Stream, now: float, conf: Settings) -> None:
        if stream.sending_since is not None and now - stream.sending_since >= conf.SEND_TIMEOUT:
            stream.abort("slow")
            return
        if now >= stream.deadline:
            stream.end("lifetime", random.randint(0, conf.RETRY_MS[0]))
            stream.deadline = now + conf.HEARTBEAT  # it has that long to take its leave
        elif now - stream.written_at >= conf.HEARTBEAT - TICK / 2 and stream.sending_since is None:
            stream.ping(self._ping_frame(), self._cursor())
            stream.written_at = now
        self._schedule(stream, conf)

    def _ping_frame(self) -> bytes:
        """Return the heartbeat, encoded once for all streams that get the same."""
        cursor = self._cursor()
        if self._ping[0] != cursor:
            self._ping = (cursor, ping(cursor))
        return self._ping[1]
