"""How a stream gets from the view that made it to the wrapper that serves it, when Django's request has ended.

Nothing here needs the apps to be loaded: `sse_notify.asgi` is imported before they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sse_notify.protocols import Served

#: Where the wrapper looks for the stream that a view hands over, in the scope; and the same for a response that knows no request.
HANDOVER = "sse_notify.handover"
current_handover: ContextVar[Handover | None] = ContextVar("sse_notify.handover", default=None)

ViewT = TypeVar("ViewT", bound=Callable[..., Any])
_MARK = "_sse_notify_event_stream"


def event_stream(view: ViewT) -> ViewT:
    """Mark a sync view that answers with an event stream: its handshake then runs in one thread hop.

    A stream from a view without the mark is served as well, after a handshake through Django's async handler.
    """
    setattr(view, _MARK, True)
    return view


def is_event_stream(view: Callable[..., Any]) -> bool:
    """Return whether ``view`` is marked; decorators that use ``functools.wraps`` keep the mark."""
    return getattr(view, _MARK, False) is True


class Handover:
    """Travels in the scope from the wrapper to the view and back. The view's side may be another thread's."""

    __slots__ = ("_lock", "is_abandoned", "stream")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Whether nobody waits for a stream any more.
        self.is_abandoned = False
        self.stream: Served | None = None

    def give(self, stream: Served) -> None:
        """Hand ``stream`` over; if nobody waits for it any more, it is closed."""
        with self._lock:
            if not self.is_abandoned:
                self.stream = stream
                return
        stream.close()

    def take(self) -> Served | None:
        """Return what was handed over; from then on it is the caller's."""
        with self._lock:
            stream, self.stream = self.stream, None
        return stream

    def abandon(self) -> Served | None:
        """As :meth:`take`, and have what still comes closed."""
        with self._lock:
            self.is_abandoned = True
            stream, self.stream = self.stream, None
        return stream
