"""Responses that carry an event stream.

Under `sse_notify.asgi.app.EventStreams`, a response only hands its stream over, through an object
in the context; the wrapper serves the stream after Django's request has ended. Without the wrapper,
Django's own handler iterates the response. The first step then releases the request's database
connections and its thread, which Django would keep as long as the stream lives. Under WSGI, the
user's stream is finite and holds nothing; a view's own events hold the worker while they last.

Deliberate oddities:

1. The body is an object with ``close()``, not an async generator: Django calls ``close()`` promptly
   when the client disconnects during a blocked write. A generator would wait for the garbage
   collector.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import Any

from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse

from sse_notify.access import sessions
from sse_notify.access.decisions import Subscriber, subscriber_of
from sse_notify.asgi.exchange import Exchange, current_exchange
from sse_notify.concurrency import threadpool
from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused
from sse_notify.sse.format import CONTENT_TYPE, Event, encode_item
from sse_notify.streaming import registry
from sse_notify.streaming.base import BaseStream
from sse_notify.streaming.generator import SourceStream
from sse_notify.streaming.limits import refuse

logger = logging.getLogger("sse_notify")

#: Bytes that a view's iterator may be ahead of its client.
AHEAD_BYTES = 65_536

HEADERS = {
    "Cache-Control": "no-cache, no-store, no-transform",
    "X-Accel-Buffering": "no",
    # Keeps GZipMiddleware and proxies from compressing, and so from buffering.
    "Content-Encoding": "identity",
    "X-Content-Type-Options": "nosniff",
}


class StreamResponse(StreamingHttpResponse):
    """A response of type ``text/event-stream``.

    Args:
        body: a stream, or the chunks of a finite one; none for HEAD.
        headers: the headers.
        status: the HTTP status.
    """

    def __init__(
        self,
        body: BaseStream | Iterable[bytes],
        *,
        headers: Mapping[str, str] = HEADERS,
        status: int = 200,
    ) -> None:
        #: The stream that the wrapper, if there is one, serves after Django's request.
        self.stream = body if isinstance(body, BaseStream) else None
        content: Any = body
        exchange = current_exchange.get()
        if self.stream is not None and exchange is not None:
            exchange.offer(self.stream)
            content = _hand_over(self.stream, exchange)
        elif self.stream is not None:
            content = _Body(self.stream)
        super().__init__(content, headers={"Content-Type": CONTENT_TYPE, **headers}, status=status)

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the stream, or the chunks of a finite one."""
        return super().__aiter__() if self.stream is not None else _whole(self)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the stream under WSGI, without an event loop. It holds the worker until it ends."""
        return super().__iter__() if self.stream is None else self.stream.iterate()

    @property
    def streaming_content(self) -> Any:
        """The content. That of a test client's response can also be joined, to its end."""
        content: Any = super().streaming_content
        is_tests = hasattr(self, "wsgi_request") or hasattr(self, "asgi_request")
        return _Joinable(content) if is_tests and self.is_async else content

    @streaming_content.setter
    def streaming_content(self, value: Any) -> None:
        self._set_streaming_content(value)  # type: ignore[attr-defined]


async def _whole(response: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in response:
        yield part


async def _hand_over(stream: BaseStream, exchange: Exchange) -> AsyncIterator[bytes]:
    """Yield nothing, but choose this stream for the wrapper, which closes all others."""
    exchange.choose(stream)
    for part in list[bytes]():
        yield part


class _Body:
    """The body that Django iterates without the wrapper."""

    def __init__(self, stream: BaseStream) -> None:
        self._stream = stream
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            _warn()
            await threadpool.release_thread()
            task = asyncio.current_task()
            self._stream.cancel = task.cancel if task else None
        chunk = None
        try:
            chunk = await self._stream.read()
        finally:
            if chunk is None:
                self._stream.close()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def close(self) -> None:
        """Close the stream. Django calls this from a worker thread when the response ends."""
        if self._loop is None or self._loop.is_closed():
            self._stream.close()
        else:
            self._loop.call_soon_threadsafe(self._stream.close)


class _Joinable:
    """An async iterator that ``b"".join()`` takes as well, for ``assertContains()`` in tests."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._content

    def __iter__(self) -> Iterator[bytes]:
        async def collect() -> list[bytes]:
            return [part async for part in self._content]

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return iter(async_to_sync(collect)())
        # A loop runs in this thread, and waits. The thread of its sync code, if any, is free.
        with ThreadPoolExecutor(1) as thread:
            context = copy_context()
            thread.submit(threadpool.move, context, own_thread=False)
            return iter(thread.submit(context.run, asyncio.run, collect()).result())


@cache
def _warn() -> None:
    """Log once how to serve streams at a lower cost."""
    logger.warning(
        "Event streams are served inside Django's request handler, which costs more for each "
        "stream. In asgi.py, write: from sse_notify.asgi.app import EventStreams; "
        "application = EventStreams(get_asgi_application())"
    )


class EventStreamResponse(StreamResponse):
    """A ``text/event-stream`` response with a view's own events: AI output, log lines, progress.

    ::

        async def chat(request):
            question = request.POST["question"]

            async def words():
                async for word in model.answer(question):
                    yield {"word": word}

            return EventStreamResponse(words(), user=request.user, end="[DONE]")

    The iterator runs after the view and its middleware, so read what you need from the request
    first, as above. It has the language, the time zone and the context variables of the view. While
    it yields nothing, comments keep the connection open. When the client disconnects, the iterator
    is closed at once: a ``CancelledError`` is raised where it waits, and its ``finally`` runs. When
    it raises, the error is logged, and the client receives an ``error`` event without the cause.

    Args:
        source: an async iterator, or a sync one, which runs in a thread of its own. It yields
            :class:`sse_notify.Event`, text, or anything that JSON can represent.
        user: the stream's user. The stream counts against ``MAX_STREAMS_PER_USER`` and ends like
            the user's other streams: with ``bye`` after a logout, a password change or
            deactivation, and after ``MAX_LIFETIME`` seconds. Every stream counts against
            ``MAX_STREAMS``.
        end: what to send after the iterator has finished, so that a client can tell that from a
            lost connection: an ``Event``, or text such as ``"[DONE]"``. ``None``: nothing.
        headers: additional headers.

    If too many streams are open, the response is a JSON error with the status 429 or 503 instead;
    if ``user`` is not in the project's user model, with 403. Then the iterator is not started.

    Raises:
        TypeError: ``source`` cannot be iterated, or ``end`` is neither text nor an ``Event``.
    """

    def __init__(
        self,
        source: AsyncIterable[Any] | Iterable[Any],
        *,
        user: Any = None,
        end: Event | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        is_iterable = isinstance(source, (AsyncIterable, Iterable))
        if not is_iterable or isinstance(source, (str, bytes, Mapping)):
            raise TypeError(f"source must be an iterator of events, not {type(source).__name__}.")
        if not isinstance(end, (Event, str, type(None))):
            raise TypeError(f"end must be a string or an Event, not {type(end).__name__}.")
        last = b"" if end is None else encode_item(end)
        try:
            stream = SourceStream(
                source,
                last=last,
                feed=registry.feed(),
                buffer_bytes=min(AHEAD_BYTES, get_settings().BUFFER_BYTES),
                subscriber=subscriber(user),
            )
        except HandshakeRefused as refusal:
            answer = refuse(refusal)
            super().__init__([answer.content], headers=answer.headers, status=answer.status_code)
        else:
            super().__init__(stream, headers={**HEADERS, **(headers or {})})


def subscriber(user: Any, cookies: str | None = None) -> Subscriber | None:
    """Return the subscriber for a user, so that the stream ends with the user's other streams.

    Args:
        user: the user.
        cookies: the request's ``Cookie`` header, if it is known without the wrapper.

    Raises:
        HandshakeRefused: 403: ``user`` is no row of the project's user model.
    """
    if getattr(user, "pk", None) is None:
        return None
    exchange = current_exchange.get()
    cookies = cookies if exchange is None else exchange.cookies
    return subscriber_of(user, session=sessions.of_user(user.pk, cookies))
