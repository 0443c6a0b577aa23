"""What streams and others need of each other, so that each can be tested with others: a hub, the log, a socket. Types alone, no code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sse_notify.log import Entry, Reader
    from sse_notify.stream import Stream

#: Writes a chunk at once and returns ``None``, or what is left to wait for when the client is slow. It never raises.
Write = Callable[[bytes], Awaitable[None] | None]


class Served(Protocol):
    """What a server's side needs of a stream."""

    closed: bool
    """Whether it is over, however it ended."""
    aborted: bool
    """Whether a write of it was given up, which cancels its driver."""

    async def read(self) -> bytes | None:
        """Return the next chunk, when there is one; ``None`` when the stream is over."""

    def driven_by(self, abort: Callable[[], Any], write: Write | None = None) -> None:
        """Have ``abort`` called when a blocked write must be given up; ``write`` may be called while :meth:`read` waits."""

    def close(self) -> None:
        """Let go of everything. Callable any number of times, on the loop."""


class Feed(Protocol):
    """What a stream needs of its hub."""

    cursor: int
    """Every event up to here was pushed to the streams that get it."""

    async def join(self, stream: Stream) -> int:
        """Push to ``stream`` from now on; return the cursor of that moment."""

    def leave(self, stream: Stream) -> None:
        """Push to ``stream`` no more."""

    def flush_soon(self, stream: Stream) -> None:
        """Call ``stream.flush()`` when what is being dispatched now is dispatched."""


class Source(Protocol):
    """What a stream needs of the log: :func:`sse_notify.log.read`."""

    def __call__(
        self, after: int, up_to: int, *, reader: Reader | None, limit: int
    ) -> tuple[list[Entry], int]:
        """Return the entries in between, and the number up to which they are complete."""
