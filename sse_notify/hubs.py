"""The hubs of this process, one for each event loop: found, told something, and drained together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sse_notify import source, threads
from sse_notify.admission import admission
from sse_notify.conf import get_settings
from sse_notify.drain import Listener
from sse_notify.hub import Hub

if TYPE_CHECKING:
    from sse_notify.threads import Run

_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current(run: Run = threads.hub) -> Hub:
    """Return the hub of the running loop, made with ``run`` if there is none yet."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None or hub.stopped:
        hear_signals()
        hub = _hubs[loop] = Hub(run=run)
        if admission.draining:  # for a handshake that was under way
            hub.drain(get_settings().DRAIN_SECONDS)
    return hub


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


def hear_signals() -> None:
    """Have the process's streams told when it is asked to end. Callable any number of times; only the main thread's call counts."""
    _signals.install()


def each(action: Callable[[Hub], None]) -> None:
    """Call ``action`` with every hub of this process, each on its own loop. Callable from any thread."""
    for loop, hub in list(_hubs.items()):
        try:
            loop.call_soon_threadsafe(action, hub)
        except RuntimeError:  # the loop is closed
            _hubs.pop(loop, None)


def drain(done: Callable[[], None] | None = None) -> None:
    """Refuse new streams and end the open ones, their clients' return spread over ``DRAIN_SECONDS``. Callable from any thread.

    A view's own events may go on until then, on a server that waits; what is not over then is cut.

    Args:
        done: called when all streams have taken their leave, from whichever loop or thread that happens in.
    """
    admission.draining = True
    seconds = get_settings().DRAIN_SECONDS
    source.drain(seconds)
    countdown = _Countdown(done)
    for loop, hub in list(_hubs.items()):
        told = countdown.one_more()
        try:
            loop.call_soon_threadsafe(hub.drain, seconds, told)
        except RuntimeError:  # the loop is closed, and with it the hub
            told()
    countdown.one_less()


class _Countdown:
    """Calls ``done`` when everything that it gave out was called, itself included."""

    def __init__(self, done: Callable[[], None] | None) -> None:
        self._done = done
        self._lock = threading.Lock()
        self._open = 1

    def one_more(self) -> Callable[[], None]:
        with self._lock:
            self._open += 1
        return self.one_less

    def one_less(self) -> None:
        with self._lock:
            self._open -= 1
            last = not self._open
        if last and self._done is not None:
            self._done()


_signals = Listener(drain)
