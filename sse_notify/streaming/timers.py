"""Heartbeats, the lifetime and the write timeout of a stream, from one timer of the event loop.

The timer is not moved when the stream writes. It fires when something may be due, looks, and is set for what may be due next: a
stream costs one look for each heartbeat, whatever it sends meanwhile.
"""

from __future__ import annotations

import asyncio
import math
import random
from time import monotonic

from sse_notify.conf import get_settings


class Timed:
    """The base of whatever has heartbeats and an end. All methods are to be called on its loop.

    Args:
        lifetime: seconds after which it ends by itself, or up to a fifth earlier: clients do not all come back at once.
    """

    __slots__ = ("_timer", "deadline", "sending_since", "written_at")

    def __init__(self, lifetime: float) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self.deadline = monotonic() + lifetime * random.uniform(0.8, 1.0)
        #: When the last chunk was returned, and since when the server has not asked for the next.
        self.written_at = monotonic()
        self.sending_since: float | None = None

    def heartbeat(self) -> None:
        """Write something, as nothing was written for ``HEARTBEAT`` seconds."""
        raise NotImplementedError

    def end(self, reason: str, retry_after: int | None) -> None:
        """End, as the lifetime is over."""
        raise NotImplementedError

    def abort(self, reason: str) -> None:
        """Give up a write that has blocked for ``SEND_TIMEOUT`` seconds."""
        raise NotImplementedError

    def start_timer(self, first_heartbeat: float | None = None) -> None:
        """Begin to look.

        Args:
            first_heartbeat: seconds until the first heartbeat. ``None``: anything from half a ``HEARTBEAT`` on, so that streams that
                came in one storm do not all write in the same second.
        """
        interval = get_settings().HEARTBEAT
        if first_heartbeat is None:
            first_heartbeat = random.uniform(interval / 2, interval)
        self.written_at = monotonic() - interval + min(first_heartbeat, interval)
        self._set_timer()

    def stop_timer(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        conf, now = get_settings(), monotonic()
        due = min(self.deadline, now + conf.SEND_TIMEOUT)
        if self.sending_since is None:
            due = min(due, self.written_at + conf.HEARTBEAT)
        else:
            due = min(due, self.sending_since + conf.SEND_TIMEOUT)
        self._timer = asyncio.get_running_loop().call_later(max(due - now, 0.001), self._look)

    def _look(self) -> None:
        conf, now = get_settings(), monotonic()
        if self.sending_since is not None and now - self.sending_since >= conf.SEND_TIMEOUT:
            self.abort("slow")
            return
        if now >= self.deadline:
            self.deadline = math.inf
            self.end("lifetime", random.randint(0, conf.RETRY_MS[0]))
        elif self.sending_since is None and now - self.written_at >= conf.HEARTBEAT:
            self.heartbeat()
            self.written_at = now
        self._set_timer()
