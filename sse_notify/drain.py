"""Hearing that the process is asked to end, and telling the streams.

No ASGI server tells an open response that it is shutting down, and most wait for it to end by itself. So the first stream puts
a handler before the server's own for SIGTERM and SIGINT: it has the hubs say ``bye`` and then calls the handler that was there.

Only the main thread may install it. Under autoreload, which runs the server in another thread, the streams are simply cut.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from sse_notify import hub
from sse_notify.admission import admission
from sse_notify.conf import get_settings

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: The handlers that were there before.
_installed: dict[int, Any] = {}


def install() -> None:
    """Put the handler before the server's own, once; nothing happens where it cannot be."""
    if _installed or threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        previous = signal.getsignal(number)
        if previous is not None:  # None: not installed from Python, so that it could not be called
            _installed[number] = previous
            signal.signal(number, _handle)


def begin() -> None:
    """Refuse new streams and end the open ones, their clients' return spread over ``DRAIN_SECONDS``. Callable from any thread."""
    admission.draining = True
    seconds = get_settings().DRAIN_SECONDS
    hub.each(lambda each: each.drain(seconds))


def _handle(number: int, frame: FrameType | None) -> None:
    begin()
    previous = _installed.get(number)
    if callable(previous):
        previous(number, frame)
    elif previous == signal.SIG_DFL:
        # What would have happened without us: the default action, which ends the process.
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
