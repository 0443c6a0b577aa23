"""Eight processes that publish at once, on PostgreSQL with Redis, until the last notification is heard by a stream.

They insert bare rows and call ``notify()`` in turns, so that a slow moment hits both.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import statistics
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING

from benchmarks.plan import OURS, Plan
from benchmarks.scenarios import percentile, session

if TYPE_CHECKING:
    from benchmarks.client import Swarm
    from benchmarks.databases import Database

#: Seconds in which all processes are ready, and in which they have done one turn.
TIMEOUT = 60.0


async def together(plan: Plan, database: Database, redis: str) -> dict[str, float]:
    """Return the rates of bare INSERTs and of ``notify()`` until heard, and how long hearing takes.

    Args:
        plan: how much is run.
        database: a PostgreSQL database with users.
        redis: the URL of a Redis.
    """
    environment = {
        "DJANGO_SETTINGS_MODULE": OURS.settings,
        "BENCH_REDIS_URL": redis,
        **database.environment,
    }
    # The server has no core of its own here: the publishers need all that there are.
    with _on_all_cores():
        alone = dataclasses.replace(plan, server_core=None)
        async with session(OURS, alone, environment, database.cookies) as open_session:
            await open_session.swarm.open_until(1, concurrency=1)
            async with _publishers(plan, environment) as publishers:
                return await _turns(plan, open_session.swarm, publishers)


async def _turns(
    plan: Plan, swarm: Swarm, publishers: list[asyncio.subprocess.Process]
) -> dict[str, float]:
    inserts: list[float] = []
    calls: list[float] = []
    latencies: list[int] = []
    total = plan.together * plan.together_calls
    distinct = 0
    for turn in range(plan.repeats + 1):
        inserted = await _say("insert", publishers)
        swarm.take()  # what the stream said before is not of this turn
        swarm.expect(total)
        told = await _say("notify", publishers)
        await swarm.all_arrived(quiet=plan.quiet)
        last_at = swarm.streams[0].chunks[-1][0] / 1e9
        (arrivals,) = swarm.take()
        if not turn:  # the first one makes what is made once
            continue
        inserts.append(total / (max(ended for _, ended in inserted) - _start(inserted)))
        calls.append(total / (last_at - _start(told)))
        distinct += len({each.number for each in arrivals})
        latencies += [each.latency for each in arrivals]
    latencies.sort()
    return {
        "publishers": plan.together,
        "inserts_per_second": statistics.median(inserts),
        "notify_per_second": statistics.median(calls),
        "p50_ms": percentile(latencies, 0.50) / 1e6,
        "p99_ms": percentile(latencies, 0.99) / 1e6,
        "expected": total * plan.repeats,
        "lost": total * plan.repeats - distinct,
        "duplicated": len(latencies) - distinct,
    }


def _start(turns: list[tuple[float, float]]) -> float:
    return min(began for began, _ in turns)


async def _say(
    what: str, publishers: list[asyncio.subprocess.Process]
) -> list[tuple[float, float]]:
    """Have all publishers do one turn, and return when each began and ended."""
    for process in publishers:
        assert process.stdin is not None
        process.stdin.write(f"{what}\n".encode())
    return [tuple(json.loads(await _line(process))) for process in publishers]


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT):
        if line := await process.stdout.readline():
            return line
    raise ChildProcessError("a publisher ended before its turn was over")


@contextlib.asynccontextmanager
async def _publishers(
    plan: Plan, environment: Mapping[str, str]
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Run the publishers until the block ends."""
    publishers: list[asyncio.subprocess.Process] = []
    try:
        for number in range(plan.together):
            first = number * plan.together_calls
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "benchmarks.servers.publish_together"),
                *("--calls", str(plan.together_calls), "--first", str(first)),
                env={**os.environ, **environment},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            publishers.append(process)
        for process in publishers:
            await _line(process)
        yield publishers
    finally:
        for process in publishers:
            assert process.stdin is not None
            process.stdin.close()
        for process in publishers:
            await process.wait()


@contextlib.contextmanager
def _on_all_cores() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
