"""Processes on one PostgreSQL, without Redis: what one of them sends, the streams of the others hear at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
import pytest

from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.sse import Events

pytestmark = pytest.mark.asyncio

MakeSite = Callable[..., Site]

#: With polls this rare, no poll has found what arrives.
RARELY = {"POLL_INTERVAL": 600, "RECHECK_INTERVAL": 600}

SCRIPT = """
from django.contrib.auth.models import Group, User
from sse_notify import broadcast, flush, notify, publish
alice = User.objects.get(username="alice")
"""


def settings(**others: Any) -> dict[str, str]:
    return {"SSE_NOTIFY": json.dumps({**RARELY, **others})}


def listening(site: Site) -> list[tuple[int]]:
    with psycopg.connect(site.database_url) as connection:
        sql = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        return connection.execute(sql).fetchall()


@asynccontextmanager
async def streams(site: Site, *servers: Server) -> AsyncIterator[list[Events]]:
    """Alice's streams of these servers, with the topic "wall". When the block begins, all of them hear."""
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(site.listen(server, "alice", params={"topic": "wall"}))
            for server in servers
        ]
        for events in found:
            await events.next("hello")
        yield found


@pytest.mark.parametrize("kinds", [("uvicorn", "daphne"), ("hypercorn", "granian")], ids="+".join)
async def test_what_any_process_sends_arrives_in_all_at_once_and_in_order(
    make_site: MakeSite, kinds: tuple[Any, Any]
) -> None:
    """Stored and ephemeral events, small ones and ones of many parts, from servers and from a script."""
    site = make_site("postgresql", env=settings())
    one, two = (site.serve(kind) for kind in kinds)
    large = "é" * 30_000
    async with streams(site, one, two) as both:
        for server in (one, two):
            site.send(server, "notify", to="alice", title="Stored")
            for events in both:
                assert (await events.next("notification")).json()["title"] == "Stored"
            site.send(server, "publish", topic="wall", data=large)
            for events in both:
                assert (await events.next("wall")).data == large
        script = site.start_script(
            SCRIPT
            + """
for number in range(300):
    publish("wall", number)
    if number % 10 == 0:
        notify(alice, str(number))
"""
        )
        for events in both:
            found = [await events.next() for _ in range(330)]
            titles = [each.json()["title"] for each in found if each.event == "notification"]
            assert titles == [str(number) for number in range(0, 300, 10)]
            assert [each.json() for each in found if each.event == "wall"] == [*range(300)]
        assert await asyncio.to_thread(script.wait) == 0, script.output()
    for server in (one, two):
        assert "incident=" not in server.output(), server.output()


async def test_loss_of_access_progress_and_marks_arrive_at_once(make_site: MakeSite) -> None:
    site = make_site("postgresql", env=settings())
    one = site.serve()
    async with streams(site, one) as (events,):
        site.script(
            SCRIPT
            + """
from sse_notify import Progress
with Progress(alice, "Export", total=2) as work:
    for step in range(2):
        work.advance()
"""
        )
        state: Any = ""
        while state != "done":
            progress = (await events.next("notification")).json().get("progress")
            state = (progress or {}).get("state")
        site.script(SCRIPT + "from sse_notify import mark_read; mark_read(alice, up_to=99)")
        await events.next("update")
        site.script(SCRIPT + "alice.is_active = False; alice.save()")
        assert (await events.next("bye")).json()["reason"] == "revoked"


async def test_one_connection_listens_for_each_process_with_streams_and_none_for_others(
    make_site: MakeSite,
) -> None:
    site = make_site("postgresql", env=settings())
    one, two = site.serve(), site.serve()
    site.send(two, "notify", to="alice", title="It has no streams")
    assert listening(site) == []
    async with streams(site, one, one) as (events, _):
        site.send(two, "notify", to="alice", title="Hello")
        await events.next("notification")
        assert len(listening(site)) == 1
        before = listening(site)
        with psycopg.connect(site.database_url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", before[0])
        while listening(site) in ([], before):  # it comes back by itself
            await asyncio.sleep(0)
        site.send(two, "notify", to="alice", title="Again")
        await events.next("notification")
    async with asyncio.timeout(20):
        while await asyncio.to_thread(listening, site):
            pass


async def test_a_server_that_cannot_listen_polls_and_says_so_once_until_it_can(
    make_site: MakeSite,
) -> None:
    """The way to PostgreSQL of the listening connections leads nowhere, as behind a firewall; Django's own is another."""
    with Proxy(1) as proxy:
        env = settings(
            POLL_INTERVAL=0.5, DOORBELL_OPTIONS={"host": "127.0.0.1", "port": proxy.port}
        )
        site = make_site("postgresql", env=env)
        one, two = site.serve(), site.serve()
        async with streams(site, one) as (events,):
            for number in range(3):
                site.send(two, "notify", to="alice", title=f"{number}")
                assert (await events.next("notification")).json()["title"] == f"{number}"
            assert one.output().count("incident=layer_receive state=failed") == 1
            proxy.target = int(str(psycopg.conninfo.conninfo_to_dict(site.database_url)["port"]))
            while "incident=layer_receive state=healed" not in one.output():
                site.send(two, "publish", topic="wall", data=1)
            await events.next("wall")
        await asyncio.to_thread(site.close)  # before the proxy


async def test_a_forked_child_has_a_connection_of_its_own(make_site: MakeSite) -> None:
    site = make_site("postgresql", env=settings())
    server = site.serve()
    async with streams(site, server) as (events,):
        output = site.script(
            SCRIPT
            + """
import os
from django.db import connections
publish("wall", "parent")
flush()
connections.close_all()
if child := os.fork():
    os.waitpid(child, 0)
    publish("wall", "parent again")
else:
    publish("wall", "child")
    flush()
    os._exit(0)
"""
        )
        assert [(await events.next("wall")).data for _ in range(3)] == [
            "parent",
            "child",
            "parent again",
        ]
    assert "incident=" not in output
