"""What differs where greenlets take the place of threads, as in workers of gevent and eventlet.

An event loop in one greenlet counts as running in all greenlets of its thread. Django refuses to
query there, in every request of the worker.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


def has_greenlets() -> bool:
    """Return whether gevent has replaced threads by greenlets.

    Raises:
        ImproperlyConfigured: eventlet has, which this package does not support.
    """
    eventlet: Any = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        text = "sse_notify does not support eventlet. Use threads or gevent: gunicorn -k gthread."
        raise ImproperlyConfigured(text)
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def wait_for(awaitable: Awaitable[T]) -> T:
    """Wait for ``awaitable`` in sync code, and return its result.

    Raises:
        RuntimeError: it would need an event loop in a greenlet.
    """
    try:
        check_loop("function")
    except RuntimeError:
        getattr(awaitable, "close", lambda: None)()
        raise
    return async_to_sync(_wait)(awaitable)


def check_loop(kind: str) -> None:
    """Return if sync code may run an event loop in its own thread.

    Args:
        kind: what needs the loop, for the message: an async "function" or "iterator".

    Raises:
        RuntimeError: the loop would run in a greenlet.
    """
    if has_greenlets():
        text = f"gevent's workers run no async {kind}, as others could not query: make it sync."
        raise RuntimeError(text)


async def _wait(awaitable: Awaitable[T]) -> T:
    return await awaitable


def start_loop(name: str) -> Future[asyncio.AbstractEventLoop]:
    """Start an event loop in a daemon thread ``name``, and return its future.

    Under gevent, Python's threads are greenlets of one thread. A loop in one of them would count as
    running in all, and Django refuses to query there. So this starts a thread of the system then.
    """
    made: Future[asyncio.AbstractEventLoop] = Future()

    def run() -> None:
        loop = asyncio.new_event_loop()  # in its thread: under gevent, each has sockets of its own
        if has_greenlets():
            loop.set_default_executor(_Inline())
        else:  # its thread resolves host names, also at the exit, when none can be started
            with suppress(RuntimeError):
                loop.run_in_executor(None, int)
        loop.call_soon(made.set_result, loop)
        loop.run_forever()

    if has_greenlets():
        sys.modules["gevent.monkey"].get_original("_thread", "start_new_thread")(run, ())
    else:
        threading.Thread(target=run, name=name, daemon=True).start()
    return made


class _Inline(ThreadPoolExecutor):
    """Resolves a host's name in the loop's own thread.

    At the exit, Python waits for the threads of an executor. Under gevent they are greenlets of
    this thread, and would not end.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call ``fn`` now."""
        answer: Future[T] = Future()
        try:
            answer.set_result(fn(*args, **kwargs))
        except Exception as error:
            answer.set_exception(error)
        return answer
