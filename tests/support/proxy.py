"""A TCP proxy that can be told to misbehave: to cut, to stall, to swallow everything, to refuse.

It stands between clients and a server, or between a server and its Redis or PostgreSQL, and knows nothing of what it carries.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from tests.support import GUARD

T = TypeVar("T")

_CHUNK = 65536


class Proxy:
    """A proxy on a port of its own, in a thread of its own, so that sync and async tests can use it alike.

    ::

        with Proxy(server.port) as proxy:
            ...  # clients connect to proxy.port
            proxy.cut()

    Args:
        target: the port that it leads to, on the loopback interface.
    """

    def __init__(self, target: int) -> None:
        """Prepare it; entering the block starts it."""
        self.target = target
        self.port = 0
        #: Connections so far, and bytes that were swallowed.
        self.accepted = 0
        self.swallowed = 0
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._refusing = False
        # Made on the loop: set while bytes are passed on, clear while they wait.
        self._flowing = asyncio.Event()
        self._swallowing = False
        self._breaking_point = b""

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(GUARD)
        self._loop.close()

    @property
    def open(self) -> int:
        """How many connections it carries now."""
        return len(self._pairs)

    def cut(self, number: int | None = None) -> int:
        """Reset ``number`` connections chosen at random, or all, on both sides; return how many there were."""
        return self._call(lambda: self._cut(number))

    def stall(self) -> None:
        """Pass nothing on, and read nothing: both sides see a peer that is there and says nothing, and their buffers fill."""
        self._call(self._flowing.clear)

    def resume(self) -> None:
        """Undo :meth:`stall`, :meth:`blackhole` and :meth:`refuse`. What was stalled flows on; what was swallowed is gone."""

        def undo() -> None:
            self._refusing = self._swallowing = False
            self._flowing.set()

        self._call(undo)

    def blackhole(self) -> None:
        """Swallow what comes from either side, and say nothing of a side that goes: every packet is dropped."""

        def swallow() -> None:
            self._swallowing = True

        self._call(swallow)

    def break_after(self, text: bytes) -> None:
        """Reset the connection that carries ``text`` next, when it has passed that on, and nothing behind it. The text is in one piece."""

        def break_after() -> None:
            self._breaking_point = text

        self._call(break_after)

    def refuse(self) -> None:
        """Reset every new connection at once."""

        def refuse() -> None:
            self._refusing = True

        self._call(refuse)

    # --- on the loop ---

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(GUARD)

    def _call(self, function: Callable[[], T]) -> T:
        async def work() -> T:
            return function()

        return self._run(work())

    async def _start(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self._flowing.set()
        for _ in range(2):  # connections that were accepted just now become pairs
            await asyncio.sleep(0)
        self._cut(None)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, others = await asyncio.wait(others, timeout=1.0)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted closes its sockets

    def _cut(self, number: int | None) -> int:
        pairs = list(self._pairs)
        chosen = pairs if number is None else random.sample(pairs, min(number, len(pairs)))
        for pair in chosen:
            pair.reset()
        return len(chosen)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            _reset(writer)
            return
        try:
            far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(writer)
            return
        pair = _Pair(writer, far[1])
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pump(reader, far[1]), self._pump(far[0], writer))
        finally:
            pair.reset()
            self._pairs.discard(pair)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                if self._swallowing:
                    self.swallowed += len(data)
                elif (point := self._breaking_point) and point in data:
                    self._breaking_point = b""
                    writer.write(data[: data.index(point) + len(point)])
                    _reset(writer)
                else:
                    writer.write(data)
                    await writer.drain()
            await self._flowing.wait()
            if not self._swallowing:
                writer.write_eof()
        except OSError:
            # The other half ends with it, unless nobody is to hear of it.
            if not self._swallowing:
                writer.transport.abort()


class _Pair:
    """The two halves of one connection."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers

    def reset(self) -> None:
        for writer in self._writers:
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST, which tells the peer that something broke."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0 and not writer.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
