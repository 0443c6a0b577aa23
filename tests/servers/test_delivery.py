"""The main job on real servers, databases and layers: what is sent arrives, whatever process it is sent from."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from sse_notify.concurrency.threadpool import LINGER_SECONDS
from tests.support import GUARD
from tests.support.redis import RedisServer
from tests.support.servers import ASGI_KINDS, Kind
from tests.support.site import STREAM, Site

pytestmark = pytest.mark.asyncio

MakeSite = Any

NOTIFY = """
from django.contrib.auth.models import User
from sse_notify import notify
notify(User.objects.get(username="alice"), {title!r})
"""


#: Notifications of each of eight publishers.
EACH = 60


@pytest.mark.parametrize("kind", ASGI_KINDS)
async def test_it_arrives_on_every_server_and_resumes(site: Site, kind: Kind) -> None:
    server = site.serve(kind)
    async with site.listen(server, "alice") as events:
        hello = (await events.next("hello")).json()
        site.send(server, "notify", to="alice", title="One")
        site.send(server, "notify", to="bob", title="Not hers")
        site.send(server, "broadcast", title="Two")
        one, two = await events.take(2)
    assert (one.json()["title"], two.json()["title"], hello["cursor"]) == ("One", "Two", 0)
    site.send(server, "notify", to="alice", title="Missed")
    async with site.listen(server, "alice", cursor=one.id) as events:
        assert (await events.next("hello")).json()["cursor"] == int(one.id)
        assert [event.json()["title"] for event in await events.take(2)] == ["Two", "Missed"]


@pytest.mark.parametrize("kind", ASGI_KINDS)
async def test_a_server_that_is_asked_to_end_says_bye_and_ends(site: Site, kind: Kind) -> None:
    server = site.serve(kind)
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        site.send(server, "notify", to="alice", title="Joined")
        await events.next("notification")
        stopping = asyncio.create_task(asyncio.to_thread(server.stop, timeout=9))
        bye = (await events.next("bye")).json()
        assert bye["reason"] == "drain"
        assert 0 <= bye["retry_after"] <= 10_000
        await events.rest()
    await stopping
    assert not server.is_running


async def test_a_process_without_a_layer_is_heard_at_the_next_poll(site: Site) -> None:
    """``manage.py shell`` beside a running server, on SQLite and the in-memory layer."""
    server = site.serve()
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        site.script(NOTIFY.format(title="From the shell"))
        assert (await events.next("notification")).json()["title"] == "From the shell"


async def test_a_killed_server_loses_nothing(site: Site) -> None:
    server = site.serve()
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        site.send(server, "notify", to="alice", title="Before")
        cursor = (await events.next("notification")).id
    server.kill()
    site.script(NOTIFY.format(title="While it was away"))
    server.start()
    async with site.listen(server, "alice", cursor=cursor) as events:
        assert (await events.next("notification")).json()["title"] == "While it was away"


@pytest.mark.parametrize("layer", ["pubsub", "core"])
async def test_two_processes_on_postgresql_and_redis(make_site: MakeSite, layer: str) -> None:
    # With a poll this rare, what arrives within the guard came through the layer.
    env = {"REDIS_LAYER": layer, "SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 600})}
    site: Site = make_site("postgresql", redis=True, env=env)
    one, two = site.serve("uvicorn"), site.serve("daphne")
    async with site.listen(one, "alice") as at_one, site.listen(two, "alice") as at_two:
        for events in (at_one, at_two):
            await events.next("hello")
        # Until both have joined: what is sent before is read from the log, not heard.
        site.send(one, "notify", to="alice", title="First")
        for events in (at_one, at_two):
            await events.next("notification")
        site.send(one, "notify", to="alice", title="From one")
        site.send(two, "notify", to="alice", title="From two")
        site.script(NOTIFY.format(title="From a script"))
        for events in (at_one, at_two):
            assert [e.json()["title"] for e in await events.take(3)] == [
                "From one",
                "From two",
                "From a script",
            ]


async def test_with_redis_stopped_it_still_arrives(
    make_site: MakeSite, redis_server: RedisServer
) -> None:
    site: Site = make_site(
        "postgresql", redis=True, env={"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 1})}
    )
    one, two = site.serve(), site.serve()
    async with site.listen(one, "alice") as events:
        await events.next("hello")
        site.send(two, "notify", to="alice", title="With Redis")
        await events.next("notification")
        redis_server.stop()
        for number in range(5):
            site.send(two, "notify", to="alice", title=f"Without {number}")
        assert [e.json()["title"] for e in await events.take(5)] == [
            f"Without {number}" for number in range(5)
        ]
        redis_server.start()
        site.send(two, "notify", to="alice", title="With it again")
        assert (await events.next("notification")).json()["title"] == "With it again"
    assert one.output().count("incident=layer_receive state=failed") <= 1


async def test_a_publisher_killed_between_commit_and_sequencing(make_site: MakeSite) -> None:
    site: Site = make_site("postgresql", env={"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 1})})
    server = site.serve()
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        process = site.start_script(
            """
            import os, signal
            from django.contrib.auth.models import User
            from sse_notify import notify
            from sse_notify.log import announcing
            announcing.number_pending = lambda **_: os.kill(os.getpid(), signal.SIGKILL)
            notify(User.objects.get(username="alice"), "Orphan")
            """
        )
        assert process.wait(GUARD) == -9
        assert (await events.next("notification")).json()["title"] == "Orphan"


async def test_eight_publishers_leave_a_dense_log(make_site: MakeSite) -> None:
    site: Site = make_site("postgresql")
    server = site.serve()
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        publishers = [
            site.start_script(
                f"""
                from django.contrib.auth.models import User
                from django.db import transaction
                from sse_notify import notify
                alice = User.objects.get(username="alice")
                for i in range({EACH}):
                    try:
                        with transaction.atomic():
                            notify(alice, "{publisher}-%d" % i)
                            if i % 10 == 0:
                                notify(alice, "rolled back")
                                raise ZeroDivisionError
                    except ZeroDivisionError:
                        notify(alice, "{publisher}-%d" % i)
                """
            )
            for publisher in range(8)
        ]
        got = [(int(event.id), event.json()["title"]) for event in await events.take(8 * EACH)]
    for publisher in publishers:
        assert publisher.wait() == 0, publisher.output()
    assert [seq for seq, _ in got] == list(range(1, 8 * EACH + 1))
    assert {title for _, title in got} == {
        f"{publisher}-{i}" for publisher in range(8) for i in range(EACH)
    }
    # Each publisher's own order is kept.
    for number in range(8):
        own = [int(title.split("-")[1]) for _, title in got if title.startswith(f"{number}-")]
        assert own == sorted(own)


async def test_publishing_from_sync_code_opens_no_connection_for_each_call(
    make_site: MakeSite,
) -> None:
    site: Site = make_site(redis=True)
    printed = site.script(
        """
        import os
        import redis
        from django.contrib.auth.models import User
        from sse_notify import notify, publish
        from sse_notify.bus import publisher
        info = lambda: redis.from_url(os.environ["REDIS_URL"])
        client = info()
        alice = User.objects.get(username="alice")
        before = client.info("stats")["total_connections_received"]
        for i in range(100):
            notify(alice, "x")
            publish("wall", i)
        publisher._sender.flush()
        print(client.info("stats")["total_connections_received"] - before)
        """
    )
    assert 1 <= int(printed.strip().splitlines()[-1]) <= 2


async def test_an_ephemeral_event_crosses_processes_in_its_publishers_order(
    make_site: MakeSite,
) -> None:
    site: Site = make_site(redis=True)
    one, two = site.serve(), site.serve()
    async with site.listen(one, params={"topic": "wall"}) as events:
        await events.next("hello")

        # Live only: until the stream has joined, nobody listens.
        async def publish_until_heard() -> None:
            while True:
                await asyncio.to_thread(
                    site.send, two, "publish", topic="wall", data="are you there?"
                )

        knocking = asyncio.create_task(publish_until_heard())
        await events.next("wall")
        knocking.cancel()
        await asyncio.wait({knocking})
        site.script("from sse_notify import publish\nfor i in range(200): publish('wall', i)")
        numbers = [
            event.data for event in await events.take(200, lambda event: event.data.isdigit())
        ]
    assert numbers == [str(i) for i in range(200)]


async def test_wsgi_answers_with_a_finite_stream(site: Site) -> None:
    server = site.serve("wsgi")
    site.send(server, "notify", to="alice", title="One")
    site.send(server, "notify", to="alice", title="Two")
    site.all_numbered(server)  # else it comes with the next request
    async with site.listen(server, "alice", cursor=1) as events:
        assert [event.event for event in await events.rest()] == ["ping", "hello", "notification"]


async def test_daphnes_runserver_streams(site: Site) -> None:
    server = site.serve("runserver")
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        site.send(server, "notify", to="alice", title="One")
        assert (await events.next("notification")).json()["title"] == "One"


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_the_threads_and_files_do_not_grow_with_the_streams(site: Site, kind: Kind) -> None:
    server = site.serve(kind, env={"SSE_NOTIFY": json.dumps({"MAX_STREAMS_PER_USER": 1000})})
    cookies = site.cookies(server, "alice")
    async with httpx.AsyncClient(
        cookies=cookies, timeout=GUARD, trust_env=False, limits=httpx.Limits()
    ) as client:

        async def open_streams(number: int) -> list[httpx.Response]:
            responses = []
            for _ in range(number):
                request = client.build_request(
                    "GET", server.url + STREAM, headers={"Accept": "text/event-stream"}
                )
                response = await client.send(request, stream=True)
                assert response.status_code == 200
                responses.append(response)
            return responses

        async def at_rest() -> dict[str, Any]:
            """Return the figures when no thread has work: each keeps its connection for a moment."""
            found = site.stats(server)
            while True:
                await asyncio.sleep(2 * LINGER_SECONDS)  # the server says so to nobody
                before, found = found, site.stats(server)
                if found["files"] == before["files"]:
                    return found

        # Enough to fill the pools.
        opened = await open_streams(20)
        before = await at_rest()
        opened += await open_streams(50)
        after = await at_rest()
        for response in opened:
            await response.aclose()
    assert after["threads"] <= before["threads"] + 2
    # A socket for each stream, and no database file.
    assert after["files"] - before["files"] <= 50 + 5
