"""Runs on real servers: readers cut, in other processes, and what happens when a process, the database or Redis goes away."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM
from typing import Any

import httpx
import pytest

from tests.support import GUARD
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.servers import Kind, Server
from tests.support.site import Site
from tests.support.sse import StreamEnded, listen

pytestmark = pytest.mark.asyncio

MakeSite = Callable[..., Site]

#: What connects the processes.
SETUPS = [("postgresql", True), ("postgresql", False), ("sqlite", False)]
KINDS: list[Kind] = ["uvicorn", "daphne"]
every_setup = pytest.mark.parametrize(("database", "redis"), SETUPS)
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(make_site: MakeSite, database: str, redis: bool, **settings: Any) -> Site:
    env = {"SSE_NOTIFY": json.dumps({"MAX_STREAMS_PER_USER": 100, **settings})}
    return make_site(database, redis=redis, env=env)


@dataclass
class Client:
    """Somebody who works with runs."""

    cookies: dict[str, str]

    async def start(self, server: Server, key: str, **options: Any) -> None:
        await self.ask("POST", server, key, **options)

    async def ask(self, method: str, server: Server, key: str, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(
            timeout=GUARD, trust_env=False, cookies=self.cookies
        ) as client:
            answer = await client.request(method, f"{server.url}/runs/{key}/", params=options)
        return answer.raise_for_status()

    async def read(self, server: Server, key: str, *, cuts: int = 0, seed: int = 0) -> Reading:
        """Read to the end, cut at random ``cuts`` times."""
        reading = Reading()
        chance = random.Random(seed)
        while not reading.end:
            left = chance.randint(1, 60) if cuts > 0 else -1
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


@every_kind
@every_setup
async def test_readers_that_are_cut_at_random_in_any_process_get_all_of_it_once(
    make_site: MakeSite,
    database: str,
    redis: bool,
    kind: Kind,
) -> None:
    site = make(make_site, database, redis, POLL_INTERVAL=1)
    one, two = site.serve(kind), site.serve(kind)
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "a", words=800, pause=0.005)
    await alice.start(one, "b", words=800, pause=0.005, thread=1)
    readings = await asyncio.gather(
        *(
            alice.read(server, key, cuts=10, seed=number)
            for number in range(21)
            for server in (one, two)
            for key in "ab"
        )
    )
    assert len(readings) * 10 >= 500 or database != "postgresql"
    for reading in readings:
        reading.check(800)
    for server in (one, two):
        assert site.stats(server)["streams"] == 0
        assert "Traceback" not in server.output()


@every_kind
@every_setup
async def test_readers_hear_that_the_process_of_their_run_was_killed(
    make_site: MakeSite,
    database: str,
    redis: bool,
    kind: Kind,
) -> None:
    site = make(make_site, database, redis, POLL_INTERVAL=1)
    one, two = site.serve(kind), site.serve(kind)
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "a", words=100_000, pause=0.02, stalls_after=1)
    async with listen(f"{two.url}/runs/a/", cookies=alice.cookies) as events:
        assert (await events.next()).json() == {"word": 1}
        one.stop(SIGKILL)
        stalled = await events.next("stalled")
    assert stalled.json()["state"] == "stalled"
    reading = await alice.read(two, "a")
    assert reading.end == "stalled"
    assert reading.numbers == [*range(1, len(reading.numbers) + 1)]
    # Its place is free for the next.
    await alice.start(two, "a", words=3)
    (await alice.read(two, "a")).check(3)


@every_kind
@every_setup
async def test_a_deploy_lets_runs_finish_and_interrupts_the_others(
    make_site: MakeSite,
    database: str,
    redis: bool,
    kind: Kind,
) -> None:
    site = make(make_site, database, redis, POLL_INTERVAL=1, DRAIN_SECONDS=2)
    one, two = site.serve(kind), site.serve(kind)
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "short", words=100, pause=0.01)
    await alice.start(one, "long", words=100_000, pause=0.01)
    await alice.start(one, "thread", words=100_000, pause=0.01, thread=1)
    keys = ("short", "long", "thread")
    readings = [asyncio.ensure_future(alice.read(two, key)) for key in keys]
    async with listen(f"{two.url}/runs/long/", cookies=alice.cookies) as events:
        await events.next()
    assert await asyncio.to_thread(one.stop, SIGTERM) is not None
    short, *others = [await reading for reading in readings]
    short.check(100)
    for reading in others:
        assert reading.end == "interrupted"
        assert reading.numbers == [*range(1, len(reading.numbers) + 1)]
        assert reading.data["state"] == "interrupted"


async def test_an_interrupted_run_is_started_again_by_a_receiver_in_a_process_that_goes_on(
    make_site: MakeSite,
) -> None:
    site = make(make_site, "postgresql", False, POLL_INTERVAL=1, DRAIN_SECONDS=1)
    one, two = site.serve(), site.serve()
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "again", words=100_000, pause=1)
    async with site.listen(two, "alice") as bell:  # so it looks after runs
        await bell.next("hello")
        await asyncio.to_thread(one.stop, SIGTERM)
        while (reading := await alice.read(two, "again")).end != "done":
            await asyncio.sleep(0.2)
    assert reading.words[-1] == 10
    assert "word" in json.dumps({"word": reading.words})


@every_kind
async def test_a_run_outlives_its_database(
    make_site: MakeSite, postgres_server: PostgresServer, kind: Kind
) -> None:
    site = make(make_site, "postgresql", False, POLL_INTERVAL=1)
    one, two = site.serve(kind), site.serve(kind)
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "a", words=1000, pause=0.01)
    readings = [asyncio.ensure_future(alice.read(server, "a")) for server in (one, two)]
    async with listen(f"{two.url}/runs/a/", cookies=alice.cookies) as events:
        await events.next()
    await asyncio.to_thread(postgres_server.stop, "immediate")
    await asyncio.sleep(10)
    await asyncio.to_thread(postgres_server.start)
    for reading in readings:
        (await reading).check(1000)


async def test_readers_in_other_processes_need_no_redis_to_lose_nothing(
    make_site: MakeSite, redis_server: RedisServer
) -> None:
    site = make(make_site, "postgresql", True, POLL_INTERVAL=1)
    one, two = site.serve(), site.serve()
    alice = Client(site.cookies(one, "alice"))
    await alice.start(one, "a", words=500, pause=0.01)
    readings = [asyncio.ensure_future(alice.read(server, "a")) for server in (one, two)]
    async with listen(f"{two.url}/runs/a/", cookies=alice.cookies) as events:
        await events.next()
    await asyncio.to_thread(redis_server.stop)
    for reading in readings:
        (await reading).check(500)


@every_setup
async def test_stop_is_heard_in_the_process_that_drives(
    make_site: MakeSite,
    database: str,
    redis: bool,
) -> None:
    site = make(make_site, database, redis, POLL_INTERVAL=1)
    one, two = site.serve(), site.serve("daphne")
    alice = Client(site.cookies(one, "alice"))
    bob = Client(site.cookies(one, "bob"))
    await alice.start(one, "a", words=100_000, pause=0.01)
    reading = asyncio.ensure_future(alice.read(one, "a"))
    async with listen(f"{two.url}/runs/a/", cookies=alice.cookies) as events:
        await events.next()
    assert (await bob.ask("DELETE", two, "a")).text == "none"
    assert (await bob.ask("GET", two, "a")).status_code == 204
    assert (await alice.ask("DELETE", two, "a")).text == "stopped"
    assert (await reading).end == "stopped"
    assert (await alice.ask("DELETE", two, "a")).text == "none"


@every_setup
async def test_many_who_start_at_once_start_one(
    make_site: MakeSite,
    database: str,
    redis: bool,
) -> None:
    site = make(make_site, database, redis)
    servers = [site.serve("uvicorn"), site.serve("daphne")]
    alice = Client(site.cookies(servers[0], "alice"))
    answers = await asyncio.gather(
        *(alice.ask("POST", servers[n % 2], "a", words=200, pause=0.01) for n in range(20))
    )
    assert len({answer.text for answer in answers}) == 1
    (await alice.read(servers[0], "a")).check(200)


@every_setup
async def test_stop_races_with_the_end(
    make_site: MakeSite,
    database: str,
    redis: bool,
) -> None:
    """One end is stored, whichever comes first, and all that was written before it."""
    site = make(make_site, database, redis)
    one, two = site.serve(), site.serve()
    alice = Client(site.cookies(one, "alice"))
    ends = set()
    for number in range(20):
        await alice.start(one, f"race-{number}", words=20, pause=0.001)
        stopping = asyncio.ensure_future(alice.ask("DELETE", two, f"race-{number}"))
        reading = await alice.read(two, f"race-{number}")
        stopped = (await stopping).text
        assert reading.end == ("stopped" if stopped == "stopped" else "done")
        assert reading.numbers == [*range(1, len(reading.numbers) + 1)]
        ends.add(reading.end)
