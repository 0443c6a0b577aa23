"""Behind a haproxy, which by default keeps a stream open at the server when its client has left: a ghost, until a heartbeat fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import GUARD
from tests.support.haproxy import Haproxy, keep_streams
from tests.support.servers import Server
from tests.support.site import STREAM, Site
from tests.support.sse import RawStream, listen

pytestmark = pytest.mark.asyncio

LIMIT = 10
PAGES = 14


@pytest.fixture
def server(site: Site) -> Server:
    """A server whose heartbeats end no ghost during the test."""
    conf = {"HEARTBEAT": 600, "MAX_STREAMS_PER_USER": LIMIT, "RETRY_MS": [50, 100]}
    return site.serve(env={"SSE_NOTIFY": json.dumps(conf)})


@pytest.fixture
def haproxy(tmp_path: Path, server: Server) -> Iterator[Callable[..., Haproxy]]:
    """Start a haproxy in front of the server, with the documented configuration or another."""
    started: list[Haproxy] = []

    def start(edit: Callable[[str], str] = str) -> Haproxy:
        folder = tmp_path / f"haproxy-{len(started)}"
        started.append(Haproxy(folder, server.port, edit=edit))
        return started[-1].start()

    yield start
    for each in started:
        each.stop()


def visit(url: str, cookies: dict[str, str], page: str) -> int:
    """Open a page's stream, read its ``hello`` if it gets one, and leave; return the status."""
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    with RawStream(f"{url}{STREAM}?client={page}", headers=headers) as stream:
        status, _ = stream.head()
        assert b"event: hello" in stream.block() or status != 200
    return status


async def streams(site: Site, server: Server, number: int) -> None:
    """Wait until a server has some number of streams."""
    async with asyncio.timeout(GUARD):
        while (await asyncio.to_thread(site.stats, server))["streams"] != number:
            await asyncio.sleep(0.02)  # a place that is free again tells nobody


async def test_page_after_page_gets_its_stream_though_ghosts_fill_the_limit(
    site: Site, server: Server, haproxy: Callable[..., Haproxy]
) -> None:
    url, cookies = haproxy(keep_streams).url, site.cookies(server, "alice")
    for number in range(PAGES):
        assert await asyncio.to_thread(visit, url, cookies, f"p{number}") == 200
    await streams(site, server, LIMIT)  # nobody reads any of them
    closed = site.stats(server)["counters"]["closed"]
    assert closed == {"replaced": PAGES - LIMIT}
    # Whoever has no name waits for a place.
    assert await asyncio.to_thread(visit, url, cookies, "") == 429


async def test_a_page_that_stays_is_disturbed_once_and_comes_back_among_ghosts(
    site: Site, server: Server, haproxy: Callable[..., Haproxy]
) -> None:
    url, cookies = haproxy(keep_streams).url, site.cookies(server, "alice")
    stays = url + STREAM
    async with listen(stays, cookies=cookies, params={"client": "stays"}) as events:
        await events.next("hello")
        for number in range(LIMIT):
            assert await asyncio.to_thread(visit, url, cookies, f"p{number}") == 200
        bye = (await events.next("bye")).json()
        assert bye["reason"] == "replaced"
        assert 50 <= bye["retry_after"] <= 100
        await events.rest()
    async with listen(stays, cookies=cookies, params={"client": "stays"}) as events:
        await events.next("hello")
        for number in range(2 * LIMIT):
            assert await asyncio.to_thread(visit, url, cookies, f"more{number}") == 200
        await asyncio.to_thread(site.send, server, "notify", to="alice", title="Still there")
        assert (await events.next("notification")).json()["title"] == "Still there"


async def test_as_documented_it_leaves_no_ghost(
    site: Site, server: Server, haproxy: Callable[..., Haproxy]
) -> None:
    url, cookies = haproxy().url, site.cookies(server, "alice")
    for number in range(PAGES):
        assert await asyncio.to_thread(visit, url, cookies, f"p{number}") == 200
        await streams(site, server, 0)
    assert site.stats(server)["counters"]["closed"] == {"client": PAGES}


async def test_as_documented_it_passes_a_stream_on_at_once_and_cuts_none_that_has_heartbeats(
    site: Site, tmp_path: Path
) -> None:
    """In a fifteenth of the time: both timeouts of 75 s become 5 s, the heartbeat of 15 s one of 1 s."""
    server = site.serve(env={"SSE_NOTIFY": json.dumps({"HEARTBEAT": 1})})
    edited = Haproxy(
        tmp_path / "haproxy", server.port, edit=lambda text: text.replace(" 75s", " 5s")
    ).start()
    try:
        cookies = site.cookies(server, "alice")
        async with listen(edited.url + STREAM, cookies=cookies) as events:
            await events.next("hello")
            await events.take(8, "ping")
            await asyncio.to_thread(site.send, server, "notify", to="alice", title="Now")
            assert (await events.next("notification")).json()["title"] == "Now"
    finally:
        edited.stop()
