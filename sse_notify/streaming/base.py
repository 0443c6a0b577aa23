"""What all streams have in common: what waits for the client, a place in the process, a timer, and an end.

One task reads a stream and writes each chunk to the socket before it reads the next.

The timer is not moved when the stream writes. It fires when something may be due, looks, and is set for what may be due next: a
stream costs one look for each heartbeat, whatever it sends meanwhile.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from time import monotonic
from typing import Any

from sse_notify.conf import get_settings
from sse_notify.sse import control
from sse_notify.streaming.limits import admission
from sse_notify.telemetry import count


class Buffer:
    """Blocks in their order, of two kinds, as what becomes of them differs when they don't fit.

    An event of the log takes all with it: half of a client's events would be worse than none, and the log has them. Ephemeral events are
    nowhere else: those that wait make room, the oldest before anything new, and the client is told how many it did not get.

    Args:
        limit: bytes that may wait.
    """

    __slots__ = ("_blocks", "_ephemeral", "_news", "limit", "lost", "size")

    def __init__(self, limit: int) -> None:
        self._blocks: list[bytes] = []
        #: Which of the blocks are ephemeral events.
        self._ephemeral: list[int] = []
        # A future for as long as the task waits: an asyncio.Event takes several times the memory.
        self._news: asyncio.Future[None] | None = None
        self.limit = limit
        self.size = 0
        #: Ephemeral events that were dropped and that the client was not told of.
        self.lost = 0

    def __bool__(self) -> bool:
        return bool(self._blocks or self.lost)

    def put(self, block: bytes) -> bool:
        """Add ``block`` and return whether it fits; empty the buffer if not."""
        fits = self._has_room(len(block))
        if fits:
            self.put_anyway(block)
        else:
            self.clear()
            self.wake()
        return fits

    def put_ephemeral(self, block: bytes) -> None:
        """Add a block that is in no log, if it fits when all others of its kind are gone."""
        if self._has_room(len(block)):
            self._ephemeral.append(len(self._blocks))
            self.put_anyway(block)
        else:
            self.lost += 1
            self.wake()

    def put_anyway(self, block: bytes) -> None:
        """Add ``block``, however much waits: the last one, or one whose sender looks at the size itself."""
        self._blocks.append(block)
        self.size += len(block)
        self.wake()

    def take(self) -> bytes:
        """Return what waits as one chunk, first how many were lost, and empty the buffer."""
        if self.lost:
            self._blocks.insert(0, control.lost(self.lost))
            count("lost", number=self.lost)
            self.lost = 0
        chunk = b"".join(self._blocks)
        self._ephemeral.clear()
        self.clear()
        return chunk

    def clear(self) -> None:
        """Empty the buffer; the ephemeral events are lost."""
        self.lost += len(self._ephemeral)
        self._ephemeral.clear()
        self._blocks.clear()
        self.size = 0

    def news(self) -> asyncio.Future[None]:
        """Return what is done with the next block, or :meth:`wake`. One task waits; it looks first whether it has to."""
        self._news = asyncio.get_running_loop().create_future()
        return self._news

    def wake(self) -> None:
        """Have the task that waits look again, if there is one."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _has_room(self, size: int) -> bool:
        """Return whether so much fits, maybe as the ephemeral events are dropped."""
        if self.size + size <= self.limit:
            return True
        gone = set(self._ephemeral)
        kept = [block for place, block in enumerate(self._blocks) if place not in gone]
        self.clear()
        self._blocks = kept
        self.size = sum(map(len, kept))
        return self.size + size <= self.limit


class BaseStream:
    """Chunks for one client. All methods are to be called on its loop.

    Args:
        feed: gives the hub of the running loop.
        subscriber: who the stream is for; ``None``: nothing is decided about it.
        buffer_bytes: bytes that may wait for the client; ``None``: as the settings say.
        lifetime: seconds after which it ends by itself, or up to a fifth earlier: clients do not all come back at once. ``None``: as the
            settings say, and never without a subscriber.

    Raises:
        HandshakeRefused: 429 or 503, see :class:`sse_notify.streaming.limits.Admission`.
    """

    __slots__ = (
        "__weakref__", "_buffer", "_ended", "_feed", "_timer", "aborted", "cancel", "closed", "deadline", "hub", "reason",
        "sending_since", "subscriber", "user_id", "written_at",
    )  # fmt: skip

    #: What is decided about streams that have topics.
    is_open = True
    topics: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        feed: Callable[[], Any],
        subscriber: Any = None,
        buffer_bytes: int | None = None,
        lifetime: float | None = None,
    ) -> None:
        conf = get_settings()
        #: Whether the stream is over, however it ended; before it has its place, too.
        self.closed = True
        self.subscriber = subscriber
        #: Whose place in the process the stream takes; ``None``: nobody's.
        self.user_id = None if subscriber is None else subscriber.user_id
        self._feed = feed
        #: The hub that it has joined.
        self.hub: Any = None
        self._buffer = Buffer(buffer_bytes or conf.BUFFER_BYTES)
        #: Whether nothing is added any more.
        self._ended = False
        #: Cancels the task that writes; called when a blocked write must be given up.
        self.cancel: Callable[[], Any] | None = None
        #: Whether a write was given up, which cancels the task.
        self.aborted = False
        #: Why the stream ended, for the counters: the reason of its ``bye``, or "client".
        self.reason = "client"
        self._timer: asyncio.TimerHandle | None = None
        if lifetime is None:
            lifetime = math.inf if subscriber is None else conf.MAX_LIFETIME
        self.deadline = monotonic() + lifetime * random.uniform(0.8, 1.0)
        #: When the last chunk was returned, and since when the server has not asked for the next.
        self.written_at = monotonic()
        self.sending_since: float | None = None
        admission.admit(self.user_id)
        self.closed = False

    def __del__(self) -> None:
        # Never served: the client left, and the server cancelled the request, while the view was still at work in its thread.
        if not self.closed:
            admission.release(self.user_id)

    @property
    def is_live(self) -> bool:
        """Whether the client has, or finds in its buffer, what came so far."""
        return True

    async def join(self) -> None:
        """Have it decided whether the stream may begin.

        Raises:
            HandshakeRefused: it may not.
        """

    async def read(self) -> bytes | None:
        """Return the next chunk of complete blocks, when there is one; ``None`` when the stream is over."""

    def heartbeat(self) -> None:
        """Write something, as nothing was written for ``HEARTBEAT`` seconds."""

    def retopic(self, reader: Any, asked: tuple[str, ...] | None) -> None:
        """Go on with what the client may read now."""

    def drain(self, seconds: float) -> None:
        """End within so many seconds, as the process does."""

    def hold(self) -> None:
        """Write nothing until :meth:`release`, as the client's permission is in question."""

    def release(self) -> None:
        """Go on after :meth:`hold`."""

    def stop_source(self) -> None:
        """Produce nothing more, as the stream ends; maybe called again when it is closed."""

    # --- the end ---

    def end(self, reason: str, retry_after: int | None) -> None:
        """Say ``bye`` and end: after what is queued, unless the client may not have that any more, or is behind.

        Args:
            reason: "lifetime", "drain", "logout", "revoked" or "slow".
            retry_after: milliseconds after which the client is to come back; ``None``: not by itself.
        """
        if self._ended:
            return
        if not self.is_live or reason in ("logout", "revoked"):
            self._buffer.clear()  # what is missing comes with the client's next stream
        self.stop_source()
        self._ended = True
        self.reason = reason
        self._buffer.put_anyway(control.bye(reason, retry_after))

    def abort(self, reason: str = "") -> None:
        """Cancel the task in the middle of whatever it writes: nothing more can be said to this client."""
        self.reason = reason or self.reason
        self.aborted = True
        if self.cancel is not None:
            self.cancel()

    def close(self) -> None:
        """Leave the hub and let go of everything. Callable any number of times, on the loop."""
        if self.closed:
            return
        self.closed = self._ended = True
        self.cancel = None
        self.stop_source()
        self.stop_timer()
        self._buffer.clear()
        self._buffer.lost = 0
        self._buffer.wake()
        admission.release(self.user_id)
        hub, self.hub = self.hub, None
        if hub is not None:
            hub.leave(self)

    # --- the timer ---

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
        self._look()
        # Its handshake was under way, or its view at work, when the process was asked to end.
        if admission.draining:
            self.drain(get_settings().DRAIN_SECONDS)

    def stop_timer(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Do what is due, and look again when something else may be."""
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
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)
