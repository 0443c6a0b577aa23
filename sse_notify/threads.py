"""The only threads of this package: four small bounded pools on which the database work of streams runs.

Django's own way, ``sync_to_async``, keeps a thread for each request for as long as the request lives; a stream lives for
minutes. Work that is run here borrows a thread for one function and gives it back, so there are never more database connections
than threads.

With ``CONN_MAX_AGE = 0``, Django's default, a request opens a connection and closes it at its end. Here a thread does so when no
work waits for it any more: in a storm of handshakes it goes on with the connection that it has, and an idle thread holds none.
Connections that are to live longer, and those of a pool, are left to Django's own rules: giving one back to a pool costs nothing,
and a storm must not keep it from the site's own requests.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, Protocol, TypeVar

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import close_old_connections, connections
from django.db.backends.signals import connection_created

from sse_notify.conf import get_settings

logger = logging.getLogger("sse_notify")

P = ParamSpec("P")
T = TypeVar("T")


class Run(Protocol):
    """A way to run a function that queries, from the event loop: on a pool, or in a test's own thread."""

    async def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``function`` returns, raise what it raises."""
        ...


class Pool:
    """A bounded pool of threads that is made when it is first used, and made anew in a forked child."""

    def __init__(self, name: str, size: Callable[[], int]) -> None:
        self._name = name
        self._size = size
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._work: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = self._active = 0

    async def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``function`` on one of the pool's threads.

        Cancelled while the function waits for a thread, it is not run; cancelled later, it runs to its end and what it returns is
        dropped.
        """
        if self._executor is None:
            self._threads = self._size()
            name = f"sse_notify-{self._name}"
            self._executor = ThreadPoolExecutor(
                self._threads, thread_name_prefix=name, initializer=_mark_thread
            )
        answer: Future[T] = Future()
        with self._lock:
            self._work.append((answer, lambda: function(*args, **kwargs)))
            start = self._active < self._threads
            self._active += start
        if start:
            self._executor.submit(self._work_on)
        return await asyncio.wrap_future(answer)

    def _work_on(self) -> None:
        """Do what waits, one piece after the other; then let go of the connections."""
        while True:
            with self._lock:
                if not self._work:
                    self._active -= 1
                    break
                answer, function = self._work.popleft()
            _run(answer, function)
        _close_connections()


def _run(answer: Future[Any], function: Callable[[], Any]) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    _close_old_connections()
    try:
        result = function()
    except BaseException as error:
        answer.set_exception(error)
    else:
        answer.set_result(result)
    finally:
        _close_old_connections()


def _close_old_connections() -> None:
    """Do what Django does around a request; a connection that cannot even be closed must not take the pool's thread with it."""
    try:
        close_old_connections()
    except Exception:  # whatever the database's driver raises
        logger.exception("A database connection cannot be closed.")


# --- connections of the pools' threads -----------------------------------------------------------------------------------------

_thread = threading.local()


def _mark_thread() -> None:
    _thread.is_ours = True


def _keep(connection: Any, **kwargs: Any) -> None:
    """Have the end of a request not close a connection that the next handshake in this thread goes on with."""
    if getattr(_thread, "is_ours", False) and _is_short_lived(connection):
        connection.close_at = None


connection_created.connect(_keep, dispatch_uid="sse_notify.threads")


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if _is_short_lived(connection):
            connection.close()


def _is_short_lived(connection: Any) -> bool:
    settings = connection.settings_dict
    return settings["CONN_MAX_AGE"] == 0 and not settings["OPTIONS"].get("pool")


#: Handshakes and replays; one of their threads is kept for the decisions.
streams = Pool("stream", lambda: max(get_settings().HANDSHAKE_THREADS - 1, 1))

#: The hub's own reads: one thread, so that a storm of handshakes never delays a repair.
hub = Pool("hub", lambda: 1)

#: Decisions about streams: one thread, so that neither handshakes nor a project's functions delay another user's loss of access.
access = Pool("access", lambda: 1)

#: A project's own ``@topic`` functions.
topics = Pool("topic", lambda: 4)


# --- a test's own thread ---------------------------------------------------------------------------------------------------------


def in_test_transaction() -> bool:
    """Return whether this thread is in the transaction of a ``TestCase``, which no other thread sees into.

    Any other transaction is over before a stream begins: with ``ATOMIC_REQUESTS`` every view has one, maybe of another database.

    ``_from_testcase`` is not documented: Django tells those by it that a durable block may be in. A test fails if Django drops it.
    """
    return any(
        block._from_testcase  # type: ignore[attr-defined]
        for connection in connections.all(initialized_only=True)
        for block in connection.atomic_blocks
    )


async def in_this_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``function`` in the thread that Django runs thread-sensitive code in: a test's own. See :class:`Run`."""
    return await sync_to_async(function)(*args, **kwargs)


# --- a request's own thread ------------------------------------------------------------------------------------------------------


async def release_thread() -> None:
    """Close the database connections of the thread that ``sync_to_async`` keeps for what runs here, and end it.

    Django keeps both until the response ends. Connections are closed first: those of a thread that is gone wait for the garbage
    collector. One that is inside a transaction, as in a ``TestCase``, stays, and the thread with it.

    ``SyncToAsync.context_to_thread_executor`` is not documented. A test fails if asgiref drops it.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    executors = SyncToAsync.context_to_thread_executor
    if context is None or context not in executors:
        return
    executor = executors[context]
    if await sync_to_async(_close_idle)() and executors.get(context) is executor:
        del executors[context]
        executor.shutdown(wait=False)


def _close_idle() -> bool:
    """Close this thread's connections and return whether all are closed."""
    idle = [
        connection
        for connection in connections.all(initialized_only=True)
        if not connection.in_atomic_block
    ]
    for connection in idle:
        connection.close()
    return len(idle) == len(connections.all(initialized_only=True))
