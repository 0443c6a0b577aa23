"""What waits to be written to one client, in bounded memory, and the task that waits for it."""

from __future__ import annotations

import asyncio

from sse_notify.sse import control


class Buffer:
    """Blocks in their order, of two kinds, as what becomes of them differs when they don't fit.

    An event of the log takes all with it: half of a client's events would be worse than none, and the log has them. Ephemeral events are
    nowhere else: those that wait make room, the oldest before anything new, and the client is told how many it did not get.

    Args:
        limit: bytes that may wait.
    """

    __slots__ = ("_blocks", "_ephemeral", "_news", "limit", "lost", "size")

    def __init__(self, limit: int) -> None:
        self._blocks: list[bytes] = []
        #: Which of the blocks are ephemeral events.
        self._ephemeral: list[int] = []
        # A future for as long as the task waits: an asyncio.Event takes several times the memory.
        self._news: asyncio.Future[None] | None = None
        self.limit = limit
        self.size = 0
        #: Ephemeral events that were dropped and that the client was not told of.
        self.lost = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def __bool__(self) -> bool:
        return bool(self._blocks or self.lost)

    def put(self, block: bytes) -> bool:
        """Add ``block`` and return whether it fits; empty the buffer if not."""
        fits = self.size + len(block) <= self.limit or self._make_room(len(block))
        if fits:
            self._blocks.append(block)
            self.size += len(block)
        else:
            self.clear()
        self.wake()
        return fits

    def put_ephemeral(self, block: bytes) -> None:
        """Add a block that is in no log, if it fits when all others of its kind are gone."""
        if self.size + len(block) <= self.limit or self._make_room(len(block)):
            self._ephemeral.append(len(self._blocks))
            self.put_anyway(block)
        else:
            self.lost += 1
            self.wake()

    def put_anyway(self, block: bytes) -> None:
        """Add ``block``, however much waits: the last one, or one whose sender looks at the size itself."""
        self._blocks.append(block)
        self.size += len(block)
        self.wake()

    def take(self) -> bytes:
        """Return what waits as one chunk, first how many were lost, and empty the buffer."""
        if self.lost:
            chunk = b"".join((control.lost(self.lost), *self._blocks))
            self.lost = 0
        else:
            chunk = self._blocks[0] if len(self._blocks) == 1 else b"".join(self._blocks)
        self._ephemeral.clear()
        self._blocks.clear()
        self.size = 0
        return chunk

    def clear(self) -> None:
        """Empty the buffer."""
        self.lost += len(self._ephemeral)
        self._ephemeral.clear()
        self._blocks.clear()
        self.size = 0

    def news(self) -> asyncio.Future[None]:
        """Return what is done with the next block, or :meth:`wake`. One task waits; it looks first whether it has to."""
        self._news = asyncio.get_running_loop().create_future()
        return self._news

    def wake(self) -> None:
        """Have the task that waits look again, if there is one."""
        if self._news is not None:
            if not self._news.done():
                self._news.set_result(None)
            self._news = None

    def _make_room(self, size: int) -> bool:
        """Drop the ephemeral events, and return whether that is enough."""
        if self._ephemeral:
            gone = set(self._ephemeral)
            kept = [block for place, block in enumerate(self._blocks) if place not in gone]
            self.clear()
            self._blocks = kept
            self.size = sum(map(len, kept))
        return self.size + size <= self.limit
