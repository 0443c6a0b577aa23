"""The body of a stream, taken apart as it comes: HTTP chunks, then blocks. Small and fast, for many clients in one loop."""

from __future__ import annotations

from collections.abc import Iterator


class Chunks:
    """Blocks out of the bytes of a response's body.

    Args:
        chunked: whether the body comes in HTTP chunks (RFC 9112, section 7.1), or bare until the connection ends.
    """

    def __init__(self, *, chunked: bool) -> None:
        """Start at the first byte after the head."""
        #: Whether the last chunk came: the server ended the response.
        self.ended = False
        self._chunked = chunked
        self._raw = b""
        self._text = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the blocks that are complete with ``data``, without their blank lines; empty ones are left out."""
        self._text += self._unchunk(data) if self._chunked else data
        *blocks, self._text = self._text.split(b"\n\n")
        for block in blocks:
            if block.strip(b"\n"):
                yield block.strip(b"\n")

    def _unchunk(self, data: bytes) -> bytes:
        raw = self._raw + data
        found, at = [], 0
        while not self.ended:
            line_end = raw.find(b"\r\n", at)
            if line_end < 0:
                break
            size = int(raw[at:line_end].split(b";", 1)[0], 16)
            start = line_end + 2
            if len(raw) < start + size + 2:
                break
            found.append(raw[start : start + size])
            at = start + size + 2
            self.ended = size == 0
        self._raw = raw[at:]
        return b"".join(found)


def fields(block: bytes) -> tuple[bytes, int | None, bytes]:
    """Return the event, the id and the data of a block as this package writes it: one line each."""
    name, number, data = b"message", None, b""
    for line in block.split(b"\n"):
        if line.startswith(b"event: "):
            name = line[7:]
        elif line.startswith(b"data: "):
            data = line[6:]
        elif line.startswith(b"id: "):
            number = int(line[4:])
    return name, number, data
