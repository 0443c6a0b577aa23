"""Other packages' readers of event streams get from ours what was sent: each of those that projects are likely to have already."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.foreign import NODE, PYTHON, RECONNECTING, reading
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.site import STREAM, Site

pytestmark = pytest.mark.asyncio

#: Where Python's ``str.splitlines()`` ends a line, and the standard does not; and what Latin-1 lacks.
ODD = "Grüße 😀👩‍👩‍👧 \u2028 \u2029 \u0085 \v \f \x1c \x1d \x1e … end"
LINES = "one\n\n  three: 3\n:four"

READERS = pytest.mark.parametrize("name", [*PYTHON, *NODE])


def serve(site: Site, **settings: Any) -> Server:
    """Start a server whose streams say soon that they are alive, and have clients back soon."""
    conf = {"HEARTBEAT": 0.5, "RETRY_MS": [50, 100], **settings}
    return site.serve(env={"SSE_NOTIFY": json.dumps(conf)})


async def send(site: Site, server: Server, verb: str = "notify", **arguments: Any) -> None:
    """Send something to alice."""
    if verb == "notify":
        arguments["to"] = "alice"
    await asyncio.to_thread(site.send, server, verb, **arguments)


@READERS
async def test_it_gets_every_event_as_it_was_sent_and_nothing_else(site: Site, name: str) -> None:
    server = serve(site)
    url, cookies = f"{server.url}{STREAM}?topic=wall", site.cookies(server, "alice")
    async with reading(name, url, cookies=cookies) as reader:
        hello = await reader.until("hello")
        await send(site, server, title=ODD, body=LINES, data={ODD: [LINES]})
        got = await reader.until("notification")
        await send(site, server, "publish", topic="wall", data=LINES)
        wall = await reader.until("wall")
        await reader.until("ping", 2)
        await send(site, server, title="Last")
        last = await reader.until("notification")
    item = json.loads(got["data"])
    assert (item["title"], item["body"], item["data"]) == (ODD, LINES, {ODD: [LINES]})
    assert wall["data"] == LINES
    assert [int(each["id"]) for each in (got, last)] == [item["seq"], item["seq"] + 1]
    assert int(hello["id"]) == json.loads(hello["data"])["cursor"] == item["seq"] - 1
    events = [each["event"] for each in reader.seen if each["event"] != "ping"]
    assert events == ["hello", "notification", "wall", "notification"]
    assert all(json.loads(each["data"]) for each in reader.seen if each is not wall)


@READERS
async def test_it_resumes_from_the_id_that_it_had(site: Site, name: str) -> None:
    server = serve(site)
    url, cookies = f"{server.url}{STREAM}?topic=wall", site.cookies(server, "alice")
    async with reading(name, url, cookies=cookies) as reader:
        await reader.until("hello")
        await send(site, server, title="One")
        one = await reader.until("notification")
    await send(site, server, title="Two")
    async with reading(name, url, cookies=cookies, last_id=one["id"]) as reader:
        await reader.until("notification")
        await send(site, server, title="Three")
        await reader.until("notification")
    items = [json.loads(each["data"]) for each in reader.named("notification")]
    assert [item["title"] for item in items] == ["Two", "Three"]
    assert len(reader.named("hello")) == 1
    assert all(json.loads(each["data"]) for each in reader.seen)


@pytest.mark.parametrize("name", RECONNECTING)
async def test_after_a_cut_it_comes_back_by_itself_and_misses_nothing(
    site: Site, name: str
) -> None:
    server = serve(site, HEARTBEAT=30)
    cookies = site.cookies(server, "alice")
    with Proxy(server.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}{STREAM}?topic=wall"
        async with reading(name, url, cookies=cookies) as reader:
            await reader.until("hello")
            await send(site, server, title="One")
            await reader.until("notification")
            proxy.refuse()
            proxy.cut()
            await send(site, server, title="Two")
            proxy.resume()
            await reader.until("notification")
            await send(site, server, title="Three")
            await reader.until("notification")
    titles = [json.loads(each["data"])["title"] for each in reader.named("notification")]
    assert titles == ["One", "Two", "Three"]
    assert len(reader.named("hello")) == 2
    assert all(json.loads(each["data"]) for each in reader.seen if "event" in each)


@READERS
async def test_it_learns_the_status_of_a_refusal(site: Site, name: str) -> None:
    server = serve(site, MAX_STREAMS=2, MAX_STREAMS_PER_USER=1)
    url, cookies = f"{server.url}{STREAM}?topic=room.2", site.cookies(server, "alice")
    async with reading(name, url) as reader:
        assert await reader.line() == {"refused": 401}
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        async with reading(name, url, cookies=cookies) as reader:
            assert await reader.line() == {"refused": 429}
        async with site.listen(server, "bob") as more:
            await more.next("hello")
            async with reading(name, url, cookies=cookies) as reader:
                assert await reader.line() == {"refused": 503}


@READERS
async def test_a_views_own_stream_brings_no_empty_event_while_it_is_silent(
    site: Site, name: str
) -> None:
    server = serve(site, HEARTBEAT=0.2)
    async with reading(name, server.url + "/slow/?from=0") as reader:
        await reader.until("slow", 2)
    assert [json.loads(each["data"]) for each in reader.seen] == [{"text": ODD}, {"text": LINES}]
