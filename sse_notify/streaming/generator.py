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
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextvars import copy_context
from time import monotonic
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from sse_notify.concurrency import threadpool
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

    Args:
        source: yields :class:`Event`, text, or anything that JSON can represent. A sync iterator
            runs in a thread of its own.
        last: the bytes to send after the iterator has finished.
        own_thread: whether the iterator's ``sync_to_async`` calls, such as queries, run in a thread
            of their own, which ends with the stream. ``False`` in a test's transaction, whose rows
            only the test's thread sees.
        options: see :class:`BaseStream`. When ``buffer_bytes`` wait for the client, the iterator
            waits.
    """

    __slots__ = ("_last", "_own_thread", "_room", "_source", "_task")

    def __init__(
        self,
        source: AsyncIterable[Any] | Iterable[Any],
        *,
        last: bytes = b"",
        own_thread: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._source = source
        self._last = last
        self._own_thread = own_thread
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()

    # --- called by the task that writes to the socket ---

    async def read(self) -> bytes | None:
        """Wait for blocks and return them as one chunk; ``None`` when the stream has ended."""
        if self._task is None and not self.closed:
            self._task = asyncio.get_running_loop().create_task(self._run())
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
        if self._task is not None:
            self._task.cancel()

    # --- internals ---

    async def _run(self) -> None:
        if self._own_thread:
            # Set the variable, do not enter the context: entering it inside Django's request would
            # reuse the request's thread, which Django needs.
            SyncToAsync.thread_sensitive_context.set(ThreadSensitiveContext())
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
                if self._own_thread:
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
            if self._last and not self._ended:
                self._buffer.put_anyway(self._last)
        finally:
            # Generators have aclose(); other iterators may not.
            aclose = getattr(iterator, "aclose", None)
            if aclose is not None:
                await aclose()


async def _in_thread(source: Iterable[Any]) -> AsyncIterator[Any]:
    iterator: Iterator[Any] = await sync_to_async(iter)(source)
    try:
        # Not next() itself: a future cannot raise StopIteration.
        while (item := await sync_to_async(lambda: next(iterator, _END))()) is not _END:
            yield item
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            await sync_to_async(close)()


# --- without an event loop ---


def iterate_here(source: AsyncIterable[Any] | Iterable[Any], last: bytes) -> Iterator[bytes]:
    """Yield an iterator's blocks in the caller's thread, for WSGI."""
    items: Any = _run_here(source) if isinstance(source, AsyncIterable) else source
    try:
        for item in items:
            yield encode_item(item)
    except (Exception, asyncio.CancelledError):  # the project's code may raise anything
        logger.exception("The iterator of an event stream failed.")
        yield FAILED
    else:
        if last:
            yield last
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _run_here(source: AsyncIterable[Any]) -> Iterator[Any]:
    iterator, context = aiter(source), copy_context()
    own_thread = not threadpool.in_test_transaction()
    if own_thread:
        context.run(SyncToAsync.thread_sensitive_context.set, ThreadSensitiveContext())

    async def take() -> Any:
        return await anext(iterator, _END)

    async def finish() -> None:
        if hasattr(iterator, "aclose"):
            await iterator.aclose()
        if own_thread:
            await threadpool.release_thread()

    with asyncio.Runner() as runner:
        try:
            while (item := runner.run(take(), context=context)) is not _END:
                yield item
        finally:
            runner.run(finish(), context=context)
