"""Clients that connect and vanish, thousands of times: nothing of them is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import redis

from sse_notify.bus.subscriber import CANCEL_SECONDS
from tests.faults.crowd import Crowd, Person, people
from tests.faults.report import SOAK, Report
from tests.support.servers import Kind, Server
from tests.support.site import STREAM, Site

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(600)]

TIMES = 10_000 if SOAK else 900
AT_ONCE = 50
ROUNDS = 4
#: Megabytes that a round may add.
ALLOWED = 1 + TIMES * 0.001


async def vanish(server: Server, person: Person, when: int) -> None:
    """Connect, and be gone: before the answer, with its first bytes, or after ``hello``."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            writer.write(
                f"GET {STREAM} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
                f"Cookie: sessionid={person.session}\r\n\r\n".encode()
            )
            await writer.drain()
            if when == 1:
                await reader.readexactly(1)
            elif when == 2:
                await reader.readuntil(b"event: hello")
        finally:
            writer.transport.abort()


async def crowd_of_ghosts(server: Server, persons: list[Person], times: int) -> None:
    """Vanish ``times`` times, ``AT_ONCE`` at a time."""
    turns = iter(range(times))

    async def haunt() -> None:
        for turn in turns:
            await vanish(server, persons[turn % len(persons)], turn % 3)

    await asyncio.gather(*(haunt() for _ in range(AT_ONCE)))


async def at_rest(
    site: Site, server: Server, before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return what the server holds when it has noticed that all are gone.

    Args:
        site: whose server it is.
        server: what is asked.
        before: what it held before, to which it has to come back; without it, no stream and no member of the group has to be left, and the
            tasks to become no fewer.
    """
    last: dict[str, Any] = {}
    async with asyncio.timeout(120):
        while True:
            found = {**await asyncio.to_thread(site.stats, server), **held_in_redis(site)}
            idle = not found["streams"] and not found["memberships"]
            if idle and (is_back(found, before) if before else found["tasks"] == last.get("tasks")):
                return found
            last = found
            try:
                await asyncio.sleep(2 * CANCEL_SECONDS)  # the server says so to nobody
            except asyncio.CancelledError:
                raise AssertionError(f"something is left:\n{before}\n{found}") from None


def is_back(found: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether there is no more than before; give or take the connections and the task of the very question.

    The layer's Redis client keeps as many connections as it ever needed at one time, and never more than there were clients.
    """
    return bool(
        found["threads"] <= before["threads"]
        and found["connections"] <= AT_ONCE
        and found["files"] - found["connections"] <= before["files"] - before["connections"] + 2
        and found["tasks"] <= before["tasks"] + 2
        and found["subscriptions"] == before["subscriptions"]
    )


def held_in_redis(site: Site) -> dict[str, Any]:
    """Return what the layer holds in Redis: groups or subscriptions, and connections."""
    with redis.Redis.from_url(str(site.redis_url)) as connection:
        groups = list(connection.scan_iter("asgi:group:*"))
        return {
            "memberships": sum(int(connection.zcard(group)) for group in groups),
            "subscriptions": sorted(connection.pubsub_channels()),
            "connections": len(connection.client_list()) - 1,
        }


@pytest.mark.parametrize(("kind", "layer"), [("uvicorn", "pubsub"), ("daphne", "core")])
async def test_clients_that_connect_and_vanish_leave_nothing(
    make_site: Callable[..., Site], report: Report, kind: Kind, layer: str
) -> None:
    # A small pool, which has all of its threads before anything is compared.
    site = make_site(
        "postgresql",
        redis=True,
        env={"REDIS_LAYER": layer, "SSE_NOTIFY": json.dumps({"HANDSHAKE_THREADS": 2})},
    )
    persons = await asyncio.to_thread(people, site, AT_ONCE)
    random.shuffle(persons)
    server = await asyncio.to_thread(site.serve, kind)
    async with Crowd(server.port, persons) as crowd:
        await crowd.all_open()
    await crowd_of_ghosts(
        server, persons, 300
    )  # pools, caches and the allocator have their size then
    before = after = await at_rest(site, server)
    grown = 0.0
    # The allocator takes some more now and then, when the machine is busy; what leaks, leaks in every round.
    for _ in range(ROUNDS):
        earlier = after["bytes"]
        await crowd_of_ghosts(server, persons, TIMES)
        after = await at_rest(site, server, before)
        grown = (after["bytes"] - earlier) / 1e6
        if grown < ALLOWED:
            break
    gained = {name: after[name] - before[name] for name in ("threads", "files", "tasks", "bytes")}
    report(
        f"connect and vanish {TIMES:,} times, {kind}",
        clients=TIMES,
        events=0,
        note=f"threads {gained['threads']:+}, files {gained['files']:+}, tasks {gained['tasks']:+}, memory {gained['bytes'] / 1e6:+.1f} MB",
    )
    assert grown < ALLOWED, f"{grown:.1f} MB more in each round"
