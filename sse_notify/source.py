"""The stream of a view's own events: an iterator is read ahead a little, and closed at once when its client leaves.

    iterator ── its own task ──► encoded, at most BUFFER_BYTES wait ──► read(): all that waits, in one chunk ──► the socket
                                 then the iterator waits, too           nothing for HEARTBEAT seconds: a comment

It is driven as a :class:`sse_notify.stream.Stream` is, and knows neither the hub nor the log. Who may have it, the view has decided;
it lasts for as long as the iterator does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from sse_notify import events, threads, wire
from sse_notify.admission import admission
from sse_notify.conf import get_settings
from sse_notify.driven import Driven
from sse_notify.events import Event

logger = logging.getLogger("sse_notify")

#: What a client is told when the iterator raises: the log has the rest.
FAILED = Event({"error": "failed", "message": "The stream has failed."}, event="error").encode()

#: Seconds after which the first comment is sent, if the iterator says nothing: daphne sends no headers before the first bytes, and the
#: client waits for them.
OPENING_SECONDS = 1.0

_HEARTBEAT = wire.encode_comment()
_END = object()


class SourceStream(Driven):
    """The events of one iterator for one client, as chunks of bytes that :meth:`read` returns.

    Args:
        source: yields :class:`Event`, text, or what JSON can hold. A synchronous one has a thread of its own.
        last: the bytes to send when the iterator has ended by itself.
        heartbeat: seconds of silence after which a comment is sent.
        send_timeout: seconds that a client may block a write.
        buffer_bytes: bytes that may wait for the client; then the iterator waits.
        own_thread: whether what the iterator does with ``sync_to_async``, such as queries, gets a thread of its own; it is given back at
            the end. ``False`` in a test's transaction, whose rows only the test's thread sees.
        on_start: called once, on the loop, when the stream is first read from.
        on_close: called once, when the stream is over, however it ended.
    """

    __slots__ = (
        "__weakref__", "_buffer_bytes", "_ended", "_heartbeat", "_last", "_loop", "_news", "_on_close", "_on_start", "_own_thread", "_room",
        "_send_timeout", "_silence", "_size", "_source", "_task", "_timer", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        source: AsyncIterable[Any] | Iterable[Any],
        *,
        last: bytes = b"",
        heartbeat: float,
        send_timeout: float,
        buffer_bytes: int,
        own_thread: bool = True,
        on_start: Callable[[], None] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._source = source
        self._last = last
        self._heartbeat = heartbeat
        self._silence = min(OPENING_SECONDS, heartbeat)
        self._send_timeout = send_timeout
        self._buffer_bytes = buffer_bytes
        self._own_thread = own_thread
        self._on_start = on_start
        self._on_close = on_close
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[bytes] = []
        self._size = 0
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    def __del__(self) -> None:
        # Never served: the client left while the view was at work.
        if not self.closed and self._on_close is not None:
            self._on_close()

    # --- the driver's side ---

    async def read(self) -> bytes | None:
        """Return all that waits as one chunk, when there is something; ``None`` when the stream is over."""
        self._stop_timer()
        if self._task is None and not self.closed:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run())
            _open.add(self)
            if admission.draining:  # its view was at work when the process was asked to end
                self.end_within(get_settings().DRAIN_SECONDS)
            if self._on_start is not None:
                self._on_start()
        while not self._waiting:
            if self._ended or self.closed:
                return None
            self._news.clear()
            try:
                async with asyncio.timeout(self._silence):
                    await self._news.wait()
            except TimeoutError:
                return self._give(_HEARTBEAT)
        chunk = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        self._room.set()
        return self._give(chunk)

    def close(self) -> None:
        """Close the iterator and let go of everything. Callable any number of times, on the loop."""
        if self.closed:
            return
        self.let_go()
        self._stop_timer()
        _open.discard(self)
        if self._task is not None:
            self._task.cancel()  # ends in the iterator, wherever it waits; its own ``finally`` runs
        self._waiting.clear()
        self._news.set()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    async def wait_closed(self) -> None:
        """Wait until the iterator is closed."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def end_within(self, seconds: float) -> None:
        """Have the stream cut if it is not over in time: the process ends. Callable from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self.give_up)

    # --- inside ---

    def _give(self, chunk: bytes) -> bytes:
        self._silence = self._heartbeat
        self._timer = asyncio.get_running_loop().call_later(self._send_timeout, self.give_up)
        return chunk

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _run(self) -> None:
        if self._own_thread:
            # Set, not entered: inside the context of Django's request it would be that one, whose thread Django needs.
            SyncToAsync.thread_sensitive_context.set(ThreadSensitiveContext())
        try:
            await self._produce()
            if self._last:
                self._put(self._last)
        except Exception:  # whatever the project's code raises
            logger.exception("The iterator of an event stream failed.")
            self._put(FAILED)
        finally:
            if self._own_thread:
                await threads.release_thread()
        self._ended = True
        self._news.set()

    async def _produce(self) -> None:
        iterator = _iterate(self._source)
        try:
            async for item in iterator:
                if self.closed:  # it has passed over its cancellation
                    break
                self._put(events.encode(item))
                while self._size > self._buffer_bytes:
                    self._room.clear()
                    await self._room.wait()
        finally:
            aclose = getattr(
                iterator, "aclose", None
            )  # an iterator need not have it, a generator does
            if aclose is not None:
                await aclose()

    def _put(self, frame: bytes) -> None:
        self._waiting.append(frame)
        self._size += len(frame)
        self._news.set()


#: The streams of this process that were read from.
_open: WeakSet[SourceStream] = WeakSet()


def drain(seconds: float) -> None:
    """Have every stream that is not over in ``seconds`` cut: it may finish what it is saying until then. Callable from any thread."""
    for stream in list(_open):
        stream.end_within(seconds)


def iterate_here(source: Iterable[Any], last: bytes) -> Iterator[bytes]:
    """Yield the blocks of a synchronous iterator in the caller's own thread: under WSGI, which has no event loop."""
    try:
        for item in source:
            yield events.encode(item)
    except Exception:  # whatever the project's code raises
        logger.exception("The iterator of an event stream failed.")
        yield FAILED
    else:
        if last:
            yield last
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


def _iterate(source: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    return aiter(source) if isinstance(source, AsyncIterable) else _in_thread(source)


async def _in_thread(source: Iterable[Any]) -> AsyncIterator[Any]:
    iterator: Iterator[Any] = await sync_to_async(lambda: iter(source))()
    try:
        # Not next() itself: a StopIteration does not pass through a future.
        while (item := await sync_to_async(lambda: next(iterator, _END))()) is not _END:
            yield item
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            await sync_to_async(close)()
