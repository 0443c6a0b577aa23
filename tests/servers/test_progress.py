"""Long work in a process of its own, its user's pages on a server: what comes live, cancel, and a worker that is killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sse_notify.progress.estimate import LIVE_SECONDS
from tests.conftest import MakeSite
from tests.support import GUARD
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.sse import Events

pytestmark = pytest.mark.asyncio

# Two threads step as fast as they can, each step with the worker's own time; until the user says stop, or for good.
WORKER = """
import threading, time
from django.contrib.auth.models import User
from django.db import connection
from sse_notify import Progress

def step(progress):
    while not progress.cancelled:
        progress.update(message=str(time.monotonic()))
        progress.advance()
    connection.close()

with Progress(User.objects.get(username="alice"), "Export", key="export", stalls_after=1) as progress:
    progress.total = 10**9
    progress.update(message=str(time.monotonic()))  # so that a sign of life that comes first has a time as well
    threads = [threading.Thread(target=step, args=(progress,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.check()
print("cancelled", progress.cancelled)
"""
FINISH = """
from django.contrib.auth.models import User
from sse_notify import Progress
with Progress(User.objects.get(username="alice"), "Export", 2, key="export") as progress:
    progress.advance(2)
    progress.finish("2 rows", url="/export/")
"""


class Page:
    """Alice's page on a server: what it fetches, and its buttons."""

    def __init__(self, site: Site, server: Server) -> None:
        self._inbox = server.url + "/notifications/"
        self._client = httpx.AsyncClient(
            cookies=site.cookies(server, "alice"), timeout=GUARD, trust_env=False
        )

    async def __aenter__(self) -> Page:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()

    async def shows(self, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the only item once its progress is as wanted, however often the page has to be loaded for that."""
        async with asyncio.timeout(GUARD):
            while True:
                (item,) = (
                    (await self._client.get(self._inbox + "items/"))
                    .raise_for_status()
                    .json()["items"]
                )
                assert isinstance(item, dict)
                if what(item["progress"]):
                    return item
                await asyncio.sleep(0.05)

    async def cancel(self, pk: int) -> None:
        token = (await self._client.get(self._inbox + "state/")).json()["csrf"]
        answer = await self._client.post(
            self._inbox + "cancel/", json={"ids": [pk]}, headers={"x-csrftoken": token}
        )
        answer.raise_for_status()


async def told(events: Events, state: str) -> dict[str, Any]:
    """Return the next notification, which says that the work is in ``state``."""
    item = (await events.next("notification")).json()
    assert (item["title"], item["progress"]["state"]) == ("Export", state)
    assert isinstance(item, dict)
    return item


async def test_a_worker_is_followed_cancelled_missed_and_begun_again(make_site: MakeSite) -> None:
    site = make_site(redis=True)
    server = site.serve()
    async with Page(site, server) as page, site.listen(server, "bob") as bobs:
        await bobs.next("hello")
        async with site.listen(server, "alice") as events:
            await events.next("hello")
            worker = site.start_script(WORKER)
            begun = await told(events, "running")

            updates = [json.loads(event.data) for event in await events.take(15, "progress")]
            assert {(update["id"], update["key"], update["state"]) for update in updates} == {
                (begun["id"], "export", "running")
            }
            done = [update["done"] for update in updates]
            assert done == sorted(set(done))
            # By the worker's own clock: a busy machine makes the pauses longer; the last text alone may be older than its event.
            seconds = float(updates[-1]["message"]) - float(updates[0]["message"])
            assert seconds > (len(updates) - 6) * LIVE_SECONDS
            row = await page.shows(lambda progress: progress["done"] > 0)
            assert (row["seq"], row["count"]) == (begun["seq"], 1)
            assert row["progress"].keys() == updates[0].keys() - {"id", "key"}

            await page.cancel(begun["id"])
            ended = await told(events, "cancelled")
            assert (ended["id"], ended["level"], ended["silent"]) == (begun["id"], "warning", False)
            assert ended["progress"]["done"] >= done[-1]
            assert (worker.wait(), worker.output().split()) == (0, ["cancelled", "True"])

            worker = site.start_script(WORKER)
            again = await told(events, "running")
            await events.next("progress")
            worker.kill()
            await page.shows(lambda progress: progress["state"] == "stalled")
        site.script(FINISH)
        async with site.listen(server, "alice", cursor=again["seq"]) as events:
            finished = await told(events, "done")
            assert (finished["url"], finished["progress"]["message"]) == (
                "/export/",
                "2 rows",
            )
            assert finished["id"] == begun["id"]
        site.send(server, "notify", to="bob", title="The first that bob hears of")
        await bobs.next("notification")
        assert "progress" not in {event.event for event in bobs.seen}
