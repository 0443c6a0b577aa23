"""The storm: all streams come back at once, while somebody looks at an ordinary page."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.scenarios import percentile
from benchmarks.visitor import Visit, visiting

if TYPE_CHECKING:
    from benchmarks.scenarios import Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Stormed:
    """What became of an ordinary page while all streams came back at once."""

    streams: int
    handshakes_per_second: float
    calm_p95_ms: float
    """With all streams open and idle."""
    p50_ms: float
    p95_ms: float
    """While they come back."""
    pages: int
    """Requests for the page in the storms."""
    failed: int
    """Those that failed, in the storms and between them."""


async def storms(session: Session, streams: int, times: int) -> Stormed:
    """Let ``streams`` come back at once, again and again, and return what became of the page."""
    plan = session.plan
    await _come_back(session, streams)  # what is made once is made now
    spans: list[tuple[float, float]] = []
    async with visiting(session.server.address, "/page", plan.page_spacing) as visitor:
        for _ in range(times):
            await asyncio.sleep(plan.idle_window)
            began = time.monotonic()
            await _come_back(session, streams)
            spans.append((began, time.monotonic()))
        await asyncio.sleep(plan.idle_window)
        return weather(streams, spans, await visitor.leave())


async def _come_back(session: Session, streams: int) -> None:
    """Cut all streams, and open so many at once."""
    session.swarm.cut()
    gc.collect()
    await session.swarm.open_until(streams, concurrency=streams)


def weather(streams: int, spans: Sequence[tuple[float, float]], visits: Sequence[Visit]) -> Stormed:
    """Sort visits into those that began in one of the storms and those that did not.

    Args:
        streams: how many came back in each storm.
        spans: the moments at which the storms began and ended.
        visits: the requests for the page.
    """
    calm: list[float] = []
    storm: list[float] = []
    for began, seconds, _ in visits:
        is_in_storm = any(start <= began <= end for start, end in spans)
        (storm if is_in_storm else calm).append(seconds * 1e3)
    return Stormed(
        streams=streams,
        handshakes_per_second=streams * len(spans) / sum(end - start for start, end in spans),
        calm_p95_ms=percentile(sorted(calm), 0.95),
        p50_ms=percentile(sorted(storm), 0.5),
        p95_ms=percentile(sorted(storm), 0.95),
        pages=len(storm),
        failed=sum(not succeeded for _, _, succeeded in visits),
    )
