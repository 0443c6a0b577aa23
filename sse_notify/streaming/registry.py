"""The hubs of this process, one for each event loop, and the end of a process.

Its streams are told before the server is, and who does not take its ``bye`` is cut.

    SIGTERM ──► install()'s handler ──► drain(): every hub's end_streams(), on its own loop
                        └─ thread: waits for them, at most TOLD_SECONDS ──► the signal once more ──► the server's own handler

No ASGI server tells an open response that it is shutting down. Most wait for it to end by itself; daphne cuts it at once. So the
first stream puts a handler before the server's own for SIGTERM and SIGINT.

Only the main thread may install a handler. Under autoreload, which runs the server in another thread, the streams are simply cut.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from time import monotonic
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

from sse_notify.concurrency import threadpool
from sse_notify.concurrency.threadpool import Run
from sse_notify.conf import get_settings
from sse_notify.streaming.hub import Hub, Job
from sse_notify.streaming.limits import admission

logger = logging.getLogger("sse_notify")

#: Seconds that the server's own handler waits for the streams. Who cannot take a few bytes in that time is slow: on a server that
#: waits for responses it has the rest of ``DRAIN_SECONDS``, on one that cuts them it resumes with its cursor all the same.
TOLD_SECONDS = 2.0
#: Seconds that every client has at least to take its ``bye``.
CUT_SECONDS = 1.0
#: Seconds that a server may take to pass on what the last streams wrote.
FLUSH_SECONDS = 0.05

_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()
#: What each of them does beside.
jobs: list[Job] = []


def current(run: Run | None = None) -> Hub:
    """Return the hub of the running loop, made with ``run`` if there is none yet."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None or hub.stopped:
        _signals.install()
        hub = _hubs[loop] = Hub(run=run, jobs=jobs)
    return hub


def feed() -> Callable[[], Hub]:
    """Return what gives a stream its hub, once the stream runs on its loop. To be called in the thread of the view that makes it."""
    # A test's rows are visible only in its own thread, which is where Django runs thread-sensitive code.
    return partial(current, threadpool.in_this_thread if threadpool.in_test_transaction() else None)


def with_streams() -> list[Hub]:
    """Return the hubs of this process that have streams. Callable from any thread."""
    return [hub for loop, hub in list(_hubs.items()) if hub.streams and not loop.is_closed()]


def listeners(topic: str) -> int:
    """Return how many streams of this process listen to ``topic``. Callable from any thread."""
    return sum(len(hub.listeners(topic)) for hub in list(_hubs.values()))


def drain() -> list[Future[None]]:
    """Refuse new streams and end the open ones, their clients' return spread over ``DRAIN_SECONDS``. Callable from any thread.

    A view's own events may go on until then, on a server that waits; what is not over then is cut.

    Returns:
        For each loop, what is done when all its streams have taken their leave.
    """
    admission.draining = True
    seconds = get_settings().DRAIN_SECONDS
    return [
        asyncio.run_coroutine_threadsafe(end_streams(hub, seconds), loop)
        for loop, hub in list(_hubs.items())
        if not loop.is_closed()
    ]


async def end_streams(hub: Hub, seconds: float) -> None:
    """End the streams of one hub, on its loop; return when none is left and what they were told is on its way.

    Args:
        hub: whose streams.
        seconds: the clients are to come back spread over as many. A client that does not take its ``bye`` is cut after half of them;
            the rest is the server's own. A view's own events are cut when all of them are over.
    """
    since, cut = monotonic(), 0
    told = list(hub.streams)
    for stream in (*hub.sources, *told):
        stream.drain(seconds)
    try:
        async with asyncio.timeout(max(seconds / 2, CUT_SECONDS)):
            await hub.empty.wait()
    except TimeoutError:
        cut = len(hub.streams)
        for late in list(hub.streams):
            late.abort("drain")
        await hub.empty.wait()
    if told:
        fields = {"streams": len(told), "cut": cut, "seconds": round(monotonic() - since, 1)}
        logger.info(
            "drained streams=%(streams)d cut=%(cut)d seconds=%(seconds).1f", fields, extra=fields
        )
    await asyncio.sleep(FLUSH_SECONDS)


class SignalHandler:
    """Calls ``begin`` on the first SIGTERM or SIGINT, and passes the signal on to the handler that was there when all is done.

    Args:
        begin: starts what is to happen first, and returns what is waited for. It must not block.
    """

    def __init__(self, begin: Callable[[], Sequence[Future[None]]]) -> None:
        self._begin = begin
        self._previous: dict[int, Any] = {}
        self._begun = self._passed_on = False

    def install(self) -> None:
        """Put the handler before the server's own, once; nothing happens where it cannot be, or where the signal is ignored."""
        if self._previous or threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            # None: not installed from Python, so that it could not be called. Ignored, as under nohup: it stays ignored.
            if previous not in (None, signal.SIG_IGN):
                self._previous[number] = previous
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._begun:
            self._begun = True
            told = self._begin()
            threading.Thread(target=self._pass_on, args=(number, told), daemon=True).start()
            return
        # Ours, or that of somebody who does not want to wait.
        self._passed_on = True
        previous = self._previous.get(number)
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            # What would have happened without us: the default action, which ends the process.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _pass_on(self, number: int, told: Sequence[Future[None]]) -> None:
        wait(told, TOLD_SECONDS)
        if self._passed_on:
            return
        self._passed_on = True
        if hasattr(
            signal, "pthread_kill"
        ):  # also wakes a loop that sleeps, which the other does not
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        else:
            signal.raise_signal(number)


_signals = SignalHandler(drain)
