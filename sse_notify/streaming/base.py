"""What the streams of the log and those of a view have in common: one task that reads and writes them, a slot, and an end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from sse_notify.streaming.buffer import Buffer
from sse_notify.streaming.timers import Timed


class BaseStream(Timed):
    """Chunks for one client. A task reads them and writes each to the socket before it reads the next.

    Args:
        buffer_bytes: bytes that may wait for the client.
        lifetime: seconds after which the stream ends by itself.
        subscriber: who the stream is for; ``None``: nothing is decided about it.
        on_close: called once, when the stream is over, however it ended.
    """

    __slots__ = ("__weakref__", "_buffer", "_cancel", "_on_close", "aborted", "closed", "reason", "subscriber")  # fmt: skip

    def __init__(
        self,
        *,
        buffer_bytes: int,
        lifetime: float,
        subscriber: Any = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(lifetime)
        self._buffer = Buffer(buffer_bytes)
        self.subscriber = subscriber
        self._on_close = on_close
        self._cancel: Callable[[], Any] | None = None
        #: Whether the stream is over, however it ended.
        self.closed = False
        #: Whether a write was given up, which cancels the task.
        self.aborted = False
        #: Why the stream ended, for the counters: the reason of its ``bye``, or "client".
        self.reason = "client"

    def __del__(self) -> None:
        # Never served: the client left, and the server cancelled the request, while the view was still at work in its thread.
        if not self.closed and self._on_close is not None:
            self._on_close()

    async def join(self) -> None:
        """Have it decided whether the stream may begin.

        Raises:
            HandshakeRefused: it may not.
        """

    @abstractmethod
    async def read(self) -> bytes | None:
        """Return the next chunk of complete blocks, when there is one; ``None`` when the stream is over."""

    @abstractmethod
    def end(self, reason: str, retry_after: int | None) -> None:
        """Say ``bye`` and end, after what is queued, unless the client may not have that any more.

        Args:
            reason: "lifetime", "drain", "logout", "revoked" or "slow".
            retry_after: milliseconds after which the client is to come back; ``None``: not by itself.
        """

    @abstractmethod
    def leave(self) -> None:
        """Leave the hub and let go of everything; called once, by :meth:`close`."""

    def hold(self) -> None:
        """Write nothing until :meth:`release`, as the client's permission is in question."""

    def release(self) -> None:
        """Go on after :meth:`hold`."""

    def served_by(self, cancel: Callable[[], Any]) -> None:
        """Have ``cancel``, which cancels the task that writes, called when a blocked write must be given up."""
        self._cancel = cancel

    def abort(self, reason: str) -> None:
        """Cancel the task in the middle of whatever it writes: nothing more can be said to this client."""
        self.reason = reason
        self.aborted = True
        if self._cancel is not None:
            self._cancel()

    def close(self) -> None:
        """Let go of everything. Callable any number of times, on the loop."""
        if self.closed:
            return
        self.closed = True
        self._cancel = None
        self.stop_timer()
        self.leave()
        self._buffer.wake()
        if self._on_close is not None:
            self._on_close()
