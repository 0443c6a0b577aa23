"""What one stream received: HTTP/1.1 response ─► chunks ─► events ─► arrivals. No clock and no socket.

The client only notes bytes and times while a measurement runs; this reads them afterwards, so that parsing costs no latency.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: Every measured event carries its number and the server's monotonic time in nanoseconds at the call that published it.
STAMP = re.compile(rb'"n": ?(\d+), ?"t": ?(\d+)')
#: Occurs once in each measured event and in nothing else.
MARK = b'"n":'

_END_OF_HEAD = b"\r\n\r\n"


class BadResponse(Exception):
    """Raised when a server does not answer with a 200 and a chunked body."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One measured event at one client."""

    number: int
    """Which event it was."""
    latency: int
    """Nanoseconds from the call that published it until its last byte was here."""


class Transcript:
    """Reads one response, fed in pieces of any size."""

    __slots__ = ("_body", "_head", "_left", "_raw")

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._raw = b""
        self._left = 0  # bytes of the current chunk, with its CRLF, that are still to come
        self._body = b""

    def feed(self, at: int, data: bytes) -> Iterator[Arrival]:
        """Yield the measured events that ``data`` completes.

        Args:
            at: monotonic nanoseconds when it was received.
            data: the bytes.

        Raises:
            BadResponse: the status is not 200, or the body is not chunked.
        """
        if self._head is not None:
            self._head += data
            head, found, data = self._head.partition(_END_OF_HEAD)
            if not found:
                return
            _check(head)
            self._head = None
        self._body += self._unchunk(data)
        # A CR may be the first half of a CRLF: it waits for the next piece.
        kept = b"\r" if self._body.endswith(b"\r") else b""
        *events, rest = self._body.removesuffix(b"\r").replace(b"\r\n", b"\n").split(b"\n\n")
        self._body = rest + kept
        for event in events:
            if stamp := STAMP.search(event):
                yield Arrival(int(stamp[1]), at - int(stamp[2]))

    def _unchunk(self, data: bytes) -> bytes:
        raw = self._raw + data
        parts: list[bytes] = []
        position = 0
        while position < len(raw):
            if self._left:
                piece = raw[position : position + self._left]
                position += len(piece)
                # The last two bytes of a chunk are its CRLF.
                payload = max(0, self._left - 2)
                parts.append(piece[:payload])
                self._left -= len(piece)
                continue
            line_end = raw.find(b"\r\n", position)
            if line_end < 0:
                break
            size = int(raw[position:line_end].partition(b";")[0], 16)
            position = line_end + 2
            self._left = size + 2
        self._raw = raw[position:]
        return b"".join(parts)


def _check(head: bytes) -> None:
    status_line, *lines = head.split(b"\r\n")
    if status_line.split(b" ")[1] != b"200":
        raise BadResponse(status_line.decode("latin1"))
    headers = {
        name.strip().lower(): value.strip().lower()
        for name, _, value in (line.partition(b":") for line in lines)
    }
    if headers.get(b"transfer-encoding") != b"chunked":
        raise BadResponse("the body is not chunked")
