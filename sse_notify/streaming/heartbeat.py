"""The timer of a stream: heartbeats while nothing is sent, and the ends of slow and old streams.

A write does not reset the timer. The timer fires when something may be due, checks, and schedules
the next check. So a stream costs one check per heartbeat, however much it sends.
"""

from __future__ import annotations

import asyncio
import math
import random
from time import monotonic

from sse_notify.conf import get_settings
from sse_notify.streaming.limits import admission


class Timed:
    """A stream with a timer.

    Args:
        lifetime: seconds after which the stream ends, or up to a fifth earlier.
    """

    __slots__ = ("_timer", "deadline", "sending_since", "written_at")

    def __init__(self, lifetime: float) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self.deadline = monotonic() + lifetime * random.uniform(0.8, 1.0)
        #: When the last chunk was returned, and since when the server has been sending it.
        self.written_at = monotonic()
        self.sending_since: float | None = None

    def heartbeat(self) -> None:
        """Queue a heartbeat, as nothing was written for ``HEARTBEAT`` seconds."""

    def end(self, reason: str, retry_after: int | None) -> None:
        """End the stream, as its lifetime is over."""

    def abort(self, reason: str = "") -> None:
        """End the stream without a word, as a write took longer than ``SEND_TIMEOUT`` seconds."""

    def drain(self, seconds: float) -> None:
        """End the stream within ``seconds``, as the process shuts down."""

    def start_timer(self, first_heartbeat: float | None = None) -> None:
        """Start the timer.

        Args:
            first_heartbeat: seconds until the first heartbeat. ``None``: a random time from half a
                ``HEARTBEAT`` to a whole one, so that streams opened together do not write together.
        """
        interval = get_settings().HEARTBEAT
        if first_heartbeat is None:
            first_heartbeat = random.uniform(interval / 2, interval)
        self.written_at = monotonic() - interval + min(first_heartbeat, interval)
        self._check()
        # The shutdown began during this stream's handshake or view.
        if admission.draining:
            self.drain(get_settings().DRAIN_SECONDS)

    def stop_timer(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        """Do what is due, and schedule the next check."""
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
        if self.sending_since is None:
            due = min(now + conf.SEND_TIMEOUT, self.written_at + conf.HEARTBEAT)
        else:
            due = self.sending_since + conf.SEND_TIMEOUT
        seconds = max(min(due, self.deadline) - now, 0.001)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._check)
