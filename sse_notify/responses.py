"""The response that carries a stream, whichever way it is served.

Under `sse_notify.asgi.EventStreams` the response is only the envelope: the stream is handed over through an object in the scope
and served when Django's request has ended. Without it Django's own handler iterates the response; the first step then gives
back the request's database connections and its thread, which Django would keep for as long as the stream lives. Under WSGI the
body is finite and there is nothing to hold.

Deliberate oddities:

1. The body is an object with ``close()``, not an async generator: Django calls ``close()`` promptly when the client leaves while
   a write blocks, whereas a generator waits for the garbage collector.
2. ``SyncToAsync.context_to_thread_executor`` is not documented. It is read with care, and a test counts threads.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections
from django.http import JsonResponse, StreamingHttpResponse

from sse_notify import counters
from sse_notify.wire import CONTENT_TYPE

if TYPE_CHECKING:
    from django.http import HttpRequest

    from sse_notify.exceptions import HandshakeRefused
    from sse_notify.stream import Stream

logger = logging.getLogger("sse_notify")

#: Where the wrapper looks for the stream that a view hands over.
HANDOVER = "sse_notify.handover"

HEADERS = {
    "Cache-Control": "no-cache, no-store, no-transform",
    "X-Accel-Buffering": "no",
    # Says that nothing is to be encoded, which keeps GZipMiddleware and proxies from buffering.
    "Content-Encoding": "identity",
    "X-Content-Type-Options": "nosniff",
}


def refuse(refusal: HandshakeRefused) -> JsonResponse:
    """Return the answer to a handshake that is refused: JSON that no cache keeps."""
    counters.add("refused", refusal.code)
    response = JsonResponse({"error": refusal.code, "message": refusal.message}, status=refusal.status)
    response["Cache-Control"] = "no-store"
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response


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
        self.stream: Stream | None = None

    def give(self, stream: Stream) -> None:
        """Hand ``stream`` over; if nobody waits for it any more, it is closed."""
        with self._lock:
            if not self.is_abandoned:
                self.stream = stream
                return
        stream.close()

    def take(self) -> Stream | None:
        """Return what was handed over; from then on it is the caller's."""
        with self._lock:
            stream, self.stream = self.stream, None
        return stream

    def abandon(self) -> Stream | None:
        """As :meth:`take`, and have what still comes closed."""
        with self._lock:
            self.is_abandoned = True
            stream, self.stream = self.stream, None
        return stream


class StreamResponse(StreamingHttpResponse):
    """A response of type ``text/event-stream``.

    Args:
        request: the request that it answers: tells whether a wrapper is there to hand the stream over to.
        body: a stream, or the whole of a finite one; ``b""`` answers HEAD.
    """

    def __init__(self, request: HttpRequest, body: Stream | bytes) -> None:
        content: Any
        if not isinstance(body, bytes):
            content = _Body(body, handed_over=_hand_over(request, body))
        else:
            content = _whole(body) if hasattr(request, "scope") else [body]
        super().__init__(content, content_type=CONTENT_TYPE, headers=HEADERS)


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _hand_over(request: HttpRequest, stream: Stream) -> bool:
    handover: Handover | None = getattr(request, "scope", {}).get(HANDOVER)
    if handover is None:
        return False
    handover.give(stream)
    return True


class _Body:
    """What Django iterates: nothing if the stream was handed over, else the stream."""

    _warned = False

    def __init__(self, stream: Stream, *, handed_over: bool) -> None:
        self._stream = stream
        self._handed_over = handed_over
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if self._handed_over:
            raise StopAsyncIteration
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._warn()
            await release_request_thread()
            task = asyncio.current_task()
            if task is not None:
                self._stream.driven_by(task.cancel)
        try:
            chunk = await self._stream.read()
        except BaseException:
            self._stream.close()
            raise
        if chunk is None:
            self._stream.close()
            raise StopAsyncIteration
        return chunk

    def close(self) -> None:
        """Called by Django, from a worker thread, when the response ends; a stream that was handed over goes on."""
        if self._handed_over:
            return
        if self._loop is None or self._loop.is_closed():
            self._stream.close()
        else:
            self._loop.call_soon_threadsafe(self._stream.close)

    @classmethod
    def _warn(cls) -> None:
        if not cls._warned:
            _Body._warned = True
            logger.warning(
                "Event streams are served inside Django's request handler, which costs more for each stream. In asgi.py, "
                "write: from sse_notify.asgi import EventStreams; application = EventStreams(get_asgi_application())"
            )


async def release_request_thread() -> None:
    """Close the database connections of this request's thread, and end the thread.

    Django keeps both until the response ends. Connections are closed first: those of a thread that is gone wait for the garbage
    collector. One that is inside a transaction, as in a ``TestCase``, stays, and the thread with it.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    executors: Any = getattr(SyncToAsync, "context_to_thread_executor", None)
    if context is None or executors is None or context not in executors:
        return
    executor = executors[context]
    if await sync_to_async(_close_connections)() and executors.get(context) is executor:
        del executors[context]
        executor.shutdown(wait=False)


def _close_connections() -> bool:
    """Close this thread's connections and return whether all are closed."""
    idle = [connection for connection in connections.all(initialized_only=True) if not connection.in_atomic_block]
    for connection in idle:
        connection.close()
    return len(idle) == len(connections.all(initialized_only=True))
