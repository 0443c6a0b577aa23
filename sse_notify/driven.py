"""What every stream has for whoever writes it to a socket: the way to give up a write that blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sse_notify.protocols import Write


class Driven:
    """The base of the streams. Its driver is a task that reads chunks and writes them."""

    __slots__ = ("_abort", "_write", "aborted", "closed")

    def __init__(self) -> None:
        self._abort: Callable[[], Any] | None = None
        self._write: Write | None = None
        #: Whether it is over, however it ended.
        self.closed = False
        #: Whether a write of this stream was given up, which cancels its driver.
        self.aborted = False

    def driven_by(self, abort: Callable[[], Any], write: Write | None = None) -> None:
        """Have ``abort`` called when a blocked write must be given up, and ``write``, if there is one, while the driver waits for a chunk.

        A thousand streams that hear of one event are a thousand tasks to switch to. ``write`` spares them: it is called by the hub,
        one stream after the other, with what the driver would have got.
        """
        self._abort = abort
        self._write = write

    def give_up(self) -> None:
        """Cancel the driver, in the middle of whatever it writes."""
        self.aborted = True
        if self._abort is not None:
            self._abort()

    def let_go(self) -> None:
        """Forget the driver; it reads no more."""
        self.closed = True
        self._abort = self._write = None
