"""Hearing that the process is asked to end, and saying so to the streams before the server acts on it.

No ASGI server tells an open response that it is shutting down. Most wait for it to end by itself; daphne cuts it at once. So the
first stream puts a handler before the server's own for SIGTERM and SIGINT: the streams are told first, and when they have taken
their leave, or after :data:`TOLD_SECONDS`, the signal is sent once more and reaches the server.

Only the main thread may install a handler. Under autoreload, which runs the server in another thread, the streams are simply cut.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

#: Seconds that the server's own handler waits for the streams. Who cannot take a few bytes in that time is slow: on a server that
#: waits for responses it has the rest of ``DRAIN_SECONDS``, on one that cuts them it resumes with its cursor all the same.
TOLD_SECONDS = 2.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Listener:
    """Calls ``tell`` on SIGTERM and SIGINT, and passes the signal on to the handlers that were there when ``tell`` is done.

    Args:
        tell: starts what is to happen first, and calls its argument when that is done, from any thread. It must not block.
    """

    def __init__(self, tell: Callable[[Callable[[], None]], None]) -> None:
        self._tell = tell
        self._previous: dict[int, Any] = {}
        self._heard = False
        self._passed_on = False

    def install(self) -> None:
        """Put the handler before the server's own, once; nothing happens where it cannot be."""
        if self._previous or threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            previous = signal.getsignal(number)
            if (
                previous is not None
            ):  # None: not installed from Python, so that it could not be called
                self._previous[number] = previous
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._heard:
            self._heard = True
            timer = threading.Timer(TOLD_SECONDS, self._pass_on, [number])
            timer.daemon = True
            timer.start()
            self._tell(lambda: self._pass_on(number))
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

    def _pass_on(self, number: int) -> None:
        if self._passed_on:
            return
        self._passed_on = True
        main = threading.main_thread().ident
        if hasattr(signal, "pthread_kill") and main is not None:
            signal.pthread_kill(
                main, number
            )  # also wakes a loop that sleeps, which a plain call would not
        else:
            signal.raise_signal(number)
