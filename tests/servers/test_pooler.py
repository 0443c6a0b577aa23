"""Processes that reach PostgreSQL through a real PgBouncer: a pooler that carries no ``LISTEN`` is told of, and can be gone around."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import PostgresServer
from tests.support.site import Site

pytestmark = pytest.mark.asyncio

MakeSite = Callable[..., Site]

RARELY = {"POLL_INTERVAL": 600}


@pytest.fixture
def pooler(postgres_server: PostgresServer) -> Iterator[Callable[[str], PgBouncer]]:
    """Start a PgBouncer with this mode."""
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))  # not below pytest's own, closed to others
    folder.chmod(0o777)
    started: list[PgBouncer] = []

    def start(mode: str) -> PgBouncer:
        started.append(PgBouncer(folder, postgres_server.port, mode).start())
        return started[-1]

    yield start
    for each in started:
        each.stop()
    shutil.rmtree(folder)


def through(pooler: PgBouncer, site: Site) -> None:
    """Lead all processes of a site through the pooler."""
    parts = psycopg.conninfo.conninfo_to_dict(site.database_url)
    site.env["DATABASE_URL"] = f"postgresql://postgres@127.0.0.1:{pooler.port}/{parts['dbname']}"


def configured(site: Site, **settings: Any) -> None:
    site.env["SSE_NOTIFY"] = json.dumps(settings)


async def test_in_transaction_mode_a_check_and_the_log_say_what_to_set_and_polls_deliver(
    make_site: MakeSite, pooler: Callable[[str], PgBouncer]
) -> None:
    site = make_site("postgresql")
    through(pooler("transaction"), site)
    configured(site, POLL_INTERVAL=0.5)
    assert "sse_notify.W016" in site.manage("check", "--database", "default")
    one, two = site.serve(), site.serve()
    async with site.listen(one, "alice") as events:
        await events.next("hello")
        site.send(two, "notify", to="alice", title="By a poll")
        assert (await events.next("notification")).json()["title"] == "By a poll"
    (line,) = [line for line in one.output().splitlines() if "incident=layer_receive" in line]
    assert "DOORBELL_OPTIONS" in line


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_the_direct_address_or_the_word_that_sessions_are_kept_makes_it_ring(
    make_site: MakeSite,
    postgres_server: PostgresServer,
    pooler: Callable[[str], PgBouncer],
    mode: str,
) -> None:
    site = make_site("postgresql")
    through(pooler(mode), site)
    if mode == "session":
        configured(site, **RARELY, DOORBELL="postgresql")
    else:
        configured(site, **RARELY, DOORBELL_OPTIONS={"port": postgres_server.port})
    assert "sse_notify.W016" not in site.manage("check", "--database", "default")
    one, two = site.serve(), site.serve()
    async with site.listen(one, "alice", params={"topic": "wall"}) as events:
        await events.next("hello")
        await asyncio.to_thread(site.send, two, "notify", to="alice", title="It rings")
        assert (await events.next("notification")).json()["title"] == "It rings"
        await asyncio.to_thread(site.send, two, "publish", topic="wall", data=1)
        assert (await events.next("wall")).json() == 1
    assert "incident=" not in one.output() + two.output()
