"""A ring buffer that any number of readers follow, each at its own pace."""

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

#: Items that a reader takes at a time. The rest may be dropped before it continues.
_AT_ONCE = 20


class Ring(Generic[T]):
    """A ring buffer: a new item gets the next number and replaces the oldest.

    A reader has no queue, only the number of its last item, so a thousand readers need hardly more
    memory than one. A slow reader finds a gap in the numbers. The buffer belongs to one process;
    use the database to share items between processes.

    Args:
        size: how many items are kept.
        last: the number before the first item.
    """

    def __init__(self, size: int, *, last: int = 0) -> None:
        #: The number of the newest item.
        self.last = last
        self._things: deque[T] = deque(maxlen=size)
        self._lock = threading.Lock()
        self._bells: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def append(self, thing: T) -> int:
        """Add ``thing`` and return its number. Callable from any thread."""
        with self._lock:
            self._things.append(thing)
            self.last += 1
            number, bells = self.last, list(self._bells)
        for loop, bell in bells:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(bell.set)
        return number

    def after(self, number: int, *, limit: int | None = None) -> list[tuple[int, T]]:
        """Return the oldest ``limit`` items that are newer than ``number``, with their numbers."""
        with self._lock:
            oldest = self.last - len(self._things) + 1
            start = max(number + 1, oldest)
            skipped = start - oldest
            stop = None if limit is None else skipped + limit
            return list(enumerate(islice(self._things, skipped, stop), start))

    async def follow(self, number: int) -> AsyncIterator[tuple[int, T]]:
        """Yield the items after ``number``, then each new item, with their numbers.

        A ``number`` that is not yet in use counts as none: all items follow.
        """
        if number > self.last:
            number = -1
        bell = asyncio.Event()
        entry = asyncio.get_running_loop(), bell
        self._bells.add(entry)
        try:
            while True:
                bell.clear()
                for number, thing in self.after(number, limit=_AT_ONCE):  # noqa: B020
                    yield number, thing
                if number >= self.last:
                    await bell.wait()
        finally:
            self._bells.discard(entry)
