"""Turns for the work of streams in threads, so that pages go on while many clients come back.

Python runs one thread at a time. A page needs its turn again and again: for each middleware, each
query, each step of the event loop. Seven busy handshakes would take seven of eight turns.

So the handshakes and replays of an event loop begin in order, and two are at work at once. One that
waits, say for a database far away, leaves the process idle; it soon no longer counts, and the next
may begin, up to the number of threads. None begins in the first moments of another request. If
such requests take longer, they and the turns get half of the time each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, process_time
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from sse_notify.concurrency import threadpool

T = TypeVar("T")

AT_ONCE = 2  #: Turns at once, of those that count.
IDLE_SECONDS = 0.002  #: Seconds of an idle process after which a turn no longer counts.
HOLD_SECONDS = 0.04  #: Seconds that other requests may hold turns up; they come back as they pass.


class Turns:
    """The turns on ``loop``. Call all methods there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        #: How long the process had been idle when each turn began.
        self._begun: dict[asyncio.Future[None], float] = {}
        self._others = 0  #: Other requests in progress.
        self._holds = False  #: Whether they hold turns up now, and the seconds that they still may.
        self._left = HOLD_SECONDS
        self._looked_at = monotonic()
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def other(self) -> Iterator[Callable[[], None]]:
        """Give way to another request in the block, or until the result is called."""
        self._others += 1
        self._begin()
        is_over = False

        def end() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                self._others -= 1
                self._begin()

        try:
            yield end
        finally:
            end()

    def ask(self) -> asyncio.Future[None]:
        """Return a future that is done when a turn begins. The caller must :meth:`end` it."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        self._begin()
        return turn

    def end(self, turn: asyncio.Future[None]) -> None:
        """End a turn, or stop waiting for it. May be called more than once."""
        turn.cancel()
        if self._begun.pop(turn, None) is not None:
            self._begin()

    def _begin(self) -> None:
        """Begin the turns that may begin now, and look again later for the others."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            if self._waiting[0].cancelled():
                self._waiting.popleft()
            elif (seconds := self._pause()) > 0:
                self._timer = _call_later(seconds, self._begin)
                return
            else:
                turn = self._waiting.popleft()
                self._begun[turn] = monotonic() - process_time()
                turn.set_result(None)
        self._look(monotonic())

    def _pause(self) -> float:
        """Return the seconds until a turn may begin, if none ends before; 0: now."""
        now = monotonic()
        self._look(now)
        if self._holds:
            return max(self._left, 0.001)  # a timer of uvloop counts whole milliseconds
        idle = now - process_time()
        counting = sorted(begun for begun in self._begun.values() if idle - begun < IDLE_SECONDS)
        return counting[-AT_ONCE] + IDLE_SECONDS - idle if len(counting) >= AT_ONCE else 0.0

    def _look(self, now: float) -> None:
        """Take the time since the last look from what is left, or add it."""
        passed, self._looked_at = now - self._looked_at, now
        self._left += -passed if self._holds else passed
        self._left = min(max(self._left, 0.0), HOLD_SECONDS)
        self._holds = bool(self._waiting and self._others and self._left > 0)


def _call_later(seconds: float, function: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, function)


#: The turns on each event loop, by the loop's id, while somebody uses them.
_turns: WeakValueDictionary[int, Turns] = WeakValueDictionary()


def current() -> Turns:
    """Return the turns of the running loop."""
    loop = asyncio.get_running_loop()
    if (turns := _turns.get(id(loop))) is None:
        turns = _turns[id(loop)] = Turns(loop)
    return turns


async def run(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run ``function`` in a thread of the streams, in its turn."""
    turns = current()
    turn = turns.ask()
    try:
        await turn
        return await threadpool.streams(function, *args, **kwargs)
    finally:
        turns.end(turn)
