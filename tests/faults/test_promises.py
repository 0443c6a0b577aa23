"""What a client may count on between two connections and between processes: each promise is one that another package breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.support.servers import Kind
from tests.support.site import Site

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MakeSite = Callable[..., Site]


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_a_quiet_client_that_drops_resumes(site: Site, kind: Kind) -> None:
    """It connected, got nothing, and lost the connection: it still has a place to come back to."""
    server = site.serve(kind)
    site.send(server, "broadcast", title="Before its time")
    async with site.listen(server, "alice") as events:
        hello = await events.next("hello")
    site.send(server, "notify", to="alice", title="While it was away")
    site.send(server, "notify", to="bob", title="Not hers")
    async with site.listen(server, "alice", cursor=hello.id) as events:
        assert (await events.next("notification")).json()["title"] == "While it was away"
        site.send(server, "notify", to="alice", title="And after")
        assert (await events.next("notification")).json()["title"] == "And after"
    assert [event.event for event in events.seen] == [
        "ping",
        "hello",
        "notification",
        "notification",
    ]


@pytest.mark.parametrize("layer", ["pubsub", "core", ""], ids=["pubsub", "core", "postgresql"])
async def test_what_is_sent_the_moment_a_stream_says_hello_arrives(
    make_site: MakeSite, layer: str
) -> None:
    """The first stream of a process: its hub joins the layer while another process sends. No poll comes to help."""
    env = {"REDIS_LAYER": layer, "SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 600})}
    site = make_site("postgresql", redis=bool(layer), env=env)
    one, two = await asyncio.gather(*(asyncio.to_thread(site.serve) for _ in range(2)))
    for number in range(10):  # the last stream to leave stops the hub, so each of these starts one
        async with site.listen(one, "alice") as events:
            await events.next("hello")
            await asyncio.to_thread(site.send, two, "notify", to="alice", title=f"At once {number}")
            assert (await events.next("notification")).json()["title"] == f"At once {number}"


async def test_processes_without_a_layer_hear_each_other_in_one_order(make_site: MakeSite) -> None:
    """Each process rings its own streams at once; that moves nobody past what another process sent."""
    env = {"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 1, "DOORBELL": "layer"})}
    site = make_site("postgresql", env=env)
    one, two = await asyncio.gather(
        asyncio.to_thread(site.serve, "uvicorn"), asyncio.to_thread(site.serve, "daphne")
    )
    async with site.listen(one, "alice") as at_one, site.listen(two, "alice") as at_two:
        for events in (at_one, at_two):
            await events.next("hello")
        for number in range(20):
            await asyncio.to_thread(
                site.send, (one, two)[number % 2], "notify", to="alice", title=str(number)
            )
        for events in (at_one, at_two):
            got = await events.take(20)
            assert [event.json()["title"] for event in got] == [str(number) for number in range(20)]
            assert [int(event.id) for event in got] == list(range(1, 21))


async def test_reconnects_while_events_are_sent_neither_lose_nor_repeat(
    make_site: MakeSite,
) -> None:
    """Twenty resumed connections and twenty fresh ones, each opened in the middle of a stream of events."""
    site = make_site("postgresql", redis=True)
    server = site.serve()
    publisher = site.start_script(
        """
        import time
        from django.contrib.auth.models import User
        from sse_notify import notify
        alice = User.objects.get(username="alice")
        for number in range(1, 401):
            notify(alice, str(number))
            time.sleep(0.002)
        """
    )
    ids: list[int] = []
    cursor = 0
    for _ in range(20):
        async with (
            site.listen(server, "alice", cursor=cursor) as resumed,
            site.listen(server, "alice") as fresh,
        ):
            start = int((await fresh.next("hello")).id)
            ids += [int(event.id) for event in await resumed.take(10)]
            cursor = ids[-1]
            if start < 395:
                assert [int(event.id) for event in await fresh.take(5)] == list(
                    range(start + 1, start + 6)
                )
    async with site.listen(server, "alice", cursor=cursor) as events:
        ids += [int(event.id) for event in await events.take(400 - len(ids))]
    assert ids == list(range(1, 401))
    assert await asyncio.to_thread(publisher.wait) == 0, publisher.output()
