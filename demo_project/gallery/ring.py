"""The newest things of a feed, for any number of readers, each at its own pace."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T")

#: What a reader takes at a time. The rest may still be pushed out before it comes back.
_AT_ONCE = 20


class Ring(Generic[T]):
    """A bounded feed: what is added gets the next number, and pushes out the oldest.

    Readers have no queue of their own, only the number of what they had last: a thousand cost no more memory than one, and who is too
    slow finds a hole in the numbers. It belongs to one process; what several have to share belongs into the database.

    Args:
        size: how many things are kept.
        last: the number before the first.
    """

    def __init__(self, size: int, *, last: int = 0) -> None:
        #: The number of the newest.
        self.last = last
        self._things: deque[T] = deque(maxlen=size)
        self._lock = threading.Lock()
        self._bells: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def append(self, thing: T) -> int:
        """Add ``thing``, from any thread, and return its number."""
        with self._lock:
            self._things.append(thing)
            self.last += 1
            number, bells = self.last, list(self._bells)
        for loop, bell in bells:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(bell.set)
        return number

    def after(self, number: int, *, limit: int | None = None) -> list[tuple[int, T]]:
        """Return the oldest ``limit`` things that are later than ``number`` and still there, each with its number."""
        with self._lock:
            oldest = self.last - len(self._things) + 1
            start = max(number + 1, oldest)
            skipped = start - oldest
            stop = None if limit is None else skipped + limit
            return list(enumerate(islice(self._things, skipped, stop), start))

    async def follow(self, number: int) -> AsyncIterator[tuple[int, T]]:
        """Yield what is later than ``number``, then what is added, each with its number; one that nobody gave out yet counts as none."""
        if number > self.last:
            number = -1
        bell = asyncio.Event()
        entry = asyncio.get_running_loop(), bell
        self._bells.add(entry)
        try:
            while True:
                bell.clear()
                for number, thing in self.after(number, limit=_AT_ONCE):  # noqa: B020  (the next round goes on from there)
                    yield number, thing
                if number >= self.last:
                    await bell.wait()
        finally:
            self._bells.discard(entry)
