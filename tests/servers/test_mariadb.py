"""A site on a real MariaDB, with its server in another process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mariadb import MariadbServer
from tests.support.site import SEED, Site

pytestmark = pytest.mark.asyncio


@pytest.fixture
def database() -> Iterator[MariadbServer]:
    server = MariadbServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def site(database: MariadbServer, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, database_url=database.url(database.create_database()))
    made.script(SEED)
    yield made
    made.close()
    print(made.tail())


async def test_streams_outlive_the_database_and_get_what_is_sent_after_it_is_back(
    site: Site, database: MariadbServer
) -> None:
    server = site.serve("uvicorn")
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        site.send(server, "notify", to="alice", title="Before")
        assert (await events.next("notification")).json()["title"] == "Before"
        database.stop()
        database.start()
        site.send(server, "notify", to="alice", title="After")
        assert (await events.next("notification")).json()["title"] == "After"
    site.send(server, "notify", to="alice", title="Missed")
    async with site.listen(server, "alice", cursor=2) as events:
        assert (await events.next("notification")).json()["title"] == "Missed"
