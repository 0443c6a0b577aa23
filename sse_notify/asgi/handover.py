"""How a stream gets from the view that made it to the wrapper that serves it, when Django's request has ended.

Nothing here needs the apps to be loaded: `sse_notify.asgi.app` is imported before they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sse_notify.streaming.base import BaseStream

#: Where a response finds the wrapper that its request came through.
current_handover: ContextVar[Handover | None] = ContextVar("sse_notify.asgi.handover", default=None)

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
    """The streams that were made for one request, and the one of them that is its answer. The view's side may be another thread's.

    Args:
        cookies: the request's ``Cookie`` header.
    """

    __slots__ = ("_lock", "_made", "cookies", "is_over", "joins", "stream")

    def __init__(self, cookies: str) -> None:
        self._lock = threading.Lock()
        self._made: list[BaseStream] = []
        self.cookies = cookies
        #: Whether the stream joins its hub, which decides about it, before the request is answered.
        self.joins = False
        #: Whether nobody waits for a stream any more.
        self.is_over = False
        #: The stream that the response carries, once that is known.
        self.stream: BaseStream | None = None

    def offer(self, stream: BaseStream) -> None:
        """Take in a stream that a response was made with; if nobody waits for it any more, it is closed."""
        with self._lock:
            if not self.is_over:
                self._made.append(stream)
                return
        stream.close()

    def choose(self, stream: BaseStream | None) -> bool:
        """Have ``stream`` served, as the response that carries it is the answer. Return whether there is one.

        ``None``: a middleware has put another response around the body, which does not say; then the last that was made.
        """
        with self._lock:
            if stream in self._made or (stream is None and self._made):
                self.stream = stream or self._made[-1]
            return self.stream is not None

    def take(self) -> BaseStream | None:
        """Return the stream that was chosen, which from then on is the caller's, and close all others, and what still comes."""
        with self._lock:
            self.is_over = True
            made, self._made = self._made, []
            chosen, self.stream = self.stream, None
        for stream in made:
            if stream is not chosen:
                stream.close()
        return chosen

    def abandon(self) -> None:
        """Close all streams, and what still comes: nothing is served."""
        stream = self.take()
        if stream is not None:
            stream.close()
