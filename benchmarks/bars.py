"""The bars: what this project promises of its own speed, each judged by what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.plan import EVENTSTREAM, OURS, STARLETTE
from benchmarks.results import median
from benchmarks.runs import medians

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.plan import Contestant
    from benchmarks.results import Results

#: KiB that an idle stream may add on uvicorn.
MEMORY = 16.0
#: Percent of a core that the main scenarios' idle streams may take.
IDLE = 1.0
#: Shares of the peers' fan-out CPU that ours may have at most.
OF_STARLETTE, OF_EVENTSTREAM = 0.55, 1 / 4
#: How many times django-eventstream's authenticated handshakes per second ours has to reach.
HANDSHAKES = 4.0
#: How many times as long as in peace a page's 95th percentile may take while all streams come back at once.
STORM = 3.0
#: How many times as long as a bare INSERT, and as another package's call, ``notify()`` may take.
OF_INSERT, OF_PEER = 1.5, 1.1
#: A call in chunks for 100,000 users: seconds, more memory in MB, and milliseconds that somebody else may wait.
CROWD_SECONDS, CROWD_MB, OTHER_MS = 8.0, 20.0, 1000.0
#: Of eight processes at once: the share of their bare INSERTs per second that ``notify()`` has to reach until heard, and
#: milliseconds until all but a hundredth are heard.
OF_INSERTS, HEARD_MS = 0.67, 250.0
#: Milliseconds that PostgreSQL alone may take longer than Redis from one process to another, at the 95th percentile.
BEYOND_REDIS_MS = 50.0
#: How many times the CPU of ``EventStreamResponse`` runs may take, and milliseconds from a word to its reader.
OF_PLAIN, WORD_MS = 1.5, 150.0
#: Cores that the ticker may take at most, at its highest rate.
TICKER = 1.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise and what became of it."""

    promise: str
    measured: str
    met: bool


def judge(results: Results) -> Iterator[Bar]:
    """Yield every bar whose contestants were run."""
    yield from _ticker(results)
    yield from _storms(results)
    yield from _runs(results)
    if OURS.name not in results.streams:
        return
    yield from _idle(results)
    yield from _lost(results)
    for peer, share in ((STARLETTE, OF_STARLETTE), (EVENTSTREAM, OF_EVENTSTREAM)):
        if peer.name in results.streams:
            yield from _fanout(results, peer, share)
    if EVENTSTREAM.name in results.streams:
        yield from _handshakes(results)
    yield from _many(results)
    yield from _callers(results)
    yield from _together(results)
    yield from _apart(results)


def _idle(results: Results) -> Iterator[Bar]:
    opened = median(results.streams[OURS.name].opened)
    more = opened.threads - opened.threads_before
    yield Bar(
        "0 threads per idle stream",
        f"{more:.0f} more threads for {opened.streams:,.0f} streams",
        more <= 0,
    )
    for database, entries in (("SQLite", results.streams), ("PostgreSQL", results.postgres)):
        if OURS.name in entries:
            found = median(entries[OURS.name].opened)
            before, after = found.connections_before or 0, found.connections or 0
            yield Bar(
                f"0 database connections per idle stream, {database}",
                f"{after - before:.0f} more for {found.streams:,.0f} streams ({before:.0f} → {after:.0f})",
                after <= before,
            )
    yield Bar(
        f"at most {MEMORY:.0f} KB per idle stream on uvicorn",
        f"{opened.kib_per_stream:.1f} KB",
        opened.kib_per_stream <= MEMORY,
    )
    for database, entries in (("SQLite", results.streams), ("PostgreSQL", results.postgres)):
        for percent in entries[OURS.name].idle if OURS.name in entries else ():
            yield Bar(
                f"at most {IDLE:.0f} % of a core for idle streams, {database}",
                f"{percent:.2f} % for {median(entries[OURS.name].opened).streams:,} streams",
                percent <= IDLE,
            )


def _lost(results: Results) -> Iterator[Bar]:
    all_ours = results.every_delivery(OURS.name)
    lost = sum(delivered.lost for delivered in all_ours)
    twice = sum(delivered.duplicated for delivered in all_ours)
    total = sum(delivered.expected for delivered in all_ours)
    yield Bar(
        "0 events lost, 0 duplicated",
        f"{lost} lost, {twice} duplicated of {total:,} deliveries",
        lost == twice == 0,
    )


def _fanout(results: Results, peer: Contestant, share: float) -> Iterator[Bar]:
    ours, other = results.streams[OURS.name], results.streams[peer.name]
    for shape in ("singles", "bursts"):
        theirs = median(getattr(other, shape)["ephemeral"]).fanout_us
        for kind in OURS.kinds:
            own = median(getattr(ours, shape)[kind]).fanout_us
            yield Bar(
                f"fan-out CPU at most {share:.2g} of {peer.name}'s: {shape}, ours {kind}",
                f"{own / theirs:.2f} ({own:.1f} : {theirs:.1f} µs)",
                own <= theirs * share,
            )


def _handshakes(results: Results) -> Iterator[Bar]:
    own, theirs = (
        median(results.streams[peer.name].opened).handshakes_per_second
        for peer in (OURS, EVENTSTREAM)
    )
    yield Bar(
        f"authenticated handshakes at least {HANDSHAKES:.0f} times django-eventstream's",
        f"{own / theirs:.1f} times ({own:.0f} : {theirs:.0f} per second)",
        own >= HANDSHAKES * theirs,
    )


def _many(results: Results) -> Iterator[Bar]:
    entry = results.many.get(OURS.name)
    if entry is None:
        return
    opened, served = median(entry.opened), median(entry.singles[OURS.kinds[0]])
    yield Bar(
        f"{opened.streams:,} open streams in one process, served",
        f"{served.delivered:,} of {served.expected:,} delivered, p50 {served.p50_ms:.0f} ms",
        served.delivered == served.expected and served.closed == 0,
    )


def _ticker(results: Results) -> Iterator[Bar]:
    entry = results.ticker.get(OURS.name)
    if entry is None:
        return
    one = median(entry.ticker[max(entry.ticker)])
    yield Bar(
        f"less than one core for {one.streams:,.0f} people on a ticker of {one.rate:.0f} updates a second, 0 lost",
        f"{one.cores:.2f} cores, {one.lost} lost",
        one.cores < TICKER and one.lost == one.duplicated == one.closed == 0,
    )


def _storms(results: Results) -> Iterator[Bar]:
    for database, runs in results.storms.items():
        one = median(runs)
        ratio = one.p95_ms / one.calm_p95_ms
        yield Bar(
            f"a page's p95 at most {STORM:.0f} times that of peace while {one.streams:,.0f} streams come back at once, none fails, {database}",
            f"{ratio:.1f} times ({one.p95_ms:.1f} : {one.calm_p95_ms:.1f} ms), {one.failed} failed",
            ratio <= STORM and one.failed == 0,
        )


def _runs(results: Results) -> Iterator[Bar]:
    if not results.runs:
        return
    run, plain = (medians(results.runs[way]) for way in ("run", "plain"))
    yield Bar(
        f"runs with {run.streams:,} readers at most {OF_PLAIN} times the CPU of EventStreamResponse, which stores nothing",
        f"{run.cores / plain.cores:.2f} times ({run.cores:.2f} : {plain.cores:.2f} cores)",
        run.cores <= OF_PLAIN * plain.cores,
    )
    yield Bar(
        f"95 of 100 words of a run read after {WORD_MS:.0f} ms, 0 lost, 0 twice",
        f"{run.p95_ms:.0f} ms, {run.lost:,} lost, {run.duplicated:,} twice",
        run.p95_ms <= WORD_MS and run.lost == run.duplicated == 0,
    )


def _callers(results: Results) -> Iterator[Bar]:
    for database, cost in results.callers.items():
        for peer, name, most in (
            ("insert_us", "a bare INSERT", OF_INSERT),
            ("peer_us", "django-notifications' notify.send()", OF_PEER),
        ):
            ratio = cost["notify_us"] / cost[peer]
            yield Bar(
                f"notify() at most {most:.1f} times {name}, {database}",
                f"{ratio:.2f} times",
                ratio <= most,
            )
        if "crowd" in cost:
            seconds = cost["crowd_seconds"] * 100_000 / cost["crowd"]
            yield Bar(
                f"notify() to 100,000 users in {CROWD_SECONDS:.0f} s, at most {CROWD_MB:.0f} MB more, {database}",
                f"{seconds:.1f} s, {cost['crowd_mb']:.0f} MB",
                seconds <= CROWD_SECONDS and cost["crowd_mb"] <= CROWD_MB,
            )
            yield Bar(
                f"meanwhile nobody else's notification waits longer than {OTHER_MS / 1000:.0f} s, {database}",
                f"{cost['other_ms']:.0f} ms",
                cost["other_ms"] <= OTHER_MS,
            )


def _together(results: Results) -> Iterator[Bar]:
    if not (found := results.together):
        return
    who = f"{found['publishers']:.0f} processes at once, PostgreSQL with Redis"
    share = found["notify_per_second"] / found["inserts_per_second"]
    yield Bar(
        f"notify() until heard at least {OF_INSERTS} of the bare INSERTs a second: {who}",
        f"{share:.2f} ({found['notify_per_second']:.0f} : {found['inserts_per_second']:.0f})",
        share >= OF_INSERTS,
    )
    yield Bar(
        f"99 of 100 heard in {HEARD_MS:.0f} ms, 0 lost, 0 duplicated: {who}",
        f"{found['p99_ms']:.0f} ms, {found['lost']:.0f} lost, {found['duplicated']:.0f} duplicated",
        found["p99_ms"] <= HEARD_MS and found["lost"] == found["duplicated"] == 0,
    )


def _apart(results: Results) -> Iterator[Bar]:
    if not (found := results.apart):
        return
    alone, redis = found["PostgreSQL alone"], found["Redis"]
    yield Bar(
        f"PostgreSQL alone carries in at most {BEYOND_REDIS_MS:.0f} ms more than Redis, 95 of 100",
        f"{alone['p95_ms']:.1f} ms (Redis: {redis['p95_ms']:.1f} ms)",
        alone["p95_ms"] <= redis["p95_ms"] + BEYOND_REDIS_MS,
    )
    for name, one in found.items():
        yield Bar(
            f"all of {one['burst']:,.0f} events of publish() in a row reach another process, {name}",
            f"{one['lost']:.0f} lost",
            one["lost"] == 0,
        )
