"""Write runs: every process has one thread that stores what its runs say, and then tells readers.

    iterator or worker            the writer's thread, one per process        readers
    add() ── feed ──────────────► one INSERT for all that is due ── commit ─► told, or they read
               ◄── room, or the news that the run was ended by others ──

An event waits for ``BATCH_SECONDS``, or until ``BATCH_EVENTS`` of its run wait. All that waits then
is stored in one transaction, whatever run it is of. Once a second, the thread looks whether its
runs were ended by others: stopped, replaced, or deleted with their owner.

If the database is away, events wait until their feed is full, and its iterator with them. After
``AWAY_SECONDS`` the run fails.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from django.db import connections, transaction

from sse_notify.concurrency import threadpool
from sse_notify.concurrency.threadpool import Pool
from sse_notify.contrib.runs import feeds as limits
from sse_notify.contrib.runs import storing
from sse_notify.contrib.runs.feeds import Feed
from sse_notify.contrib.runs.states import State
from sse_notify.telemetry import Incident

#: Seconds between two looks at the runs of this process.
LOOK_SECONDS = 1.0


class Writer:
    """The runs that this process writes, and the thread that stores what they say."""

    def __init__(self) -> None:
        self._pool = Pool("runs", lambda: 1)
        self._job = self._work
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork,
                after_in_child=self._leave_to_parent,
            )

    def _before_fork(self) -> None:
        """Have the thread close its connection: a child's SQLite would share its locks."""
        with self._news:
            if self._feeds:
                self._forks = True
                self._due_at = 0.0
                self._news.notify_all()
                self._news.wait_for(self._has_paused, threadpool.SETTLE_SECONDS)
        if not self._is_paused:
            self._pool.settle()

    def _has_paused(self) -> bool:
        return self._is_paused or not self._feeds

    def _after_fork(self) -> None:
        with self._news:
            self._forks = False
            self._news.notify_all()

    def _leave_to_parent(self) -> None:
        for feed in self._feeds.values():
            feed.leave_to_parent()
        self._reset()

    def _reset(self) -> None:
        self._feeds: dict[int, Feed] = {}
        self._news = threading.Condition()
        #: Whether the process forks, and whether the thread waits for that without a connection.
        self._forks = self._is_paused = False
        self._ends_at_exit = False
        #: When the thread looks next; no moment is earlier while it works.
        self._due_at = -math.inf
        self._looked_at = 0.0
        self._drained: Future[None] | None = None
        self._incident = Incident("database_runs")
        #: Whether the process shuts down, and starts no more runs.
        self.is_draining = False

    def add(self, feed: Feed) -> None:
        """Write what ``feed`` says from now on. It is interrupted if the process shuts down."""
        if self.is_draining:
            feed.end(State.INTERRUPTED)
        with self._news:
            if not self._ends_at_exit:
                self._ends_at_exit = True
                getattr(threading, "_register_atexit", atexit.register)(self._exit)
            self._feeds[feed.pk] = feed
        self._pool.submit_once(self._job)

    def get(self, pk: int) -> Feed | None:
        """Return the feed of a run that this process writes."""
        return self._feeds.get(pk)

    def wake(self, at: float) -> None:
        """Let the thread look what is due at that moment, if it would look later."""
        if at < self._due_at:  # most calls need no lock
            with self._news:
                self._due_at = min(at, self._due_at)
                self._news.notify()

    def drain(self, seconds: float) -> list[Future[None]]:
        """Start no more runs, and interrupt those that are not done in ``seconds``.

        Returns:
            A future that is done when none is left.
        """
        self.is_draining = True
        with self._news:
            if not self._feeds:
                return []
            self._drained = self._drained or Future()
            drained = self._drained
        # The last moments are for storing the ends.
        timer = threading.Timer(max(seconds - min(1.0, seconds / 5), 0.0), self._interrupt)
        timer.daemon = True
        timer.start()
        return [drained]

    def store(self, feed: Feed) -> None:
        """Store all of ``feed`` in this thread: in a test's transaction, no other sees its rows."""
        if parts := feed.take(everything=True):
            if storing.append(parts):
                _was_refused(feed, parts[0].first)
            else:
                feed.stored(parts[-1].last)
        if feed.ending is not None and not feed.over.is_set():
            storing.finish(feed.pk, State(feed.ending[0]), feed.ending[1])
            feed.over.set()

    def _interrupt(self) -> None:
        for feed in list(self._feeds.values()):
            feed.end(State.INTERRUPTED)

    def _exit(self) -> None:
        self.is_draining = True
        self._interrupt()
        for feed in list(self._feeds.values()):
            feed.over.wait(2.0)

    def _work(self) -> None:
        while feeds := self._wait():
            try:
                self._store_due(feeds)
                if monotonic() - self._looked_at >= LOOK_SECONDS:
                    self._look(feeds)
            except Exception as error:  # drivers may raise anything
                self._incident.failed(error)
                self._failed(feeds)
            else:
                if self._incident.failures:
                    self._incident.worked()
                    for feed in feeds:
                        feed.failed_at = None
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set_result(None)

    def _wait(self) -> list[Feed]:
        """Wait until something is due, and return all feeds; none if all runs have ended."""
        with self._news:
            if self._feeds:
                # From here on, whoever says something calls: its run may have been asked already.
                self._due_at = self._looked_at + LOOK_SECONDS
                due = min(feed.due() for feed in self._feeds.values())
                self._due_at = min(due, self._due_at)
                while not self._forks and (seconds := self._due_at - monotonic()) > 0:
                    self._news.wait(seconds)
            while self._forks:
                threadpool.close_idle()
                self._is_paused = True
                self._news.notify_all()
                self._news.wait(threadpool.SETTLE_SECONDS)
            self._is_paused = False
            self._due_at = -math.inf
            return list(self._feeds.values())

    def _store_due(self, feeds: list[Feed]) -> None:
        now = monotonic()
        dues = [(feed, feed.due()) for feed in feeds]
        # Whatever waits goes with what has waited long enough: so all runs share a transaction.
        everything = any(0.0 < due <= now for _, due in dues)
        taken = {
            feed: parts
            for feed, due in dues
            if due < float("inf") and (everything or due == 0.0)
            if (parts := feed.take(everything=everything or feed.ending is not None))
        }
        if taken:
            refused = storing.append([part for parts in taken.values() for part in parts])
            for feed, parts in taken.items():
                if feed.pk in refused:
                    _was_refused(feed, parts[0].first)
                else:
                    feed.stored(parts[-1].last)
        for feed in feeds:
            if feed.ending is not None and not feed.waiting:
                if not feed.over.is_set():
                    storing.finish(feed.pk, State(feed.ending[0]), feed.ending[1])
                self._remove(feed)

    def _look(self, feeds: list[Feed]) -> None:
        self._looked_at = now = monotonic()
        for feed in feeds:
            feed.check(now)
        pks = [feed.pk for feed in feeds if feed.ending is None]
        running = storing.runs(pk__in=pks, state=State.RUNNING)
        found = set(running.values_list("pk", flat=True)) if pks else set()
        for feed in feeds:
            if feed.pk in pks and feed.pk not in found and feed.ending is None:
                feed.refused(_state_of(feed.pk))

    def _failed(self, feeds: list[Feed]) -> None:
        with suppress(Exception):  # drivers may raise anything
            threadpool.close_idle()  # the next attempt opens a new connection
        self._looked_at = now = monotonic()
        for feed in feeds:
            feed.failed_at = feed.failed_at or now
            feed.check(now)
            if now - feed.failed_at >= 2 * limits.AWAY_SECONDS:  # others will find it stalled
                self._remove(feed)
        with self._news:
            self._news.wait(LOOK_SECONDS)

    def _remove(self, feed: Feed) -> None:
        with self._news:
            self._feeds.pop(feed.pk, None)
            self._news.notify_all()
        feed.finished()


writer = Writer()


def _was_refused(feed: Feed, first: int) -> None:
    """Find out why the run refused the parts of ``feed`` that begin with the number ``first``."""
    state = _state_of(feed.pk)
    if state != State.RUNNING:
        feed.refused(state)
    elif (last := storing.last_number(feed.pk)) >= first:
        # Only this feed writes a run that goes on: the answer to an earlier commit was lost.
        feed.stored(last)
    else:
        feed.end(State.FAILED, "database")
        feed.stored(feed.number)


def _state_of(pk: int) -> str:
    state: str | None = storing.runs(pk=pk).values_list("state", flat=True).first()
    return state or ""


def stop(user: Any, key: str) -> bool:
    """Stop the run of ``user`` under ``key``; return whether there was one."""
    using = storing.database()
    running = storing.runs(user_id=user.pk, running_key=key)
    pk: int | None = running.values_list("pk", flat=True).first()
    if pk is None:
        return False
    if connections[using].in_atomic_block and not threadpool.in_test_transaction():
        # An end that is not committed would hold up the process that drives the run, with all of
        # its runs.
        transaction.on_commit(partial(_stop, pk), using=using)
        return True
    return _stop(pk)


def _stop(pk: int) -> bool:
    is_ours = storing.finish(pk, State.STOPPED)
    if is_ours and (feed := writer.get(pk)) is not None:
        feed.refused(State.STOPPED)
    return is_ours
