"""The client: any number of streams in this process, as raw protocols on one event loop.

While a measurement runs it does the least that can be done: note the time and the bytes, count marks. What the bytes say is read
afterwards (``transcript``).
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

from benchmarks.transcript import MARK, Arrival, Transcript

#: Connections from one loopback address: below the usual range of ephemeral ports (28,000).
STREAMS_PER_ADDRESS = 20_000
#: Seconds that one stream may take to open, the queue before it included.
OPEN_TIMEOUT = 120.0


class Stream(asyncio.Protocol):
    """One open stream."""

    __slots__ = ("_early", "_swarm", "chunks", "opened", "transcript", "transport")

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._early: bytes | None = b""  # until the greeting is seen
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.chunks: list[tuple[int, bytes]] = []
        self.transcript = Transcript()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's do not derive from asyncio's

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.chunks.append((now, data))
        if self._early is not None:
            self._early += data
            if self._swarm.greeting in self._early:
                self._early = None
                if not self.opened.done():
                    self.opened.set_result(None)
            return
        self._swarm.received(data.count(MARK))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(
                ConnectionError(f"closed before its greeting, after {self._early!r}")
            )
        else:
            self._swarm.lost()


class Swarm:
    """Many streams to one server.

    Args:
        address: the server's.
        path: of the stream, with its query.
        cookies: one ``Cookie`` header's value for each stream that will be opened; empty where the server knows no users.
        greeting: the bytes that say that a stream is open.
    """

    def __init__(
        self, address: tuple[str, int], path: str, cookies: Sequence[str], greeting: bytes
    ) -> None:
        self.address = address
        self.path = path
        self.greeting = greeting
        self.streams: list[Stream] = []
        self.closed_by_server = 0
        self._cookies = cookies
        self._marks = 0
        self._target = 0
        self._reached: asyncio.Event = asyncio.Event()
        self._closing = False

    async def open_until(self, count: int, *, concurrency: int) -> float:
        """Open streams until ``count`` are open, never more than ``concurrency`` handshakes at once; return the seconds it took.

        Raises:
            ConnectionError, TimeoutError: a stream was refused.
        """
        waiting: Iterator[int] = iter(range(len(self.streams), count))
        started = time.monotonic()
        async with asyncio.timeout(OPEN_TIMEOUT), asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(self._open_each(waiting))
        return time.monotonic() - started

    async def _open_each(self, waiting: Iterator[int]) -> None:
        loop = asyncio.get_running_loop()
        host, port = self.address
        for index in waiting:
            stream = Stream(self)
            self.streams.append(stream)
            source = (
                (f"127.0.0.{1 + index // STREAMS_PER_ADDRESS}", 0)
                if index >= STREAMS_PER_ADDRESS
                else None
            )
            transport, _ = await loop.create_connection(
                lambda stream=stream: stream, host, port, local_addr=source
            )
            cookie = f"Cookie: {self._cookies[index]}\r\n" if self._cookies else ""
            transport.write(
                f"GET {self.path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n{cookie}\r\n".encode()
            )
            await stream.opened

    def received(self, marks: int) -> None:
        """Count measured events; called by the streams."""
        self._marks += marks
        if self._marks >= self._target:
            self._reached.set()

    def lost(self) -> None:
        """Count a stream that the server ended; called by the streams."""
        if not self._closing:
            self.closed_by_server += 1

    def expect(self, events: int) -> None:
        """Begin a measurement in which every stream should get ``events`` events."""
        self._marks = 0
        self._target = events * len(self.streams)
        self._reached.clear()

    async def all_arrived(self, *, quiet: float) -> bool:
        """Wait until all that is expected has arrived, or nothing has for ``quiet`` seconds; return whether all has."""
        while True:
            before = self._marks
            try:
                async with asyncio.timeout(quiet):
                    await self._reached.wait()
                    return True
            except TimeoutError:
                if self._marks == before:
                    return False

    def take(self) -> list[list[Arrival]]:
        """Return what each stream received since the last call, in order."""
        taken = []
        for stream in self.streams:
            taken.append(
                [
                    arrival
                    for at, data in stream.chunks
                    for arrival in stream.transcript.feed(at, data)
                ]
            )
            stream.chunks.clear()
        return taken

    def cut(self) -> None:
        """Close all streams at once, and let others be opened."""
        self.close()
        self.streams = []
        self._closing = False

    def close(self) -> None:
        """Close all streams at once."""
        self._closing = True
        for stream in self.streams:
            if stream.transport is not None:
                stream.transport.abort()


class Caller:
    """Plain requests, one after the other: to wait until the server is ready, and to make it publish."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: dict[str, Any]) -> None:
        """Send ``body`` as JSON and wait for the answer, on the connection of the last call if the server kept it.

        Raises:
            ConnectionError: the status is not 200.
        """
        payload = json.dumps(body).encode()
        reader, writer = await self._connect()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n".encode()
            + payload
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").lower()
        length = next(
            int(line.split(":")[1])
            for line in head.split("\r\n")
            if line.startswith("content-length:")
        )
        answer = await reader.readexactly(length)
        if head.split(" ")[1] != "200":
            raise ConnectionError(f"{path} answered {head.splitlines()[0]}: {answer[:300]!r}")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._connection is None or self._connection[0].at_eof():
            self.close()
            self._connection = await asyncio.open_connection(*self._address)
            self._connection[1].get_extra_info("socket").setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )
        return self._connection

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None
