"""Runs on real servers: readers cut, in other processes, and what happens when a process, the database or Redis goes away."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import httpx
import pytest

from tests.servers.test_gevent import gevent_worker
from tests.support import GUARD
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.sse import TLS, RawStream, StreamEnded, listen

pytestmark = pytest.mark.asyncio

MakeSite = Callable[..., Site]

#: What connects the processes. Every site has a uvicorn and a daphne; runs are driven on both.
SETUPS = [("postgresql", True), ("postgresql", False), ("sqlite", False)]
every_setup = pytest.mark.parametrize(("database", "redis"), SETUPS)


def make(make_site: MakeSite, database: str, redis: bool, **settings: Any) -> Site:
    given = {"MAX_STREAMS_PER_USER": 200, "POLL_INTERVAL": 1, **settings}
    return make_site(database, redis=redis, env={"SSE_NOTIFY": json.dumps(given)})


def serve(site: Site) -> tuple[Server, Server]:
    return site.serve("uvicorn"), site.serve("daphne")


@dataclass
class Client:
    """Somebody who works with runs."""

    cookies: dict[str, str]

    async def start(self, server: Server, key: str, **options: Any) -> None:
        await self.ask("POST", server, key, **options)

    async def ask(self, method: str, server: Server, key: str, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(
            timeout=GUARD, trust_env=False, verify=TLS, cookies=self.cookies
        ) as client:
            answer = await client.request(method, f"{server.url}/runs/{key}/", params=options)
        return answer.raise_for_status()

    async def read(self, server: Server, key: str, *, cuts: int = 0, seed: int = 0) -> Reading:
        """Read to the end, cut at random ``cuts`` times."""
        reading = Reading()
        chance = random.Random(seed)
        while not reading.end:
            left = chance.randint(1, 30) if cuts > 0 else -1
            reading.cuts += cuts > 0
            cuts -= 1
            try:
                async with listen(
                    f"{server.url}/runs/{key}/", cookies=self.cookies, cursor=reading.last or None
                ) as events:
                    while left and not reading.end:
                        event = await events.next()
                        reading.add(event.event, event.json(), event.id)
                        left -= 1
            except (StreamEnded, httpx.HTTPError):  # the server has left
                await asyncio.sleep(0.05)
        return reading


@dataclass
class Reading:
    """What a reader got."""

    words: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    last: str = ""
    end: str = ""
    cuts: int = 0
    data: Any = None

    def add(self, name: str, data: Any, id: str) -> None:
        self.last = id
        self.numbers.append(int(id.partition("-")[2]))
        if name == "message":
            self.words.append(data["word"])
        else:
            self.end, self.data = name, data

    def check(self, count: int, end: str = "done") -> None:
        """All of it came, in order and once."""
        assert (self.words, self.end) == ([*range(1, count + 1)], end)
        assert self.numbers == [*range(1, count + 2)]


@every_setup
async def test_readers_that_are_cut_at_random_in_any_process_get_all_of_it_once(
    make_site: MakeSite, database: str, redis: bool
) -> None:
    """Over 500 cuts in all."""
    site = make(make_site, database, redis)
    servers = one, two = serve(site)
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "a", words=300, pause=0.005)
    await alice.start(two, "b", words=300, pause=0.005, thread=1)
    readings = await asyncio.gather(
        *(
            alice.read(server, key, cuts=12, seed=number)
            for number in range(4)
            for server in servers
            for key in "ab"
        )
    )
    assert sum(reading.cuts for reading in readings) * len(SETUPS) > 500
    for reading in readings:
        reading.check(300)
    for server in servers:
        assert site.stats(server)["streams"] == 0
        assert "Traceback" not in server.output()


@every_setup
async def test_starts_and_stops_race(make_site: MakeSite, database: str, redis: bool) -> None:
    """Many who start at once start one. One end is stored, whichever comes first, and all that was written before it."""
    site = make(make_site, database, redis)
    servers = one, two = serve(site)
    alice, bob = (Client(site.cookies(one, name)) for name in ("alice", "bob"))
    answers = await asyncio.gather(
        *(alice.ask("POST", servers[n % 2], "a", words=100_000, pause=0.01) for n in range(20))
    )
    assert len({answer.text for answer in answers}) == 1
    reading = asyncio.ensure_future(alice.read(one, "a"))
    async with listen(f"{two.url}/runs/a/", cookies=alice.cookies) as events:
        await events.next()
    guessed, none = [await bob.ask("GET", two, key) for key in ("a", "none")]
    assert (guessed.status_code, guessed.content) == (none.status_code, none.content) == (204, b"")
    assert _head(guessed) == _head(none)
    assert (await bob.ask("DELETE", two, "a")).text == "none"
    stops = await asyncio.gather(*(alice.ask("DELETE", servers[n % 2], "a") for n in range(6)))
    assert sorted(answer.text for answer in stops) == ["none"] * 5 + ["stopped"]
    assert (await reading).end == "stopped"
    for number in range(12):
        key = f"race-{number}"
        await alice.start(one, key, words=20 + number, pause=0.001)
        stopping = asyncio.ensure_future(alice.ask("DELETE", two, key))
        reading_it = await alice.read(two, key)
        assert reading_it.end == {"stopped": "stopped", "none": "done"}[(await stopping).text]
        assert reading_it.numbers == [*range(1, len(reading_it.numbers) + 1)]


def _head(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "date"}


async def test_readers_hear_that_the_process_of_their_run_was_killed(make_site: MakeSite) -> None:
    async def scenario(database: str, redis: bool) -> None:
        site = make(make_site, database, redis)
        one, two = serve(site)[:: -1 if redis else 1]
        alice = Client(await asyncio.to_thread(site.cookies, one, "alice"))
        await alice.start(one, "a", words=100_000, pause=0.02, stalls_after=1)
        async with listen(f"{two.url}/runs/a/", cookies=alice.cookies) as events:
            assert (await events.next()).json() == {"word": 1}
            await asyncio.to_thread(one.stop, SIGKILL)
            stalled = await events.next("stalled")
        assert stalled.json()["state"] == "stalled"
        reading = await alice.read(two, "a")
        assert reading.end == "stalled"
        assert reading.numbers == [*range(1, len(reading.numbers) + 1)]
        # Its place is free for the next.
        await alice.start(two, "a", words=3)
        (await alice.read(two, "a")).check(3)

    await asyncio.gather(*(scenario(*setup) for setup in SETUPS))


async def test_a_deploy_lets_runs_finish_and_interrupts_the_others(make_site: MakeSite) -> None:
    async def scenario(database: str, redis: bool) -> None:
        site = make(make_site, database, redis, DRAIN_SECONDS=2)
        one, two = serve(site)[:: -1 if redis else 1]
        alice = Client(await asyncio.to_thread(site.cookies, one, "alice"))
        await alice.start(one, "short", words=100, pause=0.01)
        await alice.start(one, "long", words=100_000, pause=0.01)
        await alice.start(one, "thread", words=100_000, pause=0.01, thread=1)
        keys = ("short", "long", "thread")
        readings = [asyncio.ensure_future(alice.read(two, key)) for key in keys]
        async with listen(f"{two.url}/runs/thread/", cookies=alice.cookies) as events:
            await events.next()
        assert await asyncio.to_thread(one.stop, SIGTERM) is not None
        short, *others = [await reading for reading in readings]
        short.check(100)
        for reading in others:
            assert reading.end == "interrupted"
            assert reading.numbers == [*range(1, len(reading.numbers) + 1)]
            assert reading.data["state"] == "interrupted"

    await asyncio.gather(*(scenario(*setup) for setup in SETUPS))


async def test_an_interrupted_run_is_started_again_by_a_receiver_in_a_process_that_goes_on(
    make_site: MakeSite,
) -> None:
    site = make(make_site, "postgresql", redis=False, DRAIN_SECONDS=1)
    one, two = serve(site)
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "again", words=100_000, pause=0.2)
    async with site.listen(two, "alice") as bell:  # so it looks after runs
        await bell.next("hello")
        await asyncio.to_thread(one.stop, SIGTERM)
        while (reading := await alice.read(two, "again")).end != "done":
            await asyncio.sleep(0.2)
    assert reading.words[-1] == 10


async def test_a_run_outlives_its_database(
    make_site: MakeSite, postgres_server: PostgresServer
) -> None:
    site = make(make_site, "postgresql", redis=False)
    servers = one, two = serve(site)
    alice = Client(site.cookies(one, "alice"))
    for server, key in zip(servers, "ab", strict=True):
        await alice.start(server, key, words=1000, pause=0.01)
    readings = [
        asyncio.ensure_future(alice.read(server, key)) for server in servers for key in "ab"
    ]
    for key in "ab":
        async with listen(f"{two.url}/runs/{key}/", cookies=alice.cookies) as events:
            await events.next()
    await asyncio.to_thread(postgres_server.stop, "immediate")
    await asyncio.sleep(10)  # that long it is away
    await asyncio.to_thread(postgres_server.start)
    for reading in readings:
        (await reading).check(1000)


async def test_readers_in_other_processes_need_no_redis_to_lose_nothing(
    make_site: MakeSite, redis_server: RedisServer
) -> None:
    site = make(make_site, "postgresql", redis=True)
    servers = one, two = serve(site)
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "a", words=200, pause=0.01)
    readings = [asyncio.ensure_future(alice.read(server, "a")) for server in servers]
    async with listen(f"{two.url}/runs/a/", cookies=alice.cookies) as events:
        await events.next()
    await asyncio.to_thread(redis_server.stop)
    for reading in readings:
        (await reading).check(200)


async def test_owners_log_out_and_are_deleted(make_site: MakeSite) -> None:
    """A logout ends the readers, and the run goes on. A run whose owner is gone is stopped."""
    site = make(make_site, "postgresql", redis=False)
    one, two = serve(site)
    alice, bob = (Client(site.cookies(one, name)) for name in ("alice", "bob"))
    await alice.start(one, "a", words=150, pause=0.01)
    await bob.start(one, "b", words=100_000, pause=0.01)
    async with (
        listen(f"{two.url}/runs/a/", cookies=alice.cookies) as events,
        listen(f"{two.url}/runs/b/", cookies=bob.cookies) as others,
    ):
        await events.next()
        await others.next()
        async with httpx.AsyncClient(cookies=alice.cookies, trust_env=False, verify=TLS) as client:
            await client.post(f"{one.url}/logout/")
        assert "done" not in [event.event for event in await events.rest()]
        await asyncio.to_thread(
            site.script,
            "from django.contrib.auth.models import User\n"
            "User.objects.get(username='bob').delete()",
        )
        assert (await others.rest())[-1].event == "stopped"
    again = Client(await asyncio.to_thread(site.cookies, two, "alice"))
    (await again.read(two, "a")).check(150)


async def test_readers_hold_no_thread_and_no_connection_while_they_wait(
    make_site: MakeSite,
) -> None:
    site = make(make_site, "postgresql", redis=False, POLL_INTERVAL=60)
    one, two = serve(site)
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "a", words=100_000, pause=0.02)

    def held(server: Server) -> tuple[int, int]:
        stats = site.stats(server)
        return stats["threads"], stats["files"] - stats["streams"]

    async with AsyncExitStack() as stack:
        figures, kept = [], []
        for _ in range(2):  # the first ones make the pools
            for _ in range(40):
                url = f"{two.url}/runs/a/"
                events = await stack.enter_async_context(listen(url, cookies=alice.cookies))
                await events.next()
                kept.append(events)  # else it is closed
            figures.append(await asyncio.to_thread(held, two))
        assert site.stats(two)["streams"] == 80
        threads, files = figures[0]
        async with asyncio.timeout(GUARD):  # connections linger for a moment
            while figures[1][0] >= threads + 8 or figures[1][1] > files:  # pools grow to 8
                figures[1] = await asyncio.to_thread(held, two)
        await alice.ask("DELETE", two, "a")


async def test_a_client_that_reads_nothing_for_megabytes_catches_up(make_site: MakeSite) -> None:
    site = make(make_site, "postgresql", redis=True)
    one, two = serve(site)
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "a", words=5000, size=1024)
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in alice.cookies.items())}
    slow = [
        RawStream(f"{server.url}/runs/a/", headers=cookie, receive_buffer=4096)
        for server in (one, two)
    ]
    (await alice.read(two, "a")).check(5000)
    for stream in slow:
        with stream:
            assert stream.head()[0] == 200
            lines = (await asyncio.to_thread(stream.rest)).split(b"\n")
        found = [int(line.rpartition(b"-")[2]) for line in lines if line.startswith(b"id: ")]
        assert found == [*range(1, 5002)]


# --- without an event loop ---


async def test_runs_go_on_and_are_read_under_wsgi(make_site: MakeSite) -> None:
    site = make(make_site, "postgresql", redis=False, RECHECK_INTERVAL=1)
    one, two = site.serve("wsgi"), site.serve("uvicorn")
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "a", words=100, pause=0.01)
    await alice.start(one, "b", words=100, pause=0.01, thread=1)
    await alice.start(two, "c", words=100, pause=0.01)
    readings = [alice.read(server, key, cuts=2) for server in (one, two) for key in "abc"]
    for reading in await asyncio.gather(*readings[:3]):
        reading.check(100)
    for reading in await asyncio.gather(*readings[3:]):
        reading.check(100)
    await alice.start(one, "d", words=100_000, pause=0.01)
    async with listen(f"{one.url}/runs/d/", cookies=alice.cookies) as events:
        await events.next()
        async with httpx.AsyncClient(cookies=alice.cookies, trust_env=False, verify=TLS) as client:
            await client.post(f"{one.url}/logout/")
        await events.rest()


async def test_a_gevent_worker_drives_and_reads_runs_and_still_queries(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site = make(make_site, "postgresql", redis=False)
    server = site.serve()
    alice = Client(site.cookies(server, "alice"))
    async with gevent_worker(site, tmp_path) as (worker, client):
        refused = await client.post("/runs/no/", params={"words": 3})
        assert refused.status_code == 500
        (
            await client.post("/runs/a/", params={"words": 200, "pause": 0.01, "thread": 1})
        ).raise_for_status()
        readings = [asyncio.ensure_future(client.get("/runs/a/")) for _ in range(3)]
        elsewhere = asyncio.ensure_future(alice.read(server, "a"))
        while not readings[0].done():
            assert (await client.get("/stats/")).status_code == 200
        for reading in readings:
            assert (await reading).text.count("data: ") == 201
        (await elsewhere).check(200)
    assert "gevent's workers run no async iterator" in worker.output()


# --- processes ---

_WRITE = """
    import os, sys, threading, time
    from django.contrib.auth.models import User
    from django.db import connections
    from sse_notify.contrib.runs import Run

    alice = User.objects.get(username="alice")

    def words(count, pause=0.0):
        for number in range(1, count + 1):
            yield {"word": number}
            time.sleep(pause)
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_process_that_forks_while_it_writes_goes_on_and_so_does_the_child(
    make_site: MakeSite, database: str
) -> None:
    site = make(make_site, database, redis=False)
    output = await asyncio.to_thread(
        site.script,
        _WRITE
        + """
    run = Run.start(words(300, 0.002), user=alice, key="parent")
    for number in range(10):
        connections.close_all()
        pid = os.fork()
        if pid == 0:
            mine = Run.start(words(40), user=alice, key=f"child-{number}")
            while mine.is_running:
                time.sleep(0.01)
                mine.refresh_from_db()
            assert len(mine.events()) == 40
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    while run.is_running:
        time.sleep(0.01)
        run.refresh_from_db()
    assert [e.id for e in run.events()] == [f"{run.pk}-{n}" for n in range(1, 301)]
    print(*Run.objects.values_list("state", flat=True))
    """,
    )
    assert output.split()[-11:] == ["done"] * 11


async def test_a_child_that_is_forked_inside_of_a_run_does_not_write_it(
    make_site: MakeSite,
) -> None:
    """Nobody stored what it wrote; when there was no more room, it waited for ever."""
    site = make(make_site, "postgresql", redis=False)
    output = await asyncio.to_thread(
        site.script,
        _WRITE
        + """
    from sse_notify.contrib.runs import RunEnded

    with Run.open(user=alice, key="a") as run:
        run.write("one")
        pid = os.fork()
        if pid == 0:
            try:
                run.write("two")
            except RunEnded as error:
                os._exit(0 if error.state == "" else 2)
            os._exit(1)
        print(os.waitpid(pid, 0)[1])
        run.write("three")
    print(run.text())
    """,
    )
    assert output.split()[-2:] == ["0", "onethree"]


async def test_a_command_that_returns_interrupts_its_runs(make_site: MakeSite) -> None:
    site = make(make_site, "postgresql", redis=False)
    begin = """
    Run.start(words(100_000, 0.01), user=alice, key="a")
    async def endless():
        import asyncio
        while True:
            yield "x"
            await asyncio.sleep(0.01)
    Run.start(endless(), user=alice, key="b")
    """
    await asyncio.to_thread(site.script, _WRITE + begin)
    found = await asyncio.to_thread(
        site.script, _WRITE + "    print(*Run.objects.values_list('state', flat=True))"
    )
    assert found.split() == ["interrupted"] * 2
