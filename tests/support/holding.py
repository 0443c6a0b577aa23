"""A proxy that knows event streams, and treats them badly: it holds them back until it is told otherwise, or breaks one off inside an event."""

from __future__ import annotations

import asyncio
from typing import Self

from tests.support.proxy import Proxy


class HoldingProxy(Proxy):
    """As :class:`tests.support.proxy.Proxy`; what it passes through unharmed is everything but the bodies of event streams.

    Args:
        target: the port that it leads to.
        hold: whether it holds back what comes after a stream's headers, as proxies and virus scanners do that wait for the end.
    """

    def __init__(self, target: int, *, hold: bool = False) -> None:
        """Prepare it; entering the block starts it."""
        super().__init__(target)
        self._hold = hold
        self._released = asyncio.Event()
        self._marker = b""

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def release(self) -> None:
        """Let what was held back go on, and hold nothing from now on."""
        self._call(self._released.set)

    def break_off_before(self, marker: str) -> None:
        """Close the next connection that carries ``marker`` to a client, right before it and after all that precedes it."""

        def remember() -> None:
            self._marker = marker.encode()

        self._call(remember)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                head, end, body = data.partition(b"\r\n\r\n")
                if (
                    self._hold
                    and not self._released.is_set()
                    and head.startswith(b"HTTP/")
                    and b"text/event-stream" in head
                ):
                    writer.write(head + end)
                    await self._released.wait()
                    data = body
                before, marker, _ = (
                    data.partition(self._marker) if self._marker else (data, b"", b"")
                )
                writer.write(before)
                await writer.drain()
                if marker:
                    self._marker = b""
                    writer.close()
                    return
            writer.write_eof()
        except OSError:
            writer.transport.abort()
