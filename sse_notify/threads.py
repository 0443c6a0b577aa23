"""The only threads of this package: two small bounded pools on which the database work of streams runs.

Django's own way, ``sync_to_async``, keeps a thread for each request for as long as the request lives; a stream lives for
minutes. Work that is run here borrows a thread for one function and gives it back. The database connections that a function
opens are closed or kept by Django's own rules (``CONN_MAX_AGE``), so there are never more of them than threads.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar

from django.db import close_old_connections

from sse_notify.conf import get_settings

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
        self._executor: ThreadPoolExecutor | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    async def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``function`` on one of the pool's threads.

        Cancelled while it waits, the function still runs to its end; what it returns is dropped.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, _run_tidily, lambda: function(*args, **kwargs))

    @property
    def executor(self) -> ThreadPoolExecutor:
        """The threads, for work that tidies up its connections by itself."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._size(), thread_name_prefix=f"sse_notify-{self._name}")
        return self._executor

    def _forget(self) -> None:
        self._executor = None


def _run_tidily(function: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return function()
    finally:
        close_old_connections()


#: Handshakes and replays.
streams = Pool("stream", lambda: get_settings().HANDSHAKE_THREADS)

#: The hub's own reads: one thread, so that a storm of handshakes never delays a repair.
hub = Pool("hub", lambda: 1)
