"""What waits to be written to one client, in bounded memory."""

from __future__ import annotations


class Buffer:
    """Blocks in their order. What doesn't fit takes all with it: half of a client's events would be worse than none.

    Args:
        limit: bytes that may wait.
    """

    __slots__ = ("_blocks", "limit", "size")

    def __init__(self, limit: int) -> None:
        self._blocks: list[bytes] = []
        self.limit = limit
        self.size = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def put(self, block: bytes) -> bool:
        """Add ``block`` and return whether it fits; empty the buffer if not."""
        self._blocks.append(block)
        self.size += len(block)
        if self.size > self.limit:
            self.clear()
            return False
        return True

    def put_last(self, block: bytes) -> None:
        """Add the block after which nothing comes, however much waits."""
        self._blocks.append(block)

    def take(self) -> bytes:
        """Return what waits as one chunk and empty the buffer, which must hold something."""
        chunk = b"".join(self._blocks) if len(self._blocks) > 1 else self._blocks[0]
        self.clear()
        return chunk

    def clear(self) -> None:
        """Empty the buffer."""
        self._blocks.clear()
        self.size = 0
