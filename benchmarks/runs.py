"""Runs with their readers, beside the same through ``EventStreamResponse``, which stores nothing and ends with its client."""

from __future__ import annotations

import asyncio
import re
import statistics
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from benchmarks.client import Stream, Swarm
from benchmarks.scenarios import percentile

if TYPE_CHECKING:
    from benchmarks.databases import Database
    from benchmarks.plan import Plan
    from benchmarks.server import ServerProcess

#: Readers of each run.
READERS = 2
#: Seconds beyond those of the words, in which all streams have ended.
GUARD = 60.0
WORD = re.compile(rb'"at":(\d+),"n":(\d+)\}')
ENDS = {"run": b"event: done", "plain": b"data: [DONE]"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What streams of words cost, in one way of serving them."""

    streams: int
    cores: float
    """The server's CPU seconds for each second, from the first handshake to the last end."""
    expected: int
    delivered: int
    lost: int
    duplicated: int
    p50_ms: float
    p95_ms: float
    """From the iterator's word to its reader."""


async def words(server: ServerProcess, plan: Plan, database: Database, way: str) -> Ran:
    """Open ``plan.runs`` runs with two readers each, or as many plain streams, and read them to their ends.

    Args:
        server: a fresh one.
        plan: how much.
        database: its users.
        way: "run" or "plain".
    """
    path = f"/{way}/{{}}/?rate={plan.words_rate}&count={plan.words}"
    swarms = [
        Swarm(server.address, path.format(number), [cookie] * READERS, b"data: ")
        for number, cookie in enumerate(database.cookies[: plan.runs])
    ]
    before, began = server.cpu(), asyncio.get_running_loop().time()
    gate = asyncio.Semaphore(plan.concurrency)

    async def open_both(swarm: Swarm) -> None:
        async with gate:
            await swarm.open_until(1, concurrency=1)
            await swarm.open_until(READERS, concurrency=1)

    await asyncio.gather(*map(open_both, swarms))
    async with asyncio.timeout(plan.words / plan.words_rate + GUARD):
        while sum(swarm.closed_by_server for swarm in swarms) < READERS * len(swarms):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    seconds = asyncio.get_running_loop().time() - began
    cpu = server.cpu() - before
    found = [_read(stream, ENDS[way]) for swarm in swarms for stream in swarm.streams]
    latencies = sorted(latency for numbers in found for _, latency in numbers)
    expected = plan.words * len(found)
    distinct = sum(len({number for number, _ in numbers}) for numbers in found)
    return Ran(
        streams=len(found),
        cores=cpu / 1e9 / seconds,
        expected=expected,
        delivered=len(latencies),
        lost=expected - distinct,
        duplicated=len(latencies) - distinct,
        p50_ms=percentile(latencies, 0.50) / 1e6,
        p95_ms=percentile(latencies, 0.95) / 1e6,
    )


def _read(stream: Stream, end: bytes) -> list[tuple[int, int]]:
    """Return the numbers of all words that came, each with its nanoseconds."""
    body = b"".join(data for _, data in stream.chunks)
    if end not in body:
        raise ConnectionError(f"a stream has no end: {body[-200:]!r}")
    ends = list(accumulate(len(data) for _, data in stream.chunks))
    return [
        (int(match[2]), stream.chunks[bisect_left(ends, match.end())][0] - int(match[1]))
        for match in WORD.finditer(body)
    ]


def medians(runs: list[Ran]) -> Ran:
    """Return the medians of several measurements; of counts, the worst."""
    return Ran(
        streams=runs[0].streams,
        cores=statistics.median(run.cores for run in runs),
        expected=runs[0].expected,
        delivered=min(run.delivered for run in runs),
        lost=max(run.lost for run in runs),
        duplicated=max(run.duplicated for run in runs),
        p50_ms=statistics.median(run.p50_ms for run in runs),
        p95_ms=statistics.median(run.p95_ms for run in runs),
    )
