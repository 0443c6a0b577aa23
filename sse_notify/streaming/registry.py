"""The hubs of this process, one per event loop, and the shutdown of their streams.

    SIGTERM ──► install()'s handler ──► drain(): end_streams() for every hub, on its own loop
                        └─ thread: waits for them, at most BYE_SECONDS
                             └─► raises the signal again ──► the server's own handler

No ASGI server informs an open response of a shutdown. Most wait for the response to end by itself;
daphne cuts it at once. So the first stream installs a handler for SIGTERM and SIGINT that runs
before the server's own. A stream is cut if its client does not take the ``bye``.

Only the main thread may install a handler. Under autoreload, which runs the server in another
thread, the streams are simply cut.
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

from sse_notify.concurrency import threadpool
from sse_notify.concurrency.threadpool import Run
from sse_notify.conf import get_settings
from sse_notify.streaming.hub import Hub, Job
from sse_notify.streaming.limits import admission

logger = logging.getLogger("sse_notify")

#: Seconds that the server's own handler waits for the streams. A client that cannot take a few
#: bytes in that time is slow. It has the rest of ``DRAIN_SECONDS`` on a server that waits for
#: responses; on one that cuts them, it resumes from its cursor.
BYE_SECONDS = 2.0
#: Minimum seconds that a client has to take its ``bye``.
CUT_SECONDS = 1.0
#: Seconds for the server to send what the last streams wrote.
FLUSH_SECONDS = 0.05

_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}
#: The background tasks of every hub.
jobs: list[Job] = []
#: Called with ``DRAIN_SECONDS`` as the process begins to shut down, at any point of the main
#: thread. The process waits that long for the futures that they return.
at_shutdown: list[Callable[[float], Sequence[Future[None]]]] = []


def current(run: Run | None = None) -> Hub:
    """Return the hub of the running loop; create it with ``run`` if there is none."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None or hub.stopped:
        _signals.install()
        for closed in [each for each in list(_hubs) if each.is_closed()]:
            _hubs.pop(closed, None)
        hub = _hubs[loop] = Hub(run=run, jobs=jobs)
    return hub


def feed() -> Callable[[], Hub]:
    """Return a callable that returns a stream's hub when the stream runs on its loop.

    Call this in the thread of the view that creates the stream.
    """
    # Only a test's own thread sees its rows. Django runs thread-sensitive code there.
    is_test = threadpool.in_test_transaction()
    return partial(current, threadpool.in_this_thread) if is_test else current


def with_streams() -> list[Hub]:
    """Return the hubs of this process that have streams. Callable from any thread."""
    return [hub for loop, hub in list(_hubs.items()) if hub.streams and not loop.is_closed()]


def listeners(topic: str) -> int:
    """Return how many streams of this process listen to ``topic``. Callable from any thread."""
    return sum(len(hub.listeners(topic)) for hub in list(_hubs.values()))


def drain() -> list[Future[None]]:
    """Refuse new streams and end the open ones. Callable from any thread.

    Clients reconnect spread over ``DRAIN_SECONDS``. If the server waits, streams of a view's own
    events may continue that long; then they are cut.

    Returns:
        One future per loop, done when the loop's other streams have ended.
    """
    admission.draining = True
    seconds = get_settings().DRAIN_SECONDS
    return [
        asyncio.run_coroutine_threadsafe(end_streams(hub, seconds), loop)
        for loop, hub in list(_hubs.items())
        if not loop.is_closed()
    ]


def _drain_lasting() -> list[Future[None]]:
    seconds = get_settings().DRAIN_SECONDS
    return [future for drain_it in at_shutdown for future in drain_it(seconds)]


def install() -> None:
    """Let the process end its streams in order at a signal. Outside the main thread, do nothing."""
    _signals.install()


async def end_streams(hub: Hub, seconds: float) -> None:
    """End the streams of one hub, on its loop, and wait until they have ended.

    Args:
        hub: the hub.
        seconds: clients reconnect spread over this time. Streams whose clients do not take the
            ``bye`` are cut after half of it, but not before ``CUT_SECONDS``; the server has the
            rest. Streams of a view's own events are cut at its end; this does not wait for them.
    """
    since, cut = monotonic(), 0
    ending = list(hub.streams)
    for stream in (*hub.sources, *ending):
        stream.drain(seconds)
    try:
        async with asyncio.timeout(max(seconds / 2, CUT_SECONDS)):
            await hub.empty.wait()
    except TimeoutError:
        cut = len(hub.streams)
        for late in list(hub.streams):
            late.abort("drain")
        await hub.empty.wait()
    if ending:
        fields = {"streams": len(ending), "cut": cut, "seconds": round(monotonic() - since, 1)}
        text = "drained streams=%(streams)d cut=%(cut)d seconds=%(seconds).1f"
        logger.info(text, fields, extra=fields)
    await asyncio.sleep(FLUSH_SECONDS)


class SignalHandler:
    """Call ``begin`` on the first SIGTERM or SIGINT, then pass the signal to the previous handler.

    Args:
        begin: starts the work, and returns the futures to wait for. It must not block.
        lasting: the same for work that has all of ``DRAIN_SECONDS``.
    """

    def __init__(
        self,
        begin: Callable[[], Sequence[Future[None]]],
        lasting: Callable[[], Sequence[Future[None]]] = list,
    ) -> None:
        self._begin, self._begin_lasting = begin, lasting
        self._previous: dict[int, Any] = {}
        self._begun = self._passed_on = False

    def install(self) -> None:
        """Install the handler once. Outside the main thread, do nothing.

        A signal that is ignored, or whose handler cannot be called from Python, stays as it is.
        """
        if self._previous or threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            # None: not installed from Python, so it cannot be called. SIG_IGN, as under nohup: the
            # signal stays ignored.
            if previous not in (None, signal.SIG_IGN):
                self._previous[number] = previous
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._begun:
            self._begun = True
            work = (self._begin(), self._begin_lasting())
            threading.Thread(target=self._pass_on, args=(number, *work), daemon=True).start()
            return
        # Raised by ``_pass_on``, or sent again by somebody who does not want to wait.
        self._passed_on = True
        previous = self._previous.get(number)
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            # As without this handler: the default action ends the process.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _pass_on(self, number: int, *work: Sequence[Future[None]]) -> None:
        began = monotonic()
        for futures, seconds in zip(work, (BYE_SECONDS, get_settings().DRAIN_SECONDS), strict=True):
            wait(futures, max(began + seconds - monotonic(), BYE_SECONDS))
        if self._passed_on:
            return
        self._passed_on = True
        # pthread_kill() also wakes a sleeping event loop; raise_signal() does not.
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        else:
            signal.raise_signal(number)


_signals = SignalHandler(drain, _drain_lasting)
