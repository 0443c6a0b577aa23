"""Networks that break: clients that are cut all the time get every event exactly once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.crowd import Crowd, people
from tests.faults.ledger import numbered
from tests.faults.publisher import publishing
from tests.faults.report import SOAK, Report
from tests.support.proxy import Proxy
from tests.support.site import Site

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(1200 if SOAK else 500)]

CLIENTS = 1000 if SOAK else 300
SECONDS = 600 if SOAK else 10
#: Seconds between two cuts of one client, about.
EVERY = 5.0


async def test_clients_that_are_cut_all_the_time_get_everything_once(
    make_site: Callable[..., Site], tmp_path: Path, report: Report
) -> None:
    """Two servers, uvicorn and daphne, of one site; 20 notifications a second, half of them to everybody and half to one user."""
    site = make_site("postgresql", redis=True)
    persons = await asyncio.to_thread(people, site, CLIENTS)
    one, two = [await asyncio.to_thread(site.serve, kind) for kind in ("uvicorn", "daphne")]
    cuts = 0
    with Proxy(one.port) as first, Proxy(two.port) as second:
        half = CLIENTS // 2
        async with Crowd(first.port, persons[:half]) as left, Crowd(second.port, persons[half:]) as right:
            await left.all_open()
            await right.all_open()
            async with publishing(site, tmp_path, pause=0.1):
                end = time.monotonic() + SECONDS
                while time.monotonic() < end or cuts <= CLIENTS:  # a busy machine takes longer to cut as many
                    await asyncio.sleep(random.uniform(0, 0.1))  # the fault: cuts at random, a few at a time
                    cuts += first.cut(int(half * 0.05 / EVERY) or 1) + second.cut(int(half * 0.05 / EVERY) or 1)
            everything = await asyncio.to_thread(numbered, site)
            before = time.monotonic()
            for crowd in (left, right):
                await crowd.caught_up(everything)
            healed = time.monotonic() - before
    for kind, crowd in (("uvicorn", left), ("daphne", right)):
        verdict = crowd.verdict(everything)
        report(
            f"jitter: every client cut about every {EVERY:.0f} s, {SECONDS} s, {kind}",
            verdict=verdict,
            healed=healed,
            note=f"{verdict.opened - verdict.clients:,} reconnects",
        )
        assert verdict.is_clean, verdict
        assert verdict.opened > verdict.clients, "they were cut"
        assert verdict.delivered > verdict.clients * SECONDS, "it was not quiet"
