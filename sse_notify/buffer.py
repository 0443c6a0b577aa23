"""What waits to be written to one client, in bounded memory."""

from __future__ import annotations

from sse_notify import frames


class Buffer:
    """Blocks in their order, of two kinds, as what becomes of them differs when they don't fit.

    An event of the log takes all with it: half of a client's events would be worse than none, and the log has them. Ephemeral events are
    nowhere else: those that wait make room, the oldest before anything new, and the client is told how many it did not get.

    Args:
        limit: bytes that may wait.
    """

    __slots__ = ("_blocks", "_ephemeral", "limit", "lost", "size")

    def __init__(self, limit: int) -> None:
        self._blocks: list[bytes] = []
        #: Which of the blocks are ephemeral events.
        self._ephemeral: list[int] = []
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
        if self._makes_room(len(block)):
            self._blocks.append(block)
            self.size += len(block)
            return True
        self.clear()
        return False

    def put_ephemeral(self, block: bytes) -> None:
        """Add a block that is in no log, if it fits when all others of its kind are gone."""
        if self._makes_room(len(block)):
            self._ephemeral.append(len(self._blocks))
            self._blocks.append(block)
            self.size += len(block)
        else:
            self.lost += 1

    def put_last(self, block: bytes) -> None:
        """Add the block after which nothing comes, however much waits."""
        self._blocks.append(block)

    def take(self) -> bytes:
        """Return what waits as one chunk, first how many were lost, and empty the buffer, which must hold something."""
        if self.lost:
            chunk = b"".join((frames.lost(self.lost), *self._blocks))
        else:
            chunk = b"".join(self._blocks) if len(self._blocks) > 1 else self._blocks[0]
        self._ephemeral.clear()  # were not lost
        self.clear()
        self.lost = 0
        return chunk

    def clear(self) -> None:
        """Empty the buffer."""
        self.lost += len(self._ephemeral)
        self._ephemeral.clear()
        self._blocks.clear()
        self.size = 0

    def _makes_room(self, size: int) -> bool:
        if self.size + size > self.limit and self._ephemeral:
            gone = set(self._ephemeral)
            kept = [block for place, block in enumerate(self._blocks) if place not in gone]
            self.clear()
            self._blocks = kept
            self.size = sum(map(len, kept))
        return self.size + size <= self.limit
