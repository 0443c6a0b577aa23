"""The channel layer fails in every way that it can: what it should have carried arrives within a poll, on the connection that is open."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest
import redis

from tests.faults.crowd import Crowd, people
from tests.faults.ledger import numbered, query, seconds_behind
from tests.faults.publisher import publishing
from tests.faults.report import SOAK, Report
from tests.support import GUARD
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.sse import Events

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MakeSite = Callable[..., Site]

#: Seconds between two looks at the log: what arrives later than this is not healed by it.
POLL = 1.0
#: Clients of each server.
CLIENTS = 20


async def serve_both(site: Site) -> tuple[Server, Server]:
    one, two = await asyncio.gather(
        asyncio.to_thread(site.serve, "uvicorn"), asyncio.to_thread(site.serve, "daphne")
    )
    return one, two


async def seconds_until_the_layer_carries(
    site: Site, sender: Server, events: Events, *, guard: float = 120
) -> float:
    """Return how long it took until notifications of another process came faster than polls bring them."""
    began = time.monotonic()
    while True:
        round_began = time.monotonic()
        for number in range(
            5
        ):  # each is sent when the one before has arrived, so that a poll brings one at most
            title = f"Knock {round_began} {number}"
            await asyncio.to_thread(site.send, sender, "notify", to="alice", title=title)
            while title not in (await events.next("notification")).data:
                pass
        if time.monotonic() - round_began < 4 * 0.9 * POLL:
            return time.monotonic() - began
        assert time.monotonic() - began < guard, "the layer does not carry anything any more"


def assert_exact(log: list[tuple[int, str]], *crowds: Crowd) -> int:
    """Hold that every client got each event once, in order, none of others, without opening a second stream; return how many came."""
    delivered = 0
    for crowd in crowds:
        verdict = crowd.verdict(log)
        assert verdict.is_clean, verdict
        assert verdict.opened == verdict.clients, "healed in place: nobody had to come back"
        delivered += verdict.delivered
    return delivered


@pytest.mark.timeout(300)
async def test_what_the_layer_loses_arrives_within_a_poll_on_the_same_connection(
    make_site: MakeSite, postgres_server: PostgresServer, tmp_path: Path, report: Report
) -> None:
    """Silence between the servers and Redis, Redis stopped and back empty, a group that forgot its members: on both layers.

    And between the servers and what they listen to in PostgreSQL, while their other connections work.
    """
    async with asyncio.TaskGroup() as all_:  # each with its own Redis: most of this is waiting
        for layer in ("pubsub", "core"):
            (folder := tmp_path / layer).mkdir()
            redis_server = RedisServer(folder)
            all_.create_task(_break_the_layer(make_site, redis_server, folder, layer, report))
        (folder := tmp_path / "postgresql").mkdir()
        all_.create_task(_break_what_is_heard(make_site, postgres_server, folder, report))


async def _break_the_layer(
    make_site: MakeSite, redis_server: RedisServer, folder: Path, layer: str, report: Report
) -> None:
    redis_server.start()
    try:
        await _break_one_after_the_other(make_site, redis_server, folder, layer, report)
    finally:
        redis_server.stop()


async def _break_one_after_the_other(
    make_site: MakeSite, redis_server: RedisServer, folder: Path, layer: str, report: Report
) -> None:
    with Proxy(redis_server.port) as proxy:
        env = {
            "REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0",
            "REDIS_LAYER": layer,
            "REDIS_CONFIG": json.dumps({"group_expiry": 6} if layer == "core" else {}),
            "SSE_NOTIFY": json.dumps({"POLL_INTERVAL": POLL}),
        }
        site = make_site("postgresql", env=env)
        stopped = ("Redis stopped and back empty", redis_server.stop, redis_server.start)
        forgets = redis_server.flush if layer == "core" else None
        await _break(site, proxy, stopped, folder, layer, report, forgets)


async def _break_what_is_heard(
    make_site: MakeSite, postgres_server: PostgresServer, folder: Path, report: Report
) -> None:
    with Proxy(postgres_server.port) as proxy:
        options = {"host": "127.0.0.1", "port": proxy.port}
        settings = {"POLL_INTERVAL": POLL, "DOORBELL_OPTIONS": options}
        site = make_site("postgresql", env={"SSE_NOTIFY": json.dumps(settings)})

        def refuse() -> None:
            proxy.refuse()
            proxy.cut()

        stopped = ("connections that listen cut and refused", refuse, proxy.resume)
        await _break(site, proxy, stopped, folder, "PostgreSQL's", report)


async def _break(
    site: Site,
    proxy: Proxy,
    stopped: tuple[str, Callable[[], Any], Callable[[], Any]],
    folder: Path,
    layer: str,
    report: Report,
    forgets: Callable[[], Any] | None = None,
) -> None:
    """Break what the servers hear through ``proxy``, in one way after the other."""
    one, two = await serve_both(site)
    persons = await asyncio.to_thread(people, site, CLIENTS)
    async with (
        Crowd(one.port, persons) as at_one,
        Crowd(two.port, persons) as at_two,
        site.listen(one, "alice") as events,
    ):
        crowds = (at_one, at_two)
        await events.next("hello")
        await asyncio.gather(*(crowd.all_open() for crowd in crowds))
        await seconds_until_the_layer_carries(site, two, events)

        async def fault(
            name: str, begin: Callable[[], Any], end: Callable[[], Any], seconds: float
        ) -> None:
            before = assert_exact(numbered(site), *crowds)
            (own := folder / name.replace(" ", "-")).mkdir()
            async with publishing(site, own):
                await asyncio.to_thread(begin)
                until = time.monotonic() + seconds
                behind = []
                while time.monotonic() < until:
                    behind.append(await seconds_behind(site, *crowds))
                    await asyncio.sleep(POLL / 4)  # it is time that passes here
                during = sum(crowd.verdict(numbered(site)).delivered for crowd in crowds) - before
                await asyncio.to_thread(end)
            healed = await seconds_behind(site, *crowds)
            carried = await seconds_until_the_layer_carries(site, two, events)
            assert during > 0
            delivered = assert_exact(numbered(site), *crowds) - before
            report(
                fault=f"{name}, {seconds:.0f} s ({layer} layer)",
                clients=2 * CLIENTS,
                events=delivered,
                healed=healed,
                note=f"no reconnect; at most {max(behind):.1f} s behind meanwhile; the layer carried again after {carried:.1f} s",
            )

        def lift() -> None:
            # What was swallowed is gone, so what is left of these connections is of no use: the network resets them.
            proxy.cut()
            proxy.resume()

        await fault("every layer message dropped", proxy.blackhole, lift, 60 if SOAK else 3)
        assert proxy.swallowed > 0
        await fault(*stopped, 30 if SOAK else 4)
        if forgets is not None:
            # Without a renewal before its expiry the membership would stay away as well.
            forgets()
            carried = await seconds_until_the_layer_carries(site, two, events, guard=25)
            assert_exact(numbered(site), *crowds)
            report(
                "group membership gone (core layer)",
                clients=2 * CLIENTS,
                healed=carried,
                note="joined again",
            )
    for server in (one, two):
        assert server.is_running
    await asyncio.to_thread(site.close)  # before the proxy, which they would go on connecting to
    for server in (one, two):
        # Said once when it breaks, not for each message: two faults, and what each breaks.
        assert server.output().count("incident=layer_receive state=failed") <= 4, server.output()
        assert server.output().count("incident=layer_send state=failed") <= 4, server.output()


async def test_what_exceeds_the_layers_capacity_is_read_from_the_log(
    make_site: MakeSite, report: Report
) -> None:
    """The server stands still while others send more than the layer keeps for it. No poll helps: the gap itself tells."""
    env = {
        "REDIS_LAYER": "core",
        "REDIS_CONFIG": json.dumps({"capacity": 10}),  # what waits together is sent as one
        "SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 600}),
    }
    site = make_site("postgresql", redis=True, env=env)
    server = site.serve()
    code = """
        from django.contrib.auth.models import User
        from sse_notify import flush, notify
        alice, bob = User.objects.get(username="alice"), User.objects.get(username="bob")
        for i in range({0}, {1}):
            notify(alice, str(i))
            notify(bob, "not hers")
            flush()
        """
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        site.script(code.format(0, 1))
        await events.next("notification")  # it has joined
        server.process.signal(SIGSTOP)
        try:
            publisher = site.start_script(code.format(1, 200))
            assert await asyncio.to_thread(publisher.wait) == 0
        finally:
            server.process.signal(SIGCONT)
        assert "over capacity" in publisher.output(), "nothing was dropped, so nothing is shown"
        site.script(code.format(200, 201))
        got = await events.take(200)
        assert [event.json()["title"] for event in got] == [str(i) for i in range(1, 201)]
        assert [int(event.id) for event in got] == sorted({int(event.id) for event in got})
    assert [event.event for event in events.seen].count("hello") == 1
    report(
        "layer over capacity, server stopped",
        clients=1,
        events=201,
        note="read from the log when the gap showed",
    )


async def test_a_process_without_a_layer_is_heard_within_a_poll_by_servers_that_have_one(
    make_site: MakeSite,
) -> None:
    """Every message is lost that it would have sent; the servers' own are not disturbed."""
    site = make_site(
        "postgresql", redis=True, env={"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": POLL})}
    )
    one, two = await serve_both(site)
    async with site.listen(one, "alice") as at_one, site.listen(two, "alice") as at_two:
        for events in (at_one, at_two):
            await events.next("hello")
        publisher = site.start_script(
            """
            from django.contrib.auth.models import User
            from sse_notify import notify
            from sse_notify.bus import publisher
            assert publisher.remote_layer() is None
            for i in range(20):
                notify(User.objects.get(username="alice"), f"mute {i}")
            """,
            env={"REDIS_URL": "", "SSE_NOTIFY": json.dumps({"DOORBELL": "layer"})},
        )
        for number in range(20):
            await asyncio.to_thread(site.send, two, "notify", to="alice", title=f"loud {number}")
        assert await asyncio.to_thread(publisher.wait) == 0, publisher.output()
        seen = [
            [event.json()["title"] for event in await events.take(40)]
            for events in (at_one, at_two)
        ]
    assert seen[0] == seen[1]
    for kind in ("mute", "loud"):
        assert [title for title in seen[0] if kind in title] == [
            f"{kind} {number}" for number in range(20)
        ]
    assert query(site, "SELECT count(*) FROM sse_notify_notification WHERE seq IS NULL") == [(0,)]


async def test_a_quiet_layer_is_no_incident_and_leaves_no_channels_behind(
    make_site: MakeSite, redis_server: RedisServer
) -> None:
    """redis-py gives up on an answer that channels-redis still waits for: nothing is broken, however often it happens."""
    hosts = [{"address": redis_server.url, "socket_timeout": 1.2}]
    config = json.dumps({"hosts": hosts})
    site = make_site(
        "postgresql",
        redis=True,
        env={
            "REDIS_LAYER": "core",
            "REDIS_CONFIG": config,
            "SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 600}),
        },
    )
    server = site.serve()
    with redis.Redis.from_url(redis_server.url) as client:

        def connections() -> int:
            return int(client.info("stats")["total_connections_received"])

        async with site.listen(server, "alice") as events:
            await events.next("hello")
            before = connections()
            async with asyncio.timeout(GUARD):
                while connections() < before + 3:  # one for each time that it gives up
                    await asyncio.sleep(0.2)
            (group,) = client.scan_iter("asgi:group:sse_notify.*")
            assert client.zcard(group) == 1
            site.script(
                "from django.contrib.auth.models import User; import sse_notify as s; s.notify(User.objects.get(pk=1), 'x')"
            )
            await events.next("notification")
    assert "incident=" not in server.output(), server.output()
