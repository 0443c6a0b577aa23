"""The checks of streams: heartbeats while nothing is sent, and the ends of slow and old streams.

A write does not move a stream's next check. The check looks at what is due, and says when to look
next. So a stream costs one check per heartbeat, however much it sends. All streams of an event loop
share one timer: one each would take more memory than all else that is said here.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from time import monotonic
from weakref import WeakValueDictionary

from sse_notify.conf import get_settings
from sse_notify.streaming.limits import admission

logger = logging.getLogger("sse_notify")

#: Minimum seconds between two runs of the timer, so that checks share them. None is later.
STEP = 0.5


class Timed:
    """A stream with regular checks.

    Args:
        lifetime: seconds after which the stream ends, or up to a fifth earlier.
    """

    __slots__ = ("_timer", "deadline", "due", "sending_since", "written_at")

    def __init__(self, lifetime: float) -> None:
        self._timer: _Timer | None = None
        #: When the next check is due.
        self.due = math.inf
        self.written_at = monotonic()
        self.deadline = self.written_at + lifetime * random.uniform(0.8, 1.0)
        #: When the last chunk was returned, and since when the server has been sending it.
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
        self.check(monotonic())
        loop = asyncio.get_running_loop()
        if (timer := _timers.get(id(loop))) is None:
            timer = _timers[id(loop)] = _Timer(loop)
        self._timer = timer
        timer.add(self)
        # The shutdown began during this stream's handshake or view.
        if admission.draining:
            self.drain(get_settings().DRAIN_SECONDS)

    def stop_timer(self) -> None:
        """Stop the checks."""
        if self._timer is not None:
            self._timer.remove(self)
            self._timer = None

    def check(self, now: float) -> None:
        """Do what is due, and say when the next check is."""
        conf = get_settings()
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
        self.due = min(due, self.deadline)


class _Timer:
    """One timer for the checks of all streams of an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._streams: set[Timed] = set()
        self._handle: asyncio.TimerHandle | None = None
        #: When the timer runs, and when it ran last.
        self._at, self._ran_at = math.inf, -math.inf

    def add(self, stream: Timed) -> None:
        """Check ``stream`` when it is due."""
        self._streams.add(stream)
        self._run_at(stream.due)

    def remove(self, stream: Timed) -> None:
        """Stop checking ``stream``."""
        self._streams.discard(stream)
        if not self._streams and self._handle is not None:
            self._handle.cancel()
            self._handle, self._at = None, math.inf

    def _run_at(self, due: float) -> None:
        at = max(due, self._ran_at + STEP)
        if at < self._at:
            if self._handle is not None:
                self._handle.cancel()
            seconds = max(at - monotonic(), 0.001)
            self._at, self._handle = at, self._loop.call_later(seconds, self._run)

    def _run(self) -> None:
        self._at, self._handle, self._ran_at = math.inf, None, monotonic()
        now = self._ran_at
        for stream in [each for each in self._streams if each.due <= now]:
            try:
                if stream in self._streams:  # else another's check has closed it
                    stream.due = math.inf
                    stream.check(now)
            except Exception:  # must not stop the other streams' checks
                logger.exception("A stream cannot be checked.")
        if self._streams:
            self._run_at(min(each.due for each in self._streams))


#: The timer of each event loop, by the loop's id, while one of its streams needs it.
_timers: WeakValueDictionary[int, _Timer] = WeakValueDictionary()
