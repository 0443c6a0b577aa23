"""The stream of a view's own events: an iterator is read ahead a little, and closed at once when its client leaves.

    iterator ── its own task ──► encoded, at most BUFFER_BYTES wait ──► read(): all that waits, in one chunk ──► the socket
                                 then the iterator waits, too           nothing for HEARTBEAT seconds: a comment

It knows nothing of the log. Who may have it, the view has decided; it lasts for as long as the iterator does. One that is a user's
ends with the user's permission, and at its maximum age.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from time import monotonic
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from sse_notify.concurrency import threadpool
from sse_notify.sse.format import Event, encode_comment, encode_item
from sse_notify.streaming.base import BaseStream

logger = logging.getLogger("sse_notify")

#: What a client is told when the iterator raises: the log has the rest.
FAILED = Event({"error": "failed", "message": "The stream has failed."}, event="error").encode()

#: Seconds after which the first comment is sent, if the iterator says nothing: daphne sends no headers before the first bytes, and the
#: client waits for them.
OPENING_SECONDS = 1.0

_HEARTBEAT = encode_comment()
_END = object()


class SourceStream(BaseStream):
    """The events of one iterator for one client.

    Args:
        source: yields :class:`Event`, text, or what JSON can hold. A synchronous one has a thread of its own.
        last: the bytes to send when the iterator has ended by itself.
        own_thread: whether what the iterator does with ``sync_to_async``, such as queries, gets a thread of its own; it is given back at
            the end. ``False`` in a test's transaction, whose rows only the test's thread sees.
        options: as for :class:`BaseStream`. When ``buffer_bytes`` wait for the client, the iterator waits.
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

    # --- the task's side: it reads and writes to the socket ---

    async def read(self) -> bytes | None:
        """Return all that waits as one chunk, when there is something; ``None`` when the stream is over."""
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

    # --- the hub's side ---

    def heartbeat(self) -> None:
        """Send a comment."""
        if not self._ended:
            self._buffer.put_anyway(_HEARTBEAT)

    def drain(self, seconds: float) -> None:
        """Have the stream cut if it is not over in time."""
        asyncio.get_running_loop().call_later(seconds, self.abort, "drain")

    def stop_source(self) -> None:
        """Cancel the iterator, wherever it waits; its own ``finally`` runs."""
        if self._task is not None:
            self._task.cancel()

    # --- inside ---

    async def _run(self) -> None:
        if self._own_thread:
            # Set, not entered: inside the context of Django's request it would be that one, whose thread Django needs.
            SyncToAsync.thread_sensitive_context.set(ThreadSensitiveContext())
        try:
            await self._produce()
        except BaseException as error:
            # Whatever the project's code raises, a cancellation of something else among it.
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
                if self._ended:  # it has passed over its cancellation
                    return
                self._buffer.put_anyway(encode_item(item))
                while self._buffer.size > self._buffer.limit:
                    self._room.clear()
                    await self._room.wait()
            if self._last and not self._ended:
                self._buffer.put_anyway(self._last)
        finally:
            # An iterator need not have it, a generator does.
            aclose = getattr(iterator, "aclose", None)
            if aclose is not None:
                await aclose()


async def _in_thread(source: Iterable[Any]) -> AsyncIterator[Any]:
    iterator: Iterator[Any] = await sync_to_async(iter)(source)
    try:
        # Not next() itself: a StopIteration does not pass through a future.
        while (item := await sync_to_async(lambda: next(iterator, _END))()) is not _END:
            yield item
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            await sync_to_async(close)()


# --- without an event loop ---


def iterate_here(source: AsyncIterable[Any] | Iterable[Any], last: bytes) -> Iterator[bytes]:
    """Yield the blocks of an iterator in the caller's own thread: under WSGI."""
    items: Any = _run_here(source) if isinstance(source, AsyncIterable) else source
    try:
        for item in items:
            yield encode_item(item)
    except (Exception, asyncio.CancelledError):  # whatever the project's code raises
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
    iterator = aiter(source)

    async def take() -> Any:
        return await anext(iterator, _END)

    with asyncio.Runner() as runner:  # closes a generator at its end
        while (item := runner.run(take())) is not _END:
            yield item
