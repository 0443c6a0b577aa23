"""Small bounded thread pools that run the database work of streams, and of the publisher.

Django's ``sync_to_async`` keeps a thread for each request as long as the request lives, and a
stream lives for minutes. Here, each function borrows a thread, so there are never more database
connections than threads.

With ``CONN_MAX_AGE = 0``, Django's default, a request opens a connection and closes it at its end.
Here, a thread closes its connection when no more work has come for a moment, so a burst reuses it.
Persistent connections and connection pools follow Django's own rules, except in tests: PostgreSQL
drops no database that a thread is connected to. A thread without work returns a pool's connection
at once: that is cheap, and a burst must not keep it from the site's own requests.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import (
    AsyncToSync,
    SyncToAsync,
    ThreadSensitiveContext,
    _restore_context,
    sync_to_async,
)
from django.db import close_old_connections, connections

from sse_notify.conf import get_settings

logger = logging.getLogger("sse_notify")

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds that a thread keeps its connection for more work.
LINGER_SECONDS = 0.1
#: The most seconds that a fork waits for the publisher's thread.
SETTLE_SECONDS = 2.0

#: Runs a function that queries, from the event loop: on a pool, or in a test's own thread.
Run = Callable[..., Awaitable[Any]]


class Pool(Executor):
    """A bounded thread pool: created when it is first used, and created anew in a forked child.

    Args:
        name: of the threads, after ``sse_notify-``.
        size: returns the number of threads.
        linger: seconds that a thread keeps its connection for more work. Afterwards it closes it
            even if the project has persistent connections; ``None``: not these. Before a fork, it
            ends its work: a child inherits SQLite's locks, which nobody releases there.
    """

    def __init__(self, name: str, size: Callable[[], int], linger: float | None = None) -> None:
        self._name = f"sse_notify-{name}"
        self._size = size
        self._closes = linger is not None
        self._seconds = LINGER_SECONDS if linger is None else linger
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)
            if self._closes:
                os.register_at_fork(before=self.settle)

    def _reset(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._work: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        #: Notified of work; protects the work and the number of threads, busy and waiting.
        self._news = threading.Condition()
        self._threads = self._idle = self._closing = 0
        self._is_settling = False

    def __call__(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> asyncio.Future[T]:
        """Run ``function`` on one of the pool's threads.

        If this is cancelled while the function waits for a thread, the function does not run. If it
        is cancelled later, the function runs to its end and its result is dropped.
        """
        return asyncio.wrap_future(self.submit(function, *args, **kwargs))

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``function`` on one of the pool's threads, and return its future."""
        with self._news:
            return self._add(partial(function, *args, **kwargs))

    def submit_once(self, function: Callable[[], T]) -> Future[T]:
        """Run ``function`` as :meth:`submit` does, unless it waits for a thread already."""
        with self._news:
            for answer, waiting in self._work:
                if waiting is function and not answer.cancelled():
                    return answer
            return self._add(function)

    def is_active(self) -> bool:
        """Return whether a thread works, or has a connection."""
        return self._threads + self._closing > 0

    def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until all work is done and all connections are closed, at most ``seconds``."""
        with self._news:
            self._is_settling = True
            self._news.notify_all()
            self._news.wait_for(lambda: not self.is_active(), seconds)
            self._is_settling = False

    def _add(self, work: Callable[[], T]) -> Future[T]:
        """Start or wake a thread for ``work``. The lock is held."""
        answer: Future[T] = Future()
        if self._executor is None:
            pools = [each["OPTIONS"].get("pool") for each in connections.settings.values()]
            self._most, self._linger = self._size(), 0.0 if any(pools) else self._seconds
            self._executor = ThreadPoolExecutor(self._most, self._name, _keep_connections)
        if self._idle > len(self._work):
            self._news.notify()
        elif self._threads < self._most:
            self._executor.submit(self._run_all)
            self._threads += 1
        self._work.append((answer, work))
        return answer

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """Return what is to be run next, or ``None`` if nothing has come for a moment."""
        with self._news:
            if not (self._work or self._is_settling):
                self._idle += 1
                # Another thread may take what this one is woken for.
                self._news.wait_for(lambda: self._work or self._is_settling, self._linger)
                self._idle -= 1
            if self._work:
                return self._work.popleft()
            self._threads -= 1
            self._closing += 1
            return None

    def _run_all(self) -> None:
        """Run everything that waits on one connection; then close the connections."""
        while waiting := self._next():
            answer, work = waiting
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                close_old_connections()  # As Django does before a request.
            except Exception:  # Drivers may raise anything; the thread must continue.
                logger.exception("A database connection cannot be closed.")
            try:
                answer.set_result(work())
            except BaseException as error:
                answer.set_exception(error)
            del waiting, answer, work  # nothing of it lives while the thread waits
        try:
            for connection in connections.all(initialized_only=True):
                is_kept = connections.settings[connection.alias]["CONN_MAX_AGE"] != 0
                if self._closes or not is_kept or in_tests():
                    connection.close()
        finally:
            with self._news:
                self._closing -= 1
                if self._is_settling:
                    self._news.notify_all()


def _keep_connections() -> None:
    """Stop the end of a request from closing a connection that this pool's thread reuses."""
    for alias, settings in connections.settings.items():
        if settings["CONN_MAX_AGE"] == 0 and not settings["OPTIONS"].get("pool"):
            with suppress(Exception):  # the engine is missing: no work here uses that database
                connections[alias].settings_dict = {**settings, "CONN_MAX_AGE": None}


#: Handshakes and replays; one of ``HANDSHAKE_THREADS`` is reserved for ``access``.
streams = Pool("stream", lambda: max(get_settings().HANDSHAKE_THREADS - 1, 1))

#: The hub's own reads: one thread, so that a burst of handshakes never delays a repair.
hub = Pool("hub", lambda: 1)

#: Permission decisions: one thread, so that neither handshakes nor a project's functions delay
#: another user's loss of access.
access = Pool("access", lambda: 1)

#: A project's own ``@topic`` functions: a few threads, and more only beside functions that hang.
#: `sse_notify.access.authorisers` limits the calls.
topics = Pool("topic", lambda: 64)

#: The numbering of what this process has committed; see `sse_notify.log.announcing`.
publisher = Pool("publisher", lambda: 1, linger=1.0)


# --- async code ---


def twin(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the async twin of a function: ``sync_to_async`` runs its body, as in Django's ORM.

    Args:
        function: the sync function. The name of the twin is the same, with the prefix ``a``.
    """

    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return await sync_to_async(function)(*args, **kwargs)

    run.__name__ = run.__qualname__ = f"a{function.__name__}"
    run.__doc__ = f"Do what :func:`{function.__name__}` does, from async code."
    return run


# --- a test's own thread --------------------------------------------------------------------------


def in_tests() -> bool:
    """Return whether a test runner has set up Django's test environment."""
    # Not documented, and a test fails if it is gone. ``mail.outbox`` is no sign: the e-mail backend
    # ``locmem`` makes it in any process.
    state = getattr(sys.modules.get("django.test.utils"), "_TestState", None)
    return hasattr(state, "saved_data")


def in_test_transaction() -> bool:
    """Return whether this thread is in the transaction of a ``TestCase``.

    No other thread sees its rows. Other transactions do not count, as they end before a stream
    begins: with ``ATOMIC_REQUESTS``, every view has one, maybe on another database.

    ``_from_testcase`` is not documented. Django uses it to decide where a durable block may be
    nested. A test fails if Django removes it.
    """
    return any(
        block._from_testcase  # type: ignore[attr-defined]
        for connection in connections.all(initialized_only=True)
        for block in connection.atomic_blocks
    )


def in_this_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> Awaitable[T]:
    """Run ``function`` in Django's thread for thread-sensitive code: in a test, its own."""
    return sync_to_async(function)(*args, **kwargs)


# --- a request's context and thread ---------------------------------------------------------------


def move(context: Context, *, own_thread: bool) -> Context:
    """Return ``context``, the copy of a view's context, usable in this thread.

    asgiref's ``Local`` objects hold the language and the time zone, and hide them from all threads
    but the view's. ``_restore_context`` moves them, and is not documented. A test fails if asgiref
    removes it.

    Args:
        context: the copy. Call this when the view has ended.
        own_thread: whether ``sync_to_async`` gets a thread of its own in it, which
            :func:`release_thread` ends. ``False`` in the transaction of a ``TestCase``, whose rows
            only the test's thread sees.
    """
    context.run(_restore_context, context)
    if own_thread:
        # Set the variable. Entering the context would keep the request's thread, if it has one.
        context.run(SyncToAsync.thread_sensitive_context.set, ThreadSensitiveContext())
        context.run(setattr, AsyncToSync.executors, "current", None)
    return context


async def release_thread() -> None:
    """End the thread that ``sync_to_async`` keeps for this request, and close its connections.

    Django keeps both until the response ends. The connections are closed first: without their
    thread, only the garbage collector would close them. A connection inside a transaction, as in a
    ``TestCase``, stays open, and its thread stays, too.

    ``SyncToAsync.context_to_thread_executor`` is not documented. A test fails if asgiref removes
    it.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    executors = SyncToAsync.context_to_thread_executor
    if context is None or context not in executors:
        return
    executor = executors[context]
    if await sync_to_async(close_idle)() and executors.get(context) is executor:
        del executors[context]
        executor.shutdown(wait=False)


def close_idle() -> bool:
    """Close this thread's connections outside transactions; return whether all are closed."""
    opened = connections.all(initialized_only=True)
    for connection in opened:
        if not connection.in_atomic_block:
            connection.close()
    return not any(connection.in_atomic_block for connection in opened)
