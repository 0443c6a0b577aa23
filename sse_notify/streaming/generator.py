"""Streams of a view's own events, which are read ahead from an iterator.

    iterator ── its own task ──► encoded; at most BUFFER_BYTES wait ──► read(): one chunk ──► socket
                                 if full, the iterator waits            idle: a comment

The stream does not use the log, and the view has checked permissions. The stream ends with its
iterator. When the client disconnects, the iterator is closed at once. A user's stream also ends
with the user's permission, and at its maximum age.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextvars import copy_context
from time import monotonic
from typing import Any

from asgiref.sync import sync_to_async

from sse_notify.concurrency import greenlets, threadpool
from sse_notify.sse.format import Event, encode_comment, encode_item
from sse_notify.streaming.base import BaseStream

logger = logging.getLogger("sse_notify")

#: What the client receives when the iterator raises. The error itself is logged.
FAILED = Event({"error": "failed", "message": "The stream has failed."}, event="error").encode()

#: Seconds until the first comment, if the iterator yields nothing: daphne sends no headers before
#: the first bytes, and the client waits for them.
OPENING_SECONDS = 1.0

_HEARTBEAT = encode_comment()
_END = object()


class SourceStream(BaseStream):
    """The events of one iterator, for one client.

    The iterator runs in a copy of the context in which the stream is made: with the language, the
    time zone and the context variables of the view. Its ``sync_to_async`` calls, such as queries,
    run in a thread of their own, which ends with the stream.

    Args:
        source: yields :class:`Event`, text, or anything that JSON can represent. A sync iterator
            runs in a thread of its own.
        last: the bytes to send after the iterator has finished.
        options: see :class:`BaseStream`. When ``buffer_bytes`` wait for the client, the iterator
            waits.
    """

    __slots__ = ("_context", "_last", "_own_thread", "_room", "_source", "_task")

    def __init__(
        self,
        source: AsyncIterable[Any] | Iterable[Any],
        *,
        last: bytes = b"",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._context = copy_context()
        self._own_thread = not threadpool.in_test_transaction()
        self._source = source
        self._last = last
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()

    # --- called by the task that writes to the socket ---

    async def read(self) -> bytes | None:
        """Wait for blocks and return them as one chunk; ``None`` when the stream has ended."""
        if self._task is None and not self.closed:
            context = threadpool.move(self._context, own_thread=self._own_thread)
            self._task = asyncio.get_running_loop().create_task(self._run(), context=context)
            self.hub = self._feed()
            self.hub.attach(self)
            self.start_timer(OPENING_SECONDS)
        self.sending_since = None
        while not (chunk := self._buffer.take()):
            if self._ended:
                return None
            await self._buffer.news()
        self._room.set()
        self.written_at = self.sending_since = monotonic()
        return chunk

    # --- called by the hub and the timer ---

    def heartbeat(self) -> None:
        """Queue a comment."""
        if not self._ended:
            self._buffer.put_anyway(_HEARTBEAT)

    def drain(self, seconds: float) -> None:
        """Cut the stream if it has not ended after ``seconds``."""
        asyncio.get_running_loop().call_later(seconds, self.abort, "drain")

    def stop_source(self) -> None:
        """Cancel the iterator; its own ``finally`` runs."""
        # A second cancellation would interrupt its cleanup.
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()

    # --- called without an event loop ---

    def iterate(self) -> Iterator[bytes]:
        """Yield the iterator's blocks in the caller's thread, for WSGI.

        An async iterator is one task of a loop that runs while the caller waits for a block. In a
        greenlet of gevent, it fails instead.
        """
        context = threadpool.move(self._context, own_thread=self._own_thread)
        if not isinstance(self._source, AsyncIterable):
            yield from self._iterate(context.run, self._source)
            return
        try:
            greenlets.check_loop("iterator")
        except RuntimeError:
            logger.exception("The iterator of an event stream failed.")
            yield FAILED
            return
        self._buffer.limit = 0  # one block at a time
        with asyncio.Runner() as runner:
            self._task = task = runner.get_loop().create_task(self._run(), context=context)
            try:
                while chunk := runner.run(self._next()):
                    yield chunk
            finally:
                self.close()
                runner.run(asyncio.wait({task}))

    def _iterate(self, run: Any, source: Iterable[Any]) -> Iterator[bytes]:
        items, has_left = None, False
        try:
            try:
                items = run(_call, iter, source)
                while (item := run(_call, next, items, _END)) is not _END:
                    yield encode_item(item)
            except GeneratorExit:  # the client has left
                has_left = True
                raise
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    run(_call, close)
        except (Exception, asyncio.CancelledError):  # the project's code may raise anything
            logger.exception("The iterator of an event stream failed.")
            if not has_left:
                yield FAILED
        else:
            if self._last:
                yield self._last

    async def _next(self) -> bytes:
        """Wait for the next block; return nothing at the end."""
        while not (chunk := self._buffer.take()) and not self._ended:
            self._room.set()
            await self._buffer.news()
        return chunk

    # --- internals ---

    async def _run(self) -> None:
        try:
            await self._produce()
        except BaseException as error:
            # The project's code may raise anything, even a CancelledError of another task.
            if isinstance(error, Exception) or not self._ended:
                logger.exception("The iterator of an event stream failed.")
            if not self._ended:
                self._buffer.put_anyway(FAILED)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        finally:
            try:
                await threadpool.release_thread()
            finally:
                self._ended = True
                self._buffer.wake()

    async def _produce(self) -> None:
        source = self._source
        iterator = aiter(source) if isinstance(source, AsyncIterable) else _in_thread(source)
        try:
            async for item in iterator:
                if self._ended:  # the iterator ignored its cancellation
                    return
                self._buffer.put_anyway(encode_item(item))
                while self._buffer.size > self._buffer.limit:
                    self._room.clear()
                    await self._room.wait()
        finally:
            # Generators have aclose(); other iterators may not.
            aclose = getattr(iterator, "aclose", None)
            if aclose is not None:
                await aclose()
        if self._last and not self._ended:  # only now: an iterator may fail when it is closed
            self._buffer.put_anyway(self._last)


async def _in_thread(source: Iterable[Any]) -> AsyncIterator[Any]:
    call = sync_to_async(_call)
    iterator: Iterator[Any] = await call(iter, source)
    try:
        while (item := await call(next, iterator, _END)) is not _END:
            yield item
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            await call(close)


def _call(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    # A future cannot raise the one, and the other ends a generator that has not closed its source.
    except (StopIteration, GeneratorExit) as error:
        raise RuntimeError(f"The iterator raised {type(error).__name__}.") from error
