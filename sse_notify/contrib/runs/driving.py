"""Drive the iterators of runs, beyond the requests that started them.

An async iterator is a task on the server's event loop, as that of an ``EventStreamResponse``, if
the request came through `sse_notify.asgi.app.EventStreams`. Under WSGI, in a worker or a command,
it is a task on a loop of its own thread. A sync iterator has a thread of its own, and no loop.

In the transaction of a ``TestCase``, :func:`start` drives the iterator to its end: no other thread
sees the rows.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction

from sse_notify.asgi.exchange import current_exchange
from sse_notify.concurrency import greenlets, threadpool
from sse_notify.contrib.runs import storing
from sse_notify.contrib.runs.feeds import BATCH_EVENTS, Feed, RunEnded, ending_for
from sse_notify.contrib.runs.states import State
from sse_notify.contrib.runs.writing import writer
from sse_notify.streaming import registry

logger = logging.getLogger("sse_notify")

#: Seconds for the loop's thread to start.
START_SECONDS = 60.0

_lock = threading.Lock()
_loop: Future[asyncio.AbstractEventLoop] | None = None
#: The tasks that drive runs: an event loop holds only weak references.
_tasks: set[asyncio.Task[None]] = set()


def start(source: AsyncIterable[Any] | Iterable[Any], **options: Any) -> Any:
    """Start a run; see :meth:`Run.start`."""
    is_async = isinstance(source, AsyncIterable)
    is_iterable = is_async or isinstance(source, Iterable)
    if not is_iterable or isinstance(source, (str, bytes, Mapping)):
        raise TypeError(f"source must be an iterator of events, not {type(source).__name__}.")
    if is_async:
        greenlets.check_loop("iterator")
    planned = storing.plan(**options)
    run, is_new = storing.begin(planned)
    if not is_new:
        return run
    feed = Feed(run.pk, writer.wake, **planned.limits)
    if threadpool.in_test_transaction():
        _drive_here(source, feed)
        run.refresh_from_db(fields=["state", "reason", "running_key", "ended_at"])
        return run
    context = copy_context()
    exchange = current_exchange.get()
    loop = None if exchange is None else exchange.loop

    def begin() -> None:
        writer.add(feed)
        if isinstance(source, AsyncIterable):
            _on_loop(source, feed, context, loop)
        else:
            name = f"sse_notify-run-{feed.pk}"
            work = (source, feed, context)
            threading.Thread(target=_in_thread, args=work, name=name, daemon=True).start()

    transaction.on_commit(begin, using=storing.database())
    return run


def _on_loop(
    source: AsyncIterable[Any],
    feed: Feed,
    context: Context,
    loop: asyncio.AbstractEventLoop | None,
) -> None:
    """Drive ``source`` on ``loop``, or on the loop that all runs of this process share."""
    where = loop or _shared_loop()

    def begin() -> None:
        registry.install()
        # The request has ended, and with it the thread of its synchronous code.
        moved = threadpool.move(context, own_thread=True)
        moved.run(current_exchange.set, None)
        task = where.create_task(_drive(source, feed), context=moved)
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        feed.on_end = lambda: _cancel(task, where)
        if feed.ending is not None:
            task.cancel()

    where.call_soon_threadsafe(begin)


def _cancel(task: asyncio.Task[None], loop: asyncio.AbstractEventLoop) -> None:
    def cancel() -> None:
        if not task.cancelling():  # a second cancellation would interrupt its cleanup
            task.cancel()

    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(cancel)


async def _drive(source: AsyncIterable[Any], feed: Feed) -> None:
    state: State = State.DONE
    try:
        iterator = aiter(source)
        try:
            async for item in iterator:
                feed.add(item)
                if feed.is_full:
                    await feed.await_room()
        finally:
            aclose = getattr(iterator, "aclose", None)
            if aclose is not None:
                await aclose()
    except RunEnded:
        pass
    except BaseException as error:
        # The project's code may raise anything, even a CancelledError of another task.
        is_cancelled = isinstance(error, asyncio.CancelledError) and _is_cancelled()
        state = State.INTERRUPTED if is_cancelled else State.FAILED
        if not is_cancelled:
            logger.exception("run=%s state=failed", feed.pk)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
    finally:
        feed.end(state, closes=False)
        await threadpool.release_thread()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _in_thread(source: Iterable[Any], feed: Feed, context: Context) -> None:
    """Drive a sync iterator in this thread."""
    threadpool.move(context, own_thread=False).run(_iterate, source, feed)


def _iterate(source: Iterable[Any], feed: Feed) -> None:
    state: State = State.DONE
    try:
        iterator = iter(source)
        try:
            for item in iterator:
                feed.add(item)
                if feed.is_full:
                    feed.wait()
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
    except RunEnded:
        pass
    except BaseException:
        logger.exception("run=%s state=failed", feed.pk)
        state = State.FAILED
    finally:
        feed.end(state, closes=False)
        threadpool.close_idle()


def _drive_here(source: AsyncIterable[Any] | Iterable[Any], feed: Feed) -> None:
    """Drive ``source`` to its end, and store what it says, in this thread."""
    error: BaseException | None = None

    async def drive() -> None:
        async for item in source:  # type: ignore[union-attr]
            feed.add(item)

    try:
        if isinstance(source, AsyncIterable):
            async_to_sync(drive)()
        else:
            for item in source:
                feed.add(item)
                if len(feed.waiting) >= BATCH_EVENTS:
                    writer.store(feed)
    except RunEnded:
        pass
    except Exception as raised:
        logger.exception("run=%s state=failed", feed.pk)
        error = raised
    feed.end(ending_for(error))
    writer.store(feed)


def _forget_loop() -> None:
    global _loop
    _loop = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_loop)


def _shared_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = greenlets.start_loop("sse_notify-runs")
        return _loop.result(START_SECONDS)
