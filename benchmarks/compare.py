"""This version beside an older one: both servers run at once, and each round measures one after the other.

A machine's pace changes from minute to minute. What is measured in turn, seconds apart, meets the same pace, so that the ratio holds
where the figures do not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import statistics
import subprocess
import tarfile
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import databases, machine
from benchmarks.databases import Database, Databases
from benchmarks.plan import OURS, Contestant, Plan
from benchmarks.run import Say, connections, notify_rates, prepare, start
from benchmarks.storms import storms

if TYPE_CHECKING:
    from benchmarks.scenarios import Session
    from benchmarks.storms import Stormed

ROOT = Path(__file__).parent.parent

#: Ratios of this version to the other, one for each round, by what was measured.
Ratios = dict[str, list[float]]

#: The rates of ``notify()``, and how the table calls them.
_NOTIFY = {
    "single_per_second": "one by one",
    "in_one_transaction_per_second": "in one transaction",
    "bulk_per_second": "users of one call",
}
#: What a figure's name contains if more is better.
_RATE = "a second"


async def compare(reference: str, plan: Plan, *, rounds: int, say: Say) -> Ratios:
    """Return the ratios of this version's figures to those of ``reference``.

    Args:
        reference: a commit, tag or branch.
        plan: how much is run.
        rounds: how often each is measured.
        say: told what is being done.
    """
    prepare(plan)
    ratios: Ratios = {}
    with databases.folder() as folder:
        before = dataclasses.replace(
            OURS, name=reference, environment=_older(reference, folder / "older")
        )
        made = Databases(folder, max(plan.streams, plan.bulk, plan.storm))
        for number in range(rounds):
            say(f"streams, round {number + 1} of {rounds}")
            await _streams((before, OURS), plan, made, ratios)
        for number in range(rounds if plan.storm else 0):
            say(f"storms, round {number + 1} of {rounds}")
            old_storm, new_storm = [
                await _storms(which, plan, await made.sqlite(which)) for which in (before, OURS)
            ]
            for name, field in (
                ("handshakes a second, all at once", "handshakes_per_second"),
                ("p95 of a page meanwhile", "p95_ms"),
            ):
                _note(ratios, name, getattr(old_storm, field), getattr(new_storm, field))
        for number in range(rounds):
            say(f"notify(), round {number + 1} of {rounds}")
            old, new = [
                await notify_rates(plan, which, await made.sqlite(which))
                for which in (before, OURS)
            ]
            for name, what in _NOTIFY.items():
                _note(ratios, f"notify() a second, {what}", old[name], new[name])
    return ratios


def render(reference: str, ratios: Ratios) -> str:
    """Return the ratios as a table: their median, least and most."""
    about = machine.describe()
    lines = [
        f"This version beside {reference}: the ratios of its figures. {about['processor']}, "
        f"{about['cores']} cores, {about['python']}, Django {about['django']}.",
        "",
        "| figure | median | least | most | |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for name, found in ratios.items():
        middle, is_rate = statistics.median(found), _RATE in name
        worse = middle < 1 / 1.15 if is_rate else middle > 1.15
        verdict = "more than 15 % worse" if worse else ""
        lines.append(f"| {name} | {middle:.2f} | {min(found):.2f} | {max(found):.2f} | {verdict} |")
    return "\n".join(lines)


async def _streams(
    contestants: tuple[Contestant, Contestant], plan: Plan, made: Databases, ratios: Ratios
) -> None:
    """Open the streams of both, and publish to one and the other in turn."""
    async with AsyncExitStack() as stack:
        sessions: list[Session] = []
        opened = []
        for contestant in contestants:
            database = await made.sqlite(contestant)
            session = await stack.enter_async_context(start(contestant, plan, database))
            sessions.append(session)
            opened.append(
                await session.open(plan.streams, plan.base, connections(session, database))
            )
        idle = await asyncio.gather(*(one.idle(plan.idle_seconds) for one in sessions))
        _note(ratios, "CPU of idle streams", *idle)
        for name, field in (
            ("handshakes a second", "handshakes_per_second"),
            ("CPU of a handshake", "cpu_ms_per_handshake"),
            ("memory of a stream", "kib_per_stream"),
        ):
            _note(ratios, name, *(getattr(one, field) for one in opened))
        for kind in OURS.kinds:
            nothing = {(kind, 1): 0.0, (kind, plan.burst): 0.0}
            for session in sessions:
                await session.warm_up(kind)
            singles = [
                await one.singles(kind, plan.singles, plan.spacing, nothing) for one in sessions
            ]
            bursts = [await one.bursts(kind, nothing) for one in sessions]
            for what, both in (("single", singles), ("burst", bursts)):
                assert not any(one.lost or one.duplicated for one in both)
                _note(ratios, f"CPU of a delivery, {kind}, {what}", *(one.cpu_us for one in both))


async def _storms(contestant: Contestant, plan: Plan, database: Database) -> Stormed:
    async with start(contestant, plan, database) as session:
        return await storms(session, plan.storm, plan.storms)


def _note(ratios: Ratios, name: str, before: Any, now: Any) -> None:
    if before and now:
        ratios.setdefault(name, []).append(now / before)


def _older(reference: str, folder: Path) -> dict[str, str]:
    """Unpack the package of ``reference``, and return the environment in which it is found first."""
    archive = subprocess.run(
        ["git", "archive", reference, "sse_notify"], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
