"""The end of a server under many streams: each is told, the process ends in time, and a restart behind a proxy loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from tests.faults.crowd import Crowd, people
from tests.faults.ledger import numbered
from tests.faults.publisher import publishing
from tests.faults.report import Report
from tests.support import GUARD
from tests.support.nginx import Nginx
from tests.support.servers import ASGI_KINDS, Kind
from tests.support.site import Site

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(300)]

DRAIN_SECONDS = 10
CLIENTS = 1000


@pytest.mark.parametrize("kind", ASGI_KINDS)
async def test_a_thousand_streams_are_told_and_the_process_ends_in_time(
    make_site: Callable[..., Site], kind: Kind, report: Report
) -> None:
    site = make_site("postgresql", env={"SSE_NOTIFY": json.dumps({"DRAIN_SECONDS": DRAIN_SECONDS})})
    persons = await asyncio.to_thread(people, site, CLIENTS)
    server = await asyncio.to_thread(site.serve, kind)
    # Who was told to leave does not come back before the end, so what is counted is the first leave.
    async with Crowd(server.port, persons, hurry=GUARD) as crowd:
        await crowd.all_open()
        before = time.monotonic()
        status = await asyncio.to_thread(server.stop, timeout=DRAIN_SECONDS)
        took = time.monotonic() - before
        await crowd.until(lambda: crowd.open == 0, guard=GUARD, what="all are gone")
    assert took < DRAIN_SECONDS, "it was killed in the end"
    assert status in (0, -15, 143), server.output()[-2000:]
    byes = [bye for client in crowd.clients for bye in client.byes]
    assert len(byes) == CLIENTS, "each was told, once"
    assert {bye["reason"] for bye in byes} == {"drain"}
    delays = sorted(bye["retry_after"] for bye in byes)
    tenth = DRAIN_SECONDS * 1000 / 10
    crowds = [sum(1 for delay in delays if n * tenth <= delay < (n + 1) * tenth) for n in range(10)]
    assert max(crowds) < 2 * CLIENTS / 10, f"their return is spread: {crowds}"
    assert f"drained streams={CLIENTS} cut=0" in server.output()
    report(
        f"SIGTERM under {CLIENTS:,} streams, {kind}",
        clients=CLIENTS,
        events=len(byes),
        note=f"the process ended after {took:.1f} s of {DRAIN_SECONDS}; each was told, their return spread over "
        f"{(delays[-1] - delays[0]) / 1000:.1f} s",
    )


async def test_a_rolling_restart_behind_nginx_loses_nothing(
    make_site: Callable[..., Site], tmp_path: Path, report: Report
) -> None:
    site = make_site("postgresql", redis=True, env={"SSE_NOTIFY": json.dumps({"DRAIN_SECONDS": 2})})
    persons = await asyncio.to_thread(people, site, 200)
    servers = [await asyncio.to_thread(site.serve, "uvicorn") for _ in range(2)]
    proxy = await asyncio.to_thread(
        Nginx(tmp_path / "nginx", [server.port for server in servers]).start
    )
    failures: list[str] = []
    try:
        async with (
            publishing(site, tmp_path),
            browsing(proxy.url + "/stats/", failures),
            Crowd(proxy.port, persons) as crowd,
        ):
            await crowd.all_open()
            for server in servers:
                await asyncio.to_thread(server.restart)
                await crowd.all_open()
            assert min(client.hellos for client in crowd.clients) >= 2, (
                "each lost its server at least once"
            )
            everything = await asyncio.to_thread(numbered, site)
            before = time.monotonic()
            await crowd.caught_up(everything)
            healed = time.monotonic() - before
    finally:
        await asyncio.to_thread(proxy.stop)
    verdict = crowd.verdict(await asyncio.to_thread(numbered, site), up_to=everything[-1][0])
    assert verdict.is_clean, verdict
    assert verdict.delivered > 200 * 10, "it was not quiet meanwhile"
    assert failures == [], "normal pages were answered all the time"
    report(
        "rolling restart of two servers behind nginx, uvicorn",
        verdict=verdict,
        healed=healed,
        note=f"{verdict.opened - verdict.clients:,} reconnects; every page meanwhile was answered",
    )


@contextlib.asynccontextmanager
async def browsing(url: str, failures: list[str]) -> AsyncIterator[None]:
    """Ask for a normal page again and again through the block; note each answer that is none."""

    async def browse() -> None:
        async with httpx.AsyncClient(timeout=GUARD, trust_env=False) as client:
            while True:
                try:
                    response = await client.get(url)
                    if response.status_code != 200:
                        failures.append(str(response.status_code))
                except httpx.HTTPError as error:
                    failures.append(repr(error))
                await asyncio.sleep(0.02)  # a visitor's pace

    task = asyncio.create_task(browse())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
