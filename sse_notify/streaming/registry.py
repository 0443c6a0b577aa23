"""The hubs of this process, one for each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sse_notify.concurrency import threadpool
from sse_notify.conf import get_settings
from sse_notify.streaming.hub import Hub
from sse_notify.streaming.limits import admission
from sse_notify.streaming.shutdown import SignalHandler, end_streams

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sse_notify.concurrency.threadpool import Run

_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current(run: Run | None = None) -> Hub:
    """Return the hub of the running loop, made with ``run`` if there is none yet."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None or hub.stopped:
        _signals.install()
        hub = _hubs[loop] = Hub(run=run)
    return hub


def feed() -> Callable[[], Hub]:
    """Return what gives a stream its hub, once the stream runs on its loop. To be called in the thread of the view that makes it."""
    # A test's rows are visible only in its own thread, which is where Django runs thread-sensitive code.
    return (
        partial(current, threadpool.in_this_thread) if threadpool.in_test_transaction() else current
    )


def running() -> Hub | None:
    """Return the hub of the running loop, ``None`` if it has none with streams."""
    hub = _hubs.get(asyncio.get_running_loop())
    return None if hub is None or hub.stopped else hub


def with_streams() -> list[Hub]:
    """Return the hubs of this process that have streams. Callable from any thread."""
    return [hub for loop, hub in list(_hubs.items()) if hub.streams and not loop.is_closed()]


def listeners(topic: str) -> int:
    """Return how many streams of this process listen to ``topic``. Callable from any thread."""
    return sum(hub.listeners(topic) for hub in list(_hubs.values()))


def drain() -> list[Future[None]]:
    """Refuse new streams and end the open ones, their clients' return spread over ``DRAIN_SECONDS``. Callable from any thread.

    A view's own events may go on until then, on a server that waits; what is not over then is cut.

    Returns:
        For each loop, what is done when all its streams have taken their leave.
    """
    admission.draining = True
    seconds = get_settings().DRAIN_SECONDS
    told = []
    for loop, hub in list(_hubs.items()):
        ending = end_streams(hub, seconds)
        try:
            told.append(asyncio.run_coroutine_threadsafe(ending, loop))
        except RuntimeError:  # the loop is closed, and with it the hub
            ending.close()
    return told


_signals = SignalHandler(drain)
