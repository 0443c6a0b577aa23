"""What a stream needs of others, so that it can be tested with others: a hub, the log, a socket. Types alone, no code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sse_notify.log import Entry, Reader
    from sse_notify.stream import Stream

#: Writes a chunk at once and returns ``None``, or what is left to wait for when the client is slow. It never raises.
Write = Callable[[bytes], Awaitable[None] | None]


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

    def __call__(self, after: int, up_to: int, *, reader: Reader | None, limit: int) -> tuple[list[Entry], int]:
        """Return the entries in between, and the number up to which they are complete."""
