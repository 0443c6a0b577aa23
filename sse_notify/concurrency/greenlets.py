"""What differs where greenlets take the place of threads, as in workers of gevent and eventlet.

An event loop in one greenlet counts as running in all greenlets of its thread. Django refuses to
query there, in every request of the worker.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable
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
    if has_greenlets():
        getattr(awaitable, "close", lambda: None)()
        text = "gevent's workers run no async function, as others could not query: make it sync."
        raise RuntimeError(text)
    return async_to_sync(_wait)(awaitable)


async def _wait(awaitable: Awaitable[T]) -> T:
    return await awaitable
