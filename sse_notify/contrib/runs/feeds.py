"""What one run writes in this process, until it is stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from sse_notify.contrib.runs import blocks
from sse_notify.contrib.runs.blocks import Appended
from sse_notify.contrib.runs.states import State
from sse_notify.exceptions import SseNotifyError

#: Events of one run, and seconds, after which they are stored, whichever comes first.
BATCH_EVENTS, BATCH_SECONDS = 32, 0.05
#: Bytes of a part, unless one event has more: what reads a page of parts holds so many of them.
BATCH_BYTES = 32_768
#: Events and bytes of one run that may wait to be stored; then its iterator waits.
ROOM_EVENTS, ROOM_BYTES = 512, 1024 * 1024
#: Seconds for which a run waits for a database that is away, and then for its end to be stored.
AWAY_SECONDS = 30.0


class RunEnded(SseNotifyError):
    """Raised by :meth:`Run.write` when the run has ended: stopped by its user, or replaced.

    It ends the block of :meth:`Run.open` and does not propagate past it. ``state`` is the state of
    the run; "" if it is gone.
    """

    def __init__(self, state: str) -> None:
        super().__init__(f"The run has ended: {state or 'it is gone'}.")
        self.state = state


class RunExists(SseNotifyError):
    """Raised by :meth:`Run.open` if a run of the user goes on under the key: ``run``."""

    def __init__(self, run: Any) -> None:
        super().__init__(f"A run goes on under {run.key!r}. Give replace=True to stop it.")
        self.run = run


class Feed:
    """What one run writes, in this process. Callable from any thread.

    Args:
        pk: the run.
        wake: called with the moment at which something is due to be stored.
        max_bytes, max_seconds, stalls_after: the limits, see :meth:`Run.start`.
    """

    def __init__(
        self,
        pk: int,
        wake: Callable[[float], Any],
        *,
        max_bytes: int,
        max_seconds: float,
        stalls_after: float,
    ) -> None:
        self.pk = pk
        self._wake = wake
        self._left = max_bytes
        self.heard_at = monotonic()
        self._deadline = self.heard_at + max_seconds
        self._stalls_after = stalls_after
        self.number = 0
        self.waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._since = 0.0
        #: Since when the database has failed.
        self.failed_at: float | None = None
        #: How the run ends, or has ended if ``over`` is set.
        self.ending: tuple[State | str, str] | None = None
        self.over = threading.Event()
        self._changed = threading.Condition()
        #: Called, from any thread, once the run must end; and once there is room, or it is over.
        self.on_end: Callable[[], Any] = lambda: None
        self.on_room: Callable[[], Any] = lambda: None

    @property
    def is_full(self) -> bool:
        """Whether the writer of the run should wait."""
        return len(self.waiting) >= ROOM_EVENTS or self._waiting_bytes >= ROOM_BYTES

    def add(self, item: Any) -> None:
        """Add an event.

        Raises:
            RunEnded: the run has ended.
            TypeError, ValueError: the event cannot be sent.
        """
        with self._changed:
            if self.ending is not None:
                raise RunEnded(self.ending[0])
            block = blocks.encode_event(item, self.pk, self.number + 1)
            self._left -= len(block)
            if self._left < 0:
                self.end(State.FAILED, "max_bytes", closes=False)
                raise RunEnded(State.FAILED)
            self.heard_at = monotonic()
            if not self.waiting:
                self._since = self.heard_at
            self.number += 1
            self.waiting.append(block)
            self._waiting_bytes += len(block)
        if len(self.waiting) in (1, BATCH_EVENTS):
            self._wake(self.due())

    def wait(self) -> None:
        """Wait until there is room, or the run ends."""
        with self._changed:
            self._changed.wait_for(self._has_room)

    def _has_room(self) -> bool:
        return self.ending is not None or not self.is_full

    async def await_room(self) -> None:
        """Do what :meth:`wait` does, from async code."""
        await self._until(self._has_room)

    async def await_over(self) -> None:
        """Wait until the end is stored, or given up, from async code."""
        await self._until(self.over.is_set)

    async def _until(self, condition: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(news.set)

        self.on_room = tell
        while not condition():
            news.clear()
            if not condition():
                await news.wait()
        self.on_room = lambda: None

    def end(self, state: State | str, reason: str = "", *, closes: bool = True) -> None:
        """End the run in this way, unless it is ending.

        Args:
            state, reason: those of the run.
            closes: whether to close the iterator. ``False``: its driver calls, and does that.
        """
        with self._changed:
            if self.ending is not None:
                return
            self.ending = (state, reason)
            self._changed.notify_all()
        if closes:
            self.on_end()
        self.on_room()
        self._wake(0.0)

    def due(self) -> float:
        """Return when the next write or check of this run is due."""
        if self.ending is not None or len(self.waiting) >= BATCH_EVENTS:
            return 0.0
        return self._since + BATCH_SECONDS if self.waiting else float("inf")

    def check(self, now: float) -> None:
        """End the run if it is beyond a limit."""
        if now >= self._deadline:
            self.end(State.FAILED, "max_seconds")
        elif now - self.heard_at >= self._stalls_after and not self.is_full:
            self.end(State.STALLED)
        elif self.failed_at is not None and now - self.failed_at >= AWAY_SECONDS:
            self.end(State.FAILED, "database")

    def take(self, *, everything: bool) -> list[Appended]:
        """Return the parts to store next."""
        with self._changed:
            blocks, last = self.waiting, self.number - len(self.waiting)
        parts: list[Appended] = []
        some: list[bytes] = []
        for block in (*blocks, b""):
            is_full = len(some) == BATCH_EVENTS or sum(map(len, some)) + len(block) > BATCH_BYTES
            if some and (is_full or (everything and not block)):
                last += len(some)
                parts.append(Appended(self.pk, last - len(some) + 1, last, b"".join(some)))
                some = []
            some.append(block)
        return parts

    def stored(self, last: int) -> None:
        """Forget the events up to the number ``last``, which are stored."""
        with self._changed:
            self.waiting = self.waiting[max(len(self.waiting) - (self.number - last), 0) :]
            self._waiting_bytes = sum(map(len, self.waiting))
            self._since = monotonic()
            self._changed.notify_all()
        self.on_room()

    def refused(self, state: State | str) -> None:
        """Take note that others have ended the run, or that it is gone."""
        self.end(state)
        with self._changed:
            self.waiting, self._waiting_bytes = [], 0
        self.finished()

    def finished(self) -> None:
        """Take note that the end is stored, or given up."""
        self.over.set()
        self.on_room()

    def leave_to_parent(self) -> None:
        """End the run for this process, a forked child, whose threads do not store it."""
        self._changed, self.over = threading.Condition(), threading.Event()  # others held these
        self.ending = ("", "")
        self.over.set()


def ending_for(error: BaseException | None) -> State:
    """Return the state of a run whose code ended with ``error``."""
    if error is None:
        return State.DONE
    return State.FAILED if isinstance(error, Exception) else State.INTERRUPTED
