"""A view's own events on every server: sent as they come, and their source stopped when the client leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

import httpx
import pytest

from tests.support import GUARD
from tests.support.servers import ASGI_KINDS, Kind
from tests.support.site import Site

pytestmark = pytest.mark.asyncio

#: Clients that come and leave, one after the other.
CLIENTS = 11


@pytest.mark.parametrize("kind", ASGI_KINDS)
async def test_it_is_sent_as_it_comes_to_its_end(site: Site, kind: Kind) -> None:
    server = site.serve(kind)
    async with (
        httpx.AsyncClient(timeout=GUARD, trust_env=False) as client,
        client.stream("POST", server.url + "/echo/", content="ein zwei ärger") as response,
    ):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        body = (await response.aread()).decode()
    chunks = "".join(
        f'event: chunk\ndata: {{"word":"{word}"}}\n\n' for word in ("ein", "zwei", "ärger")
    )
    assert body.removeprefix(":\n") == chunks + "data: [DONE]\n\n", (
        "a comment opens it on a machine that is slow"
    )


@pytest.mark.parametrize("does", ["ticks", "silence"])
@pytest.mark.parametrize("kind", ASGI_KINDS)
async def test_its_source_stops_when_the_client_leaves(site: Site, kind: Kind, does: str) -> None:
    """Whether it works, and the socket would tell, or waits in silence and nothing is written. It tells its begin and its end itself."""
    server = site.serve(kind)
    idle = site.stats(server)["threads"]
    took = []
    async with announcements() as (port, source):
        for _ in range(CLIENTS):
            # By hand: daphne sends the head of an answer with the first of its body only, and here nothing comes.
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(f"GET /{does}/{port}/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            told = await asyncio.wait_for(source.get(), GUARD)
            assert await asyncio.wait_for(told.readline(), GUARD) == b"begun\n"
            if does == "ticks":
                await asyncio.wait_for(reader.readuntil(b"data: 2\n\n"), GUARD)
            assert site.stats(server)["streams"] == 1
            left = time.monotonic()
            writer.close()
            took.append(float(await asyncio.wait_for(told.readline(), GUARD)) - left)
    # A tenth of a second is promised; of many, a few may meet a busy machine.
    assert median(took) < 0.1, took
    stats = site.stats(server)
    assert stats["streams"] == 0
    assert stats["threads"] <= idle + 2, "no thread is left"


@asynccontextmanager
async def announcements() -> AsyncIterator[tuple[int, asyncio.Queue[asyncio.StreamReader]]]:
    """Yield a port, and a queue with each connection that sources made to it."""
    came: asyncio.Queue[asyncio.StreamReader] = asyncio.Queue()
    kept = []

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept.append(writer)
        came.put_nowait(reader)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        for writer in kept:
            writer.close()
        server.close()
