"""A worker of gunicorn under gevent, whose threads are greenlets: whatever sends a message leaves its requests alone, and arrives."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import GUARD
from tests.support.processes import Process, free_port, listens
from tests.support.servers import WSGI_APPLICATION
from tests.support.site import Site

MakeSite = Any


@asynccontextmanager
async def gevent_worker(
    site: Site, folder: Path
) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """Run one worker, with a client who is alice; at the end, the worker has to end by itself."""
    port = free_port()
    options = ["-k", "gevent", "--workers", "1", "--bind", f"127.0.0.1:{port}"]
    worker = Process(
        [sys.executable, "-m", "gunicorn", *options, WSGI_APPLICATION],
        log=folder / "gevent.log",
        env=site.env,
    )
    worker.start(ready=lambda: listens(port))
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=GUARD, trust_env=False
        ) as client:
            (await client.post("/login/", data={"username": "alice"})).raise_for_status()
            yield worker, client
    finally:
        assert worker.stop() == 0
        print(worker.tail())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("database", "redis"), [("sqlite", True), ("postgresql", True), ("postgresql", False)]
)
async def test_after_whatever_sends_a_message_a_gevent_worker_still_queries(
    make_site: MakeSite, tmp_path: Path, database: str, redis: bool
) -> None:
    site = make_site(database, redis=redis)
    server = site.serve()
    async with gevent_worker(site, tmp_path) as (_worker, client):
        sends: dict[str, Callable[[], Awaitable[httpx.Response]]] = {
            "notify": lambda: client.post("/send/notify/", json={"to": "alice", "title": "A"}),
            "publish": lambda: client.post("/send/publish/", json={"topic": "wall", "data": 1}),
            "password": lambda: client.post("/password/"),
            "ready": lambda: client.get("/notifications/health/ready/?require=layer"),
            "mark": lambda: client.post("/notifications/read/", json={"up_to": 1}),
            "logout": lambda: client.post("/logout/"),
        }
        async with site.listen(server, "bob", params={"topic": "wall"}) as events:
            await events.next("hello")
            for name, send in sends.items():
                response = await send()
                assert response.status_code < 500, (name, response.text[:2000])
                # Every request queries; before, each was refused from the first message on.
                stats = await client.get("/stats/")
                assert stats.status_code == 200, name
            sent = {"title": "Over the layer", "audience": "everyone"}
            (await client.post("/send/broadcast/", json=sent)).raise_for_status()
            assert (await events.next("wall")).json() == 1
            assert (await events.next("notification")).json()["title"] == sent["title"]


@pytest.mark.asyncio
async def test_an_async_function_of_a_topic_leaves_the_other_requests_of_a_gevent_worker_alone(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site = make_site(redis=True)
    async with gevent_worker(site, tmp_path) as (worker, client):
        params = {"topic": "later.1000"}
        asked = client.get("/notifications/stream/", params=params)
        refused, *pages = await asyncio.gather(asked, *(client.get("/stats/") for _ in "12345"))
        assert {page.status_code for page in pages} == {200}
        assert (refused.status_code, refused.json()["topic"]) == (403, "later.1000")
        sync = await client.get("/notifications/stream/", params={"topic": "room.2"})
        assert (sync.status_code, "event: hello" in sync.text) == (200, True)
    assert "gevent's workers run no async function" in worker.tail(1000)


# As `gunicorn --preload` does: the package, and its locks, are there before gevent replaces both threads and locks.
_PRELOADED = """
from sse_notify.bus import publisher, queries
from sse_notify.bus.messages import Ephemeral
from sse_notify.presence import connected_users
from gevent import monkey

monkey.patch_all()
import gevent

first = lambda: {first}
{work}
assert queries.ping(20).result(30)
print("done")
"""
_FIRST = {
    "message": "publisher.ring(Ephemeral('wall', b'data: 1'))",
    "query": "connected_users(0.1)",
    "ping": "queries.ping(20).result(30)",
}
_WORK = {
    # Nothing else runs in the process: to gevent, who waits for another thread then waits for ever.
    "alone": "first()",
    "together": "gevent.joinall([gevent.spawn(first) for _ in range(5)], raise_error=True)",
}


@pytest.mark.parametrize("work", _WORK)
@pytest.mark.parametrize("first", _FIRST)
def test_what_first_needs_the_layer_waits_for_nobody_else(
    make_site: MakeSite, first: str, work: str
) -> None:
    """The second greenlet waited for a lock, and so kept the first one and all others from going on.

    The script must also end. Who looked up a host's name for it, and not a number, waited at the exit for a thread that was a greenlet.
    """
    script = _PRELOADED.format(first=_FIRST[first], work=_WORK[work])
    site = make_site(redis=True)
    site.env["REDIS_URL"] = site.env["REDIS_URL"].replace("127.0.0.1", "localhost")
    assert "done" in site.script(script, timeout=30)
