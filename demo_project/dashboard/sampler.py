"""One measurement for all watchers: it starts with the first and ends with the last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from demo_project.gallery.ring import Ring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

T = TypeVar("T")


class Sampler(Generic[T]):
    """Measures while it is watched, on the event loop of the first watcher.

    Args:
        begin: called for the first watcher; returns a function that takes one measurement. That
            function must be quick, and may compare with the measurement before.
        interval: seconds between two measurements.
        size: how many measurements are kept for later watchers.
    """

    def __init__(self, begin: Callable[[], Callable[[], T]], *, interval: float, size: int) -> None:
        self._begin = begin
        self._interval = interval
        self._size = size
        self._task: asyncio.Task[None] | None = None
        self._ring: Ring[T] = Ring(size)
        #: The number of watchers.
        self.watchers = 0

    @property
    def is_running(self) -> bool:
        """Whether it measures."""
        return self._task is not None

    async def watch(self) -> AsyncIterator[T]:
        """Yield the recent measurements, then each new one. Close it to stop watching."""
        self.watchers += 1
        if self._task is None:
            self._ring = Ring(self._size)  # older measurements have a gap after them
            self._task = asyncio.create_task(self._run(self._begin()))
        try:
            async for _number, sample in self._ring.follow(0):
                yield sample
        finally:
            self.watchers -= 1
            if not self.watchers:
                self._task.cancel()
                self._task = None

    async def _run(self, measure: Callable[[], T]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += self._interval
            await asyncio.sleep(due - loop.time())
            self._ring.append(measure())
