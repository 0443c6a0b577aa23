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

pytestmark = [
    pytest.mark.alone,
    pytest.mark.asyncio,
    pytest.mark.slow,
    pytest.mark.timeout(1200 if SOAK else 500),
]

CLIENTS = 1000 if SOAK else 500
SECONDS = 600 if SOAK else 60
#: Notifications a second, half of them to everybody and half to one user.
RATE = 20.0
#: Seconds between two cuts of one client, on average.
EVERY = 5.0


async def test_clients_that_are_cut_all_the_time_get_everything_once(
    make_site: Callable[..., Site], tmp_path: Path, report: Report
) -> None:
    """Two servers, uvicorn and daphne, of one site. What is published and cut late is made up, so that the rates are what they are called."""
    site = make_site("postgresql", redis=True)
    persons = await asyncio.to_thread(people, site, CLIENTS)
    one, two = [await asyncio.to_thread(site.serve, kind) for kind in ("uvicorn", "daphne")]
    cut = [0, 0]
    with Proxy(one.port) as first, Proxy(two.port) as second:
        half = CLIENTS // 2
        async with (
            Crowd(first.port, persons[:half]) as left,
            Crowd(second.port, persons[half:]) as right,
        ):
            await left.all_open()
            await right.all_open()
            async with publishing(site, tmp_path, rate=RATE) as published:
                begun = time.monotonic()
                while (passed := time.monotonic() - begun) < SECONDS:
                    await asyncio.sleep(
                        random.uniform(0, 0.1)
                    )  # the fault: cuts at random, a few at a time
                    due = int(passed * half / EVERY)
                    for n, proxy in enumerate((first, second)):
                        cut[n] += proxy.cut(max(0, due - cut[n]))
            everything = await asyncio.to_thread(numbered, site)
            before = time.monotonic()
            for crowd in (left, right):
                # On two cores, the long form leaves much to deliver after the last cut.
                await crowd.caught_up(everything, guard=600)
            healed = time.monotonic() - before
    for kind, crowd, cuts in (("uvicorn", left, cut[0]), ("daphne", right, cut[1])):
        verdict = crowd.verdict(everything)
        every = passed * half / cuts
        report(
            f"jitter: cuts at random while notifications are sent, {passed:.0f} s, {kind}",
            verdict=verdict,
            healed=healed,
            note=f"{published.rate:.0f} notifications a second; each client cut every {every:.1f} s on average; "
            f"{verdict.opened - verdict.clients:,} reconnects",
        )
        # At least half of what is claimed, on a machine that is busy: what is late is made up, so it is not less for long.
        assert published.rate > RATE / 2
        assert every < 2 * EVERY
        assert verdict.is_clean, verdict
        assert verdict.opened > verdict.clients, "they were cut"
        assert verdict.delivered > verdict.clients * SECONDS, "it was not quiet"
