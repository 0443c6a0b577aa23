"""Readers of runs: from the database up to now, then live, without gaps or duplicates.

    told parts ──► the desk of the loop ──► readers of that run     next number: queued
    database  ◄── a reader that is behind, or has missed a part     else: read from the database

A reader is behind at first, and reads the database. What is told meanwhile it will find there. It
is live once it has read everything that it knows of; from then on, told parts are queued if they
continue what was queued before. A slow client's queue is dropped, and it is behind again.

Parts come from the desk of the event loop: see `sse_notify.contrib.runs.desks`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import Error

from sse_notify.access.decisions import Ended, Question, decide
from sse_notify.concurrency import threadpool
from sse_notify.conf import get_settings
from sse_notify.contrib.runs import storing
from sse_notify.contrib.runs.desks import RECHECK_SECONDS, database, desk_of
from sse_notify.sse.format import encode_comment
from sse_notify.streaming import registry
from sse_notify.streaming.base import BaseStream
from sse_notify.streaming.generator import OPENING_SECONDS

#: Seconds between two attempts while the database is down.
RETRY_SECONDS = 1.0
#: Seconds between two looks of a reader under WSGI.
LOOK_SECONDS = 0.25

_HEARTBEAT = encode_comment()


class RunStream(BaseStream):
    """One client's events of a run.

    Args:
        run_id: the run.
        after: the number of the last event that the client has.
        may_read: whether the client may read the run, called in a thread; ``None``: it is its own.
        options: see :class:`BaseStream`.
    """

    __slots__ = ("_behind", "_known", "_queued", "cursor", "may_read", "run_id")

    def __init__(
        self,
        run_id: int,
        *,
        after: int = 0,
        may_read: Callable[[], bool] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.run_id, self.may_read = run_id, may_read
        #: :meth:`read` has returned everything up to here; everything up to ``_queued`` is queued.
        self.cursor = self._queued = after
        #: The largest number that this stream was told of.
        self._known = after
        self._behind = True

    # --- called by the task that writes to the socket ---

    async def read(self) -> bytes | None:
        """Wait for blocks and return them as one chunk; ``None`` when the stream has ended."""
        if self.hub is None and not self.closed:
            if threadpool.in_tests():  # only a test's own thread knows of its transaction
                self._feed = await threadpool.in_this_thread(registry.feed)
            self.hub = self._feed()
            self.hub.attach(self)
            desk_of(self.hub).join(self)
            self.start_timer(OPENING_SECONDS)
        self.sending_since = None
        chunk: bytes | None = b""
        while chunk == b"":
            if self._ended:
                chunk = self._buffer.take() or None
            elif self._behind:
                chunk = await self._catch_up()
            elif self._buffer.size:
                chunk, self.cursor = self._buffer.take(), self._queued
            else:
                await self._buffer.news()
        self.written_at = monotonic()
        self.sending_since = self.written_at if chunk is not None else None
        return chunk

    # --- called by the desk, the hub and the timer ---

    def push(self, first: int, last: int, blocks: bytes | None, *, is_end: bool) -> None:
        """Queue a part, or read it from the database."""
        if self._ended or last <= self._known:
            return
        self._known = last
        if self._behind:
            return
        if blocks is None or first != self._queued + 1 or not self._buffer.put(blocks):
            self._fall_behind()
            return
        self._queued = last
        if is_end:
            self._finish()

    def look(self, last: int) -> None:
        """Take note that the run has events up to ``last``."""
        if last > self._known:
            self._known = last
            if not self._behind:
                self._fall_behind()

    def heartbeat(self) -> None:
        """Queue a comment."""
        if not (self._ended or self._behind):
            self._buffer.put_anyway(_HEARTBEAT)

    def end(self, reason: str, retry_after: int | None) -> None:
        """End the stream; the run goes on. The client reconnects, and gets what is next."""
        if self._ended:
            return
        if self._behind or reason in ("logout", "revoked"):
            self._buffer.clear()
        self.reason = reason
        self._ended = True
        if retry_after is not None:
            self._buffer.put_anyway(b"retry: %d\n\n" % retry_after)
        self._buffer.wake()

    def drain(self, seconds: float) -> None:
        """End the stream; the clients reconnect spread over ``seconds``."""
        self.end("drain", random.randint(0, int(seconds * 1000)))

    def close(self) -> None:
        """Leave the desk, and do what every stream does."""
        if not self.closed and self.hub is not None:
            desk_of(self.hub).leave(self)
        super().close()

    # --- called without an event loop ---

    def iterate(self) -> Iterator[bytes]:
        """Yield the stream in the caller's thread, for WSGI. It holds the worker until the end.

        There is no loop, as others could not query under gevent. So it looks in the database.
        """
        checked_at = monotonic()
        every = get_settings().RECHECK_INTERVAL or RECHECK_SECONDS
        try:
            while monotonic() < self.deadline:
                try:
                    found = _read(self.run_id, self.cursor, self.may_read)
                    if monotonic() - checked_at >= every:
                        checked_at = monotonic()
                        found = found if _is_signed_in(self.subscriber) else None
                    database.worked()
                except Error as error:
                    database.failed(error)
                    found = b"", self.cursor, False, True
                if found is None:
                    return
                chunk, self.cursor, is_end, is_all = found
                if not chunk and monotonic() - self.written_at >= get_settings().HEARTBEAT:
                    chunk = _HEARTBEAT
                if chunk:
                    self.written_at = monotonic()
                    yield chunk
                if is_end:
                    return
                if is_all:
                    threadpool.close_idle()
                    time.sleep(LOOK_SECONDS)
        finally:
            self.close()

    # --- internals ---

    async def _catch_up(self) -> bytes:
        """Return the next page after the cursor; empty if there is none."""
        cursor, known = self.cursor, self._known
        try:
            found = await self.hub.replay(_read, self.run_id, cursor, self.may_read)
        except Error as error:
            database.failed(error)
            await asyncio.sleep(RETRY_SECONDS)
            return _HEARTBEAT
        database.worked()
        if self._ended:
            return b""
        if found is None:
            self.end("revoked", None)
            return b""
        chunk: bytes
        chunk, self.cursor, is_end, is_all = found
        self._queued = self.cursor
        if is_end:
            self._finish()
        # What was told since the query began may not be in its answer.
        elif is_all and self._known in (known, self.cursor):
            self._behind = False
            self._known = self.cursor
        return chunk

    def _finish(self) -> None:
        self.reason = "done"
        self._ended = True
        self._buffer.wake()

    def _fall_behind(self) -> None:
        self._buffer.clear()
        self._queued = self.cursor
        self._behind = True
        self._buffer.wake()


def _read(pk: int, after: int, may_read: Callable[[], bool] | None) -> Any:
    """Return what :func:`storing.read` does; ``None`` if the client may not read, or it is gone."""
    if may_read is not None and not may_read():
        return None
    with suppress(ObjectDoesNotExist):
        return storing.read(pk, after)
    return None


def _is_signed_in(subscriber: Any) -> bool:
    """Return whether the user may still have streams."""
    questions = [] if subscriber is None else [Question(subscriber)]
    return not any(isinstance(decision, Ended) for decision in decide(questions))
