"""What a site's database holds, asked directly: quick, and whatever state the servers are in."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg

from tests.faults.crowd import Crowd
from tests.support.site import Site


def query(site: Site, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return the rows that ``sql`` gives on the site's PostgreSQL; none if it is no query."""
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        answer = connection.execute(sql.encode(), values)
        return answer.fetchall() if answer.description else []


def numbered(site: Site) -> list[tuple[int, str]]:
    """Return the number and the topic of every notification, in order, when all have one."""
    while query(site, "SELECT 1 FROM sse_notify_notification WHERE seq IS NULL LIMIT 1"):
        time.sleep(0.01)  # the publisher's thread says so to nobody here
    rows = query(
        site, "SELECT seq, topic FROM sse_notify_notification WHERE seq IS NOT NULL ORDER BY seq"
    )
    return [(seq, topic) for seq, topic in rows]


async def seconds_behind(site: Site, *crowds: Crowd, guard: float = 120.0) -> float:
    """Wait until every client has what the log holds now; return how long that took."""
    log = numbered(site)
    began = time.monotonic()
    await asyncio.gather(*(crowd.caught_up(log, guard=guard) for crowd in crowds))
    return time.monotonic() - began
