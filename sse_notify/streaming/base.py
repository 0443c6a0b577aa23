"""The base class of all streams: a buffer, admission, the timer of `heartbeat`, an orderly end.

One task reads a stream and writes each chunk to the socket before it reads the next.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

from sse_notify.conf import get_settings
from sse_notify.sse import control
from sse_notify.streaming.heartbeat import Timed
from sse_notify.streaming.limits import admission
from sse_notify.telemetry import count


class Buffer:
    """Blocks that wait for the client, in order.

    When a log event does not fit, the buffer is emptied: half of a client's events would be worse
    than none, and the log has them. Ephemeral events are stored nowhere else. The buffer drops the
    waiting ones to make room for a new block, and sends the client the number of lost events.

    Args:
        limit: bytes that may wait.
    """

    __slots__ = ("_blocks", "_ephemeral", "_news", "limit", "lost", "size")

    def __init__(self, limit: int) -> None:
        self._blocks: list[bytes] = []
        #: Indexes of the ephemeral events in ``_blocks``; ``None`` if there are none.
        self._ephemeral: list[int] | None = None
        # Set while the task waits. An asyncio.Event would take several times the memory.
        self._news: asyncio.Future[None] | None = None
        self.limit = limit
        self.size = 0
        #: Dropped ephemeral events whose number was not sent to the client yet.
        self.lost = 0

    def put(self, block: bytes) -> bool:
        """Add ``block`` and return whether it fits; if it does not, empty the buffer."""
        if self.size + len(block) > self.limit and not self._make_room(len(block)):
            self.clear()
            self.wake()
            return False
        self.put_anyway(block)
        return True

    def put_ephemeral(self, block: bytes) -> None:
        """Add an ephemeral event, if it fits after the waiting ones are dropped."""
        if self.size + len(block) > self.limit and not self._make_room(len(block)):
            self.lost += 1
            self.wake()
            return
        if self._ephemeral is None:
            self._ephemeral = []
        self._ephemeral.append(len(self._blocks))
        self.put_anyway(block)

    def put_anyway(self, block: bytes) -> None:
        """Add ``block`` beyond the limit: a last block, or one whose caller checks the size."""
        self._blocks.append(block)
        self.size += len(block)
        if self._news is not None:
            self.wake()

    def take(self) -> bytes:
        """Empty the buffer and return it as one chunk, with the number of lost events first."""
        if self.lost:
            self._blocks.insert(0, control.lost(self.lost))
            count("lost", number=self.lost)
            self.lost = 0
        chunk = b"".join(self._blocks)
        self._ephemeral = None
        self._blocks.clear()
        self.size = 0
        return chunk

    def clear(self) -> None:
        """Empty the buffer, and count its ephemeral events as lost."""
        if self._ephemeral is not None:
            self.lost += len(self._ephemeral)
            self._ephemeral = None
        self._blocks.clear()
        self.size = 0

    def news(self) -> asyncio.Future[None]:
        """Return a future that the next block or :meth:`wake` resolves.

        Only one task may wait. It must check the buffer first.
        """
        self._news = asyncio.get_running_loop().create_future()
        return self._news

    def wake(self) -> None:
        """Wake the waiting task, if there is one."""
        news, self._news = self._news, None
        if news is not None and not news.done():  # else the task was cancelled
            news.set_result(None)

    def _make_room(self, size: int) -> bool:
        """Drop the ephemeral events, and return whether ``size`` more bytes fit then."""
        gone = set(self._ephemeral or ())
        kept = [block for place, block in enumerate(self._blocks) if place not in gone]
        self.clear()
        self._blocks = kept
        self.size = sum(map(len, kept))
        return self.size + size <= self.limit


class BaseStream(Timed):
    """A stream of chunks for one client. Call all methods on its event loop.

    Args:
        feed: returns the hub of the running loop.
        subscriber: who the stream is for. ``None``: there are no permissions to check.
        buffer_bytes: bytes that may wait for the client. ``None``: ``BUFFER_BYTES``.
        lifetime: seconds after which the stream ends by itself, or up to a fifth earlier, so that
            clients do not all reconnect at once. ``None``: ``MAX_LIFETIME``, or no limit without a
            subscriber.

    Raises:
        HandshakeRefused: 429 or 503, see :class:`sse_notify.streaming.limits.Admission`.
    """

    __slots__ = ("__weakref__", "_buffer", "_ended", "_feed", "aborted", "cancel", "closed", "hub",
                 "reason", "subscriber", "user_id")  # fmt: skip

    #: Defaults for a stream without topics.
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
        #: Whether the stream has ended, for any reason, or is not admitted yet.
        self.closed = True
        self.subscriber = subscriber
        #: The user whose limit the stream counts against, if any.
        self.user_id = None if subscriber is None else subscriber.user_id
        self._feed = feed
        #: The hub that the stream has joined.
        self.hub: Any = None
        self._buffer = Buffer(buffer_bytes or conf.BUFFER_BYTES)
        #: Whether the stream accepts no more blocks.
        self._ended = False
        #: Cancels the task that writes; called to give up a blocked write.
        self.cancel: Callable[[], Any] | None = None
        #: Whether :meth:`abort` cancelled the task.
        self.aborted = False
        #: Why the stream ended, for the counters: the reason of its ``bye``, or "client".
        self.reason = "client"
        if lifetime is None:
            lifetime = math.inf if subscriber is None else conf.MAX_LIFETIME
        super().__init__(lifetime)
        admission.admit(self)
        self.closed = False

    def __del__(self) -> None:
        # Never served: the client disconnected while the view was still running in its thread.
        if not self.closed:
            admission.release(self)

    @property
    def is_live(self) -> bool:
        """Whether everything dispatched so far was sent to the client or is in its buffer."""
        return True

    async def join(self) -> None:
        """Wait for the decision whether the stream may begin.

        Raises:
            HandshakeRefused: the stream may not begin.
        """

    async def read(self) -> bytes | None:
        """Wait for a chunk of complete blocks and return it; ``None`` when the stream has ended."""

    def iterate(self) -> Iterator[bytes]:
        """Yield the chunks in the caller's thread, for WSGI."""
        yield from ()

    def retopic(self, reader: Any, asked: tuple[str, ...] | None) -> None:
        """Continue with what the client may read now."""

    def hold(self) -> None:
        """Write nothing until :meth:`release`, while the client's permission is re-checked."""

    def release(self) -> None:
        """Continue after :meth:`hold`."""

    def stop_source(self) -> None:
        """Stop producing blocks, as the stream ends. May be called more than once."""

    # --- the end ---

    def end(self, reason: str, retry_after: int | None) -> None:
        """Queue ``bye`` and end the stream.

        What is queued is sent first, unless the client has lost permission or is behind.

        Args:
            reason: as in :func:`sse_notify.sse.control.bye`.
            retry_after: milliseconds until the client reconnects. ``None``: it does not reconnect.
        """
        if self._ended:
            return
        if not self.is_live or reason in ("logout", "revoked"):
            self._buffer.clear()  # the client's next stream replays the rest
        self.stop_source()
        self._ended = True
        self.reason = reason
        self._buffer.put_anyway(control.bye(reason, retry_after))

    def abort(self, reason: str = "") -> None:
        """Cancel the task, even during a write. The client receives nothing more."""
        self.reason = reason or self.reason
        self.aborted = True
        if self.cancel is not None:
            self.cancel()

    def close(self) -> None:
        """Leave the hub and release all resources. May be called repeatedly, on the loop."""
        if self.closed:
            return
        self.closed = self._ended = True
        self.cancel = None
        self.stop_source()
        self.stop_timer()
        self._buffer.clear()
        self._buffer.lost = 0
        self._buffer.wake()
        admission.release(self)
        hub, self.hub = self.hub, None
        if hub is not None:
            hub.leave(self)
