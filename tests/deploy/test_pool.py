"""A pool of database connections, ``"pool"`` in Django's ``OPTIONS``: streams hold none of it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.conftest import MakeSite
from tests.support import GUARD
from tests.support.site import STREAM, Site
from tests.support.sse import Events

pytestmark = pytest.mark.asyncio

CLIENTS = 200
# One connection for a whole process, and eight threads that want it. To wait longer for it, in seconds, is an error.
POOL = {"pool": {"min_size": 1, "max_size": 1, "timeout": 30}}
# With nobody who polls, what happens was asked for.
QUIET = {"POLL_INTERVAL": 600, "RECHECK_INTERVAL": 600, "MAX_STREAMS_PER_USER": 2 * CLIENTS}

# A storm has a piece of work waiting for a thread all the time: here a second one, beside which the connection has to be free.
TWO_PIECES = """
import asyncio
from django.contrib.auth.models import User
from django.db import connection
from sse_notify.concurrency.threadpool import Pool

def look():
    stats = connection.pool.get_stats()
    print(stats["pool_size"], stats["pool_available"])

async def work():
    pool = Pool("test", lambda: 1)
    await asyncio.gather(pool(User.objects.count), pool(look))

asyncio.run(work())
"""


async def test_streams_hold_no_connection_of_a_pool_and_two_hundred_handshakes_share_it(
    make_site: MakeSite,
) -> None:
    env = {"DATABASE_OPTIONS": json.dumps(POOL), "SSE_NOTIFY": json.dumps(QUIET)}
    site: Site = make_site("postgresql", redis=True, env=env)
    server = await asyncio.to_thread(site.serve)
    await asyncio.to_thread(site.send, server, "notify", to="alice", title="Missed")
    async with (
        httpx.AsyncClient(
            base_url=server.url,
            cookies=site.cookies(server, "alice"),
            headers={"Accept": "text/event-stream"},
            timeout=GUARD,
            trust_env=False,
            limits=httpx.Limits(),
        ) as client,
        AsyncExitStack() as stack,
    ):

        async def opened() -> Events:
            return Events(
                await stack.enter_async_context(
                    client.stream("GET", STREAM, params={"cursor": "0"})
                )
            )

        streams = await asyncio.gather(*(opened() for _ in range(CLIENTS)))
        for events in streams:
            assert (await events.next("notification")).json()["title"] == "Missed", (
                "replays take it as well"
            )
        pool = site.stats(server)["pool"]
        assert (pool["pool_size"], pool["pool_available"]) == (1, 0), (
            "held by the request that asks, or it had no answer"
        )
        assert pool.get("requests_errors", 0) == 0

        assert (await asyncio.to_thread(site.script, TWO_PIECES)).split() == ["1", "1"], (
            "given back after each piece"
        )
        delete = "from django.contrib.auth.models import User\nUser.objects.get(username='alice').delete()"
        await asyncio.to_thread(site.script, delete)
        for events in streams:
            assert (await events.next("bye")).json()["reason"] == "revoked"
    assert "PoolTimeout" not in server.output()
