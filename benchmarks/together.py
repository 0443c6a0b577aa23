"""Processes that publish, on PostgreSQL, until a stream of another process hears them.

Eight at once insert bare rows and call ``notify()`` in turns, so that a slow moment hits both. One by itself is heard through Redis and
through PostgreSQL alone, in turns.
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
            async with _publishers(plan.together, plan.together_calls, environment) as publishers:
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
        inserted = await _say(f"insert {plan.together_calls} 0", publishers)
        swarm.take()  # what the stream said before is not of this turn
        swarm.expect(total)
        told = await _say(f"notify {plan.together_calls} 0", publishers)
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


async def apart(
    plan: Plan, databases: Mapping[str, Database], redis: str
) -> dict[str, dict[str, float]]:
    """Return how long one process's notifications take to be heard in another, and how many events of a burst are.

    Args:
        plan: how much is run.
        databases: a PostgreSQL database with users for each doorbell: "Redis" and "PostgreSQL alone".
        redis: the URL of a Redis.
    """
    latencies: dict[str, list[int]] = {name: [] for name in databases}
    lost = dict.fromkeys(databases, 0)
    with _on_all_cores():
        alone = dataclasses.replace(plan, server_core=None)
        async with contextlib.AsyncExitStack() as stack:
            pairs = []
            for name, database in databases.items():
                environment = {"DJANGO_SETTINGS_MODULE": OURS.settings, **database.environment}
                if name == "Redis":
                    environment["BENCH_REDIS_URL"] = redis
                server = session(OURS, alone, environment, database.cookies)
                swarm = (await stack.enter_async_context(server)).swarm
                await swarm.open_until(1, concurrency=1)
                publisher = await stack.enter_async_context(_publishers(1, 0, environment))
                pairs.append((name, swarm, publisher))
            for turn in range(plan.repeats + 1):
                for name, swarm, publisher in pairs:
                    singles = await _heard(plan, swarm, publisher, f"notify {plan.apart} 0.05")
                    burst = await _heard(plan, swarm, publisher, f"publish {plan.burst_apart} 0")
                    if turn:  # the first one makes what is made once
                        latencies[name] += singles
                        lost[name] += plan.apart - len(singles) + plan.burst_apart - len(burst)
    return {
        name: {
            "p50_ms": percentile(sorted(found), 0.50) / 1e6,
            "p95_ms": percentile(sorted(found), 0.95) / 1e6,
            "burst": plan.burst_apart,
            "lost": lost[name],
        }
        for name, found in latencies.items()
    }


async def _heard(
    plan: Plan, swarm: Swarm, publishers: list[asyncio.subprocess.Process], line: str
) -> list[int]:
    """Have the publisher do one turn, and return how long each event took that was heard."""
    swarm.take()
    swarm.expect(int(line.split()[1]))
    await _say(line, publishers)
    await swarm.all_arrived(quiet=plan.quiet)
    (arrivals,) = swarm.take()
    return [each.latency for each in arrivals]


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
    processes: int, calls: int, environment: Mapping[str, str]
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Run the publishers until the block ends."""
    publishers: list[asyncio.subprocess.Process] = []
    try:
        for number in range(processes):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "benchmarks.servers.publish_together"),
                *("--first", str(number * calls)),
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
