"""Four small bounded thread pools that run the database work of streams.

Django's ``sync_to_async`` keeps a thread for each request as long as the request lives, and a
stream lives for minutes. Here, each function borrows a thread, so there are never more database
connections than threads.

With ``CONN_MAX_AGE = 0``, Django's default, a request opens a connection and closes it at its end.
Here, a thread closes its connection when no more work waits: a burst of handshakes reuses it, and
an idle thread holds none. Persistent connections and connection pools follow Django's own rules. An
idle thread returns a pool's connection: that is cheap, and a burst must not keep it from the site's
own requests.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import close_old_connections, connections
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from sse_notify.conf import get_settings

logger = logging.getLogger("sse_notify")

P = ParamSpec("P")
T = TypeVar("T")

#: Runs a function that queries, from the event loop: on a pool, or in a test's own thread.
Run = Callable[..., Awaitable[Any]]


class Pool:
    """A bounded thread pool: created when it is first used, and created anew in a forked child."""

    def __init__(self, name: str, size: Callable[[], int]) -> None:
        self._name = f"sse_notify-{name}"
        self._size = size
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def __call__(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> asyncio.Future[T]:
        """Run ``function`` on one of the pool's threads.

        If this is cancelled while the function waits for a thread, the function does not run. If it
        is cancelled later, the function runs to its end and its result is dropped.
        """
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._size(), self._name)
        answer: Future[T] = Future()
        self._waiting.append((answer, partial(function, *args, **kwargs)))
        self._executor.submit(self._run_all)
        return asyncio.wrap_future(answer)

    def _run_all(self) -> None:
        """Run everything that waits on one connection; then close the connections."""
        with suppress(IndexError):  # Nothing waits any more.
            while True:
                answer, work = self._waiting.popleft()
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
        for connection in connections.all(initialized_only=True):
            if connection.settings_dict["CONN_MAX_AGE"] == 0:
                connection.close()


@receiver(connection_created)
def _keep(connection: Any, **kwargs: Any) -> None:
    """Stop the end of a request from closing a connection that a pool's thread reuses."""
    settings, thread = connection.settings_dict, threading.current_thread()
    is_short_lived = settings["CONN_MAX_AGE"] == 0 and not settings["OPTIONS"].get("pool")
    if is_short_lived and thread.name.startswith("sse_notify-"):
        connection.close_at = None


#: Handshakes and replays; one of ``HANDSHAKE_THREADS`` is reserved for ``access``.
streams = Pool("stream", lambda: max(get_settings().HANDSHAKE_THREADS - 1, 1))

#: The hub's own reads: one thread, so that a burst of handshakes never delays a repair.
hub = Pool("hub", lambda: 1)

#: Permission decisions: one thread, so that neither handshakes nor a project's functions delay
#: another user's loss of access.
access = Pool("access", lambda: 1)

#: A project's own ``@topic`` functions.
topics = Pool("topic", lambda: 4)


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


# --- a request's own thread -----------------------------------------------------------------------


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
    if await sync_to_async(_close_idle)() and executors.get(context) is executor:
        del executors[context]
        executor.shutdown(wait=False)


def _close_idle() -> bool:
    """Close this thread's connections and return whether all are closed."""
    opened = connections.all(initialized_only=True)
    for connection in opened:
        if not connection.in_atomic_block:
            connection.close()
    return not any(connection.in_atomic_block for connection in opened)
