"""``Run.open()``: a run whose events a worker writes itself."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections

from sse_notify.concurrency import threadpool
from sse_notify.contrib.runs import feeds, storing
from sse_notify.contrib.runs.feeds import (
    BATCH_EVENTS,
    Feed,
    RunEnded,
    RunExists,
    ending_for,
)
from sse_notify.contrib.runs.writing import writer

logger = logging.getLogger("sse_notify")


class Opened:
    """A run that a worker writes; see :meth:`Run.open`. It can be entered once."""

    def __init__(self, **options: Any) -> None:
        self._plan = storing.plan(**options)
        self._is_inline = False
        self._feed: Feed
        #: The task of an ``async with`` block, and that task once it was cancelled.
        self._task: asyncio.Task[Any] | None = None
        self._cancelled: asyncio.Task[Any]

    def write(self, item: Any) -> None:
        """Add an event; see :meth:`Run.write`."""
        self._feed.add(item)
        if self._is_inline:
            self._store()
        elif self._feed.is_full:
            self._feed.wait()

    async def awrite(self, item: Any) -> None:
        """Do what :meth:`write` does, from async code."""
        self._feed.add(item)
        if self._is_inline:
            await sync_to_async(self._store)()
        elif self._feed.is_full:
            await self._feed.await_room()

    def __enter__(self) -> Any:
        using = storing.database()
        self._is_inline = threadpool.in_test_transaction()
        if connections[using].in_atomic_block and not self._is_inline:
            raise RuntimeError("Open a run outside of transactions: others would not see it.")
        run, is_new = storing.begin(self._plan)
        if not is_new:
            raise RunExists(run)
        self._feed = Feed(run.pk, writer.wake, **self._plan.limits)
        if not self._is_inline:
            writer.add(self._feed)
        run.__dict__["_feed"] = self
        return run

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self._end(error)
        if self._is_inline:
            writer.store(self._feed)
        else:
            self._feed.over.wait(feeds.AWAY_SECONDS)
        return isinstance(error, RunEnded)

    async def __aenter__(self) -> Any:
        run = await sync_to_async(self.__enter__)()
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._task = task

        def stop() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._cancel)

        self._feed.on_end = stop
        if self._feed.ending is not None:
            stop()
        return run

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: object) -> bool:
        task, self._task = self._task, None
        if task is None:  # it was cancelled, as the run has ended
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)  # if the block was over before it heard of that
            if self._cancelled.uncancel() == 0 and isinstance(error, asyncio.CancelledError | None):
                error = RunEnded(str((self._feed.ending or ("",))[0]))
        self._end(error)
        if self._is_inline:
            await sync_to_async(writer.store)(self._feed)
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(feeds.AWAY_SECONDS):
                    await self._feed.await_over()
        return isinstance(error, RunEnded)

    def _end(self, error: BaseException | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, RunEnded):
            logger.error("run=%s state=failed error=%r", self._feed.pk, error, exc_info=error)
        self._feed.end(ending_for(error))

    def _cancel(self) -> None:
        """Cancel the block where it waits, as the run was ended elsewhere. Called on its loop."""
        if self._task is not None:
            self._cancelled, self._task = self._task, None
            self._cancelled.cancel()

    def _store(self) -> None:
        if len(self._feed.waiting) >= BATCH_EVENTS:
            writer.store(self._feed)
