"""Everybody comes back at once: few database connections, and the site's pages go on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.faults.crowd import Crowd, people
from tests.faults.ledger import numbered
from tests.faults.report import SOAK
from tests.support import GUARD
from tests.support.processes import Process
from tests.support.servers import Server
from tests.support.site import Site

pytestmark = [pytest.mark.alone, pytest.mark.asyncio, pytest.mark.slow]

MakeSite = Callable[..., Site]
Report = Callable[..., None]

CLIENTS = 5000 if SOAK else 1000
THREADS = 8

# In a process of its own, as the clients keep this one busy: the page of a signed-in user, one request after the other, and how many
# connections to the database there are at each.
_VISITOR = """
import json, time
from pathlib import Path
import httpx
import psycopg

stop = Path({stop!r})
database = psycopg.connect({database!r}, autocommit=True, application_name="visitor")
count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'visitor'"
with httpx.Client(cookies={cookies!r}, timeout=60, trust_env=False) as client:
    while not stop.exists():
        began = time.monotonic()
        response = client.get({url!r})
        assert response.status_code == 200 and b"sse-notify" in response.content, response
        seconds = time.monotonic() - began
        print(json.dumps([began, seconds, database.execute(count).fetchone()[0]]))
        time.sleep(0.02)
"""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page, and how many connections the database had then."""

    began: float
    seconds: float
    connections: int


class Visitor:
    """Somebody who looks at pages all the time. Leaving the block ends the visit; then :attr:`visits` tells."""

    def __init__(self, site: Site, server: Server, folder: Path) -> None:
        """Sign in."""
        self.visits: list[Visit] = []
        self._stop = folder / "visitor.stop"
        self._process: Process = site.start_script(
            _VISITOR.format(
                stop=str(self._stop),
                database=site.database_url,
                cookies=site.cookies(server, "alice"),
                url=server.url + "/",
            )
        )

    async def has_seen_pages(self, number: int) -> None:
        """Wait until so many more pages were answered."""
        wanted = len(self._process.output().splitlines()) + number
        async with asyncio.timeout(GUARD):
            while len(self._process.output().splitlines()) < wanted:
                assert self._process.is_running, self._process.tail()
                await asyncio.sleep(0.02)

    async def leave(self) -> None:
        """Stop, and read what was noted."""
        self._stop.touch()
        status = await asyncio.to_thread(self._process.wait, 60)
        assert status == 0, self._process.tail()
        self.visits = [
            Visit(*json.loads(line))
            for line in self._process.output().splitlines()
            if line.startswith("[")
        ]

    def during(self, began: float, ended: float) -> list[Visit]:
        """Return the visits that began between two moments of the monotonic clock."""
        return [visit for visit in self.visits if began <= visit.began <= ended]


@pytest.mark.timeout(300)
async def test_a_reconnect_storm_takes_few_connections_and_leaves_the_pages_alone(
    make_site: MakeSite, tmp_path: Path, report: Report
) -> None:
    limits: dict[str, Any] = {
        "HANDSHAKE_THREADS": THREADS,
        "MAX_STREAMS": CLIENTS + 100,
        "POLL_INTERVAL": 5,
    }
    site = make_site("postgresql", env={"SSE_NOTIFY": json.dumps(limits)})
    server = site.serve()
    persons = people(site, CLIENTS)
    site.send(server, "broadcast", title="Missed by all")
    visitor = Visitor(site, server, tmp_path)
    await visitor.has_seen_pages(10)
    calm_until = time.monotonic()
    crowd = Crowd(server.port, persons)
    for client in crowd.clients:
        client.cursor = 0  # as everybody has one who comes back
    async with crowd:
        await crowd.all_open(guard=200)
        ended = time.monotonic()
        await visitor.has_seen_pages(10)
        await visitor.leave()
        site.send(server, "broadcast", title="Live")
        log = numbered(site)
        await crowd.caught_up(log)
        verdict = crowd.verdict(log)
        # Every handshake succeeded at the first try.
        assert sum(client.hellos for client in crowd.clients) == CLIENTS
    assert verdict.is_clean, verdict
    assert verdict.delivered == 2 * CLIENTS
    storm, calm = visitor.during(calm_until, ended), visitor.during(0, calm_until)
    connections = max(visit.connections for visit in storm)
    report(
        "reconnect storm",
        verdict=verdict,
        healed=ended - calm_until,
        note=f"{connections} database connections at most; a page took {median(v.seconds for v in storm) * 1000:.0f} ms, at most "
        f"{max(v.seconds for v in storm) * 1000:.0f} ms, and {median(v.seconds for v in calm) * 1000:.0f} ms before",
    )
    # The handshakes' threads, the hub's, the publisher's, and the page that was just answered.
    assert 2 <= connections <= THREADS + 3
    # Behind the storm a page would take as long as the storm; beside it, many are answered.
    assert len(storm) >= 5, visitor.visits
    assert max(visit.seconds for visit in storm) < max(2.0, 0.5 * (ended - calm_until))
    assert median(visit.seconds for visit in storm) < 0.2 * (ended - calm_until)
