"""The hubs of this process, one for each event loop: found, told something, and drained together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sse_notify import threads
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
        _signals.install()
        hub = _hubs[loop] = Hub(run=run)
    return hub


def each(action: Callable[[Hub], None]) -> None:
    """Call ``action`` with every hub of this process, each on its own loop. Callable from any thread."""
    for loop, hub in list(_hubs.items()):
        try:
            loop.call_soon_threadsafe(action, hub)
        except RuntimeError:  # the loop is closed
            _hubs.pop(loop, None)


def drain() -> None:
    """Refuse new streams and end the open ones, their clients' return spread over ``DRAIN_SECONDS``. Callable from any thread."""
    admission.draining = True
    seconds = get_settings().DRAIN_SECONDS
    each(lambda hub: hub.drain(seconds))


_signals = Listener(drain)
