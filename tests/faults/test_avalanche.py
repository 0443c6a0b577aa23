"""A server that goes under a thousand streams, and all that come back at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import pytest

from tests.faults.crowd import Crowd, people
from tests.faults.ledger import numbered
from tests.faults.publisher import publishing
from tests.faults.report import SOAK, Report
from tests.support.servers import Kind
from tests.support.site import Site

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = 1000
EACH: list[tuple[Kind, Signals]] = [("uvicorn", SIGKILL), ("daphne", SIGTERM)]
if SOAK:
    EACH += [("uvicorn", SIGTERM), ("daphne", SIGKILL)]


@pytest.mark.parametrize(("kind", "signal"), EACH)
async def test_a_thousand_streams_come_back_to_a_restarted_server(
    make_site: Callable[..., Site], tmp_path: Path, report: Report, kind: Kind, signal: Signals
) -> None:
    """What is sent while the server is away, and while they come back, arrives once."""
    drain = 10 if SOAK else 2
    site = make_site(
        "postgresql", env={"SSE_NOTIFY": json.dumps({"DRAIN_SECONDS": drain, "POLL_INTERVAL": 1})}
    )
    persons = await asyncio.to_thread(people, site, CLIENTS)
    server = await asyncio.to_thread(site.serve, kind)
    # A browser waits for `retry`, or for what the server said: seconds. These come sooner, and so are the worse avalanche.
    async with Crowd(server.port, persons, pause=(0.1, 1.0)) as crowd:
        await crowd.all_open()
        async with publishing(site, tmp_path, rate=8 if SOAK else 4):
            await crowd.until(
                lambda: all(client.got for client in crowd.clients),
                guard=120,
                what="all have heard",
            )
            await asyncio.to_thread(server.stop if signal == SIGTERM else server.kill)
            await crowd.until(lambda: crowd.open == 0, guard=120, what="all are gone")
            crowd.hellos.clear()
            await asyncio.to_thread(server.start)
            up = time.monotonic()
            await crowd.all_open()
            back = time.monotonic() - up
        everything = await asyncio.to_thread(numbered, site)
        await crowd.caught_up(everything)
        healed = time.monotonic() - up
    verdict = crowd.verdict(everything)
    report(
        f"avalanche: {signal.name} under {CLIENTS:,} streams, {kind}",
        verdict=verdict,
        healed=healed,
        note=f"last stream back after {back:.1f} s, {max(crowd.hellos.values())} in the busiest second",
    )
    assert verdict.is_clean, verdict
    assert all(client.hellos == 2 for client in crowd.clients), (
        "each came back once, and was not refused its cursor"
    )
    assert not any(client.resets for client in crowd.clients)
    if signal == SIGTERM:
        assert all([bye["reason"] for bye in client.byes] == ["drain"] for client in crowd.clients)
