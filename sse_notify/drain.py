"""Hearing that the process is asked to end.

No ASGI server tells an open response that it is shutting down, and most wait for it to end by itself. So the first stream puts
a handler before the server's own for SIGTERM and SIGINT: it tells the hubs, and then calls the handler that was there.

Only the main thread may install it. Under autoreload, which runs the server in another thread, the streams are simply cut.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Listener:
    """Calls ``tell`` on SIGTERM and SIGINT, before the handlers that were there."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Put the handler before the server's own, once; nothing happens where it cannot be."""
        if self._previous or threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            previous = signal.getsignal(number)
            if previous is not None:  # None: not installed from Python, so that it could not be called
                self._previous[number] = previous
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._tell()
        previous = self._previous.get(number)
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            # What would have happened without us: the default action, which ends the process.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
