"""The tables, in Markdown: they read well in a terminal too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from benchmarks.bars import judge
from benchmarks.plan import OURS
from benchmarks.results import median
from benchmarks.runs import medians

if TYPE_CHECKING:
    from benchmarks.results import Entry, Results
    from benchmarks.scenarios import Delivered

#: Load in cores above which the numbers are not clean.
NOISY = 0.1

_DELIVERY = (
    "delivered",
    "lost",
    "twice",
    "CPU µs per delivery",
    "of that fan-out",
    "p50 ms",
    "p99 ms",
)


def render(results: Results) -> str:
    """Return the whole report."""
    return "\n".join(_render(results)).rstrip() + "\n"


def render_storms(results: Results) -> str:
    """Return the report of the storms, the machine included."""
    return "\n".join((*_bars(results), *_storms(results), *_machine(results))).rstrip() + "\n"


def render_runs(results: Results) -> str:
    """Return the report of the runs, the machine included."""
    return "\n".join((*_bars(results), *_runs(results), *_machine(results))).rstrip() + "\n"


def render_ticker(results: Results) -> str:
    """Return the report of the ticker, the machine included."""
    return "\n".join((*_bars(results), *_ticker(results), *_machine(results))).rstrip() + "\n"


def _render(results: Results) -> Iterator[str]:
    plan = results.plan
    yield from _bars(results)
    yield f"### {plan['streams']:,} streams: single events, {plan['spacing'] * 1000:.0f} ms apart\n"
    yield from _table(("", "events", *_DELIVERY), _deliveries(results.streams, "singles"))
    yield f"### {plan['streams']:,} streams: bursts of {plan['burst']} events\n"
    yield from _table(("", "events", *_DELIVERY), _deliveries(results.streams, "bursts"))
    yield f"### Opening {plan['streams']:,} streams, and leaving them idle\n"
    yield from _opened(results.streams)
    if results.postgres:
        yield "### The same on PostgreSQL, which admits 100 connections\n"
        yield from _opened(results.postgres)
    if results.many:
        yield f"### {plan['many']:,} streams in one process\n"
        yield from _opened(results.many)
        yield from _table(("", "events", *_DELIVERY), _deliveries(results.many, "singles"))
    if results.ticker:
        yield from _ticker(results)
    if results.storms:
        yield from _storms(results)
    if results.runs:
        yield from _runs(results)
    if results.notify:
        yield from _notify(results)
    if results.callers:
        yield from _callers(results)
    if results.together:
        yield from _together(results)
    if results.apart:
        yield from _apart(results)
    yield from _machine(results)


def _bars(results: Results) -> Iterator[str]:
    if bars := list(judge(results)):
        yield "### The bars\n"
        yield from _table(
            ("promise", "measured", ""),
            ((bar.promise, bar.measured, "met" if bar.met else "**missed**") for bar in bars),
        )


def _machine(results: Results) -> Iterator[str]:
    yield "### The machine\n"
    yield from _table(("", ""), results.machine.items())
    if results.load > NOISY:
        yield f"**The machine was not quiet:** {results.load:.2f} cores were busy before the run began.\n"


def _ticker(results: Results) -> Iterator[str]:
    plan = results.plan
    yield f"### The ticker: {plan['watching']:,} people, {plan['ticker_seconds']} seconds at each rate\n"
    rows = []
    for entry in results.ticker.values():
        for rate, runs in entry.ticker.items():
            one = median(runs)
            ours = results.ticker.get(OURS.name)
            ratio = one.cores / median(ours.ticker[rate]).cores if ours else float("nan")
            rows.append(
                (
                    *(
                        entry.name,
                        f"{rate}",
                        f"{one.delivered:,} of {one.expected:,.0f}",
                        f"{one.lost:,}",
                        f"{one.duplicated:,}",
                    ),
                    *(f"{one.cores:.2f}", f"{ratio:.1f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}"),
                )
            )
    heads = (
        "",
        "updates a second",
        "delivered",
        "lost",
        "twice",
        "cores",
        "times ours",
        "p50 ms",
        "p99 ms",
    )
    yield from _table(heads, sorted(rows, key=lambda row: int(row[1])))


def _deliveries(entries: dict[str, Entry], shape: str) -> Iterator[Sequence[str]]:
    for entry in entries.values():
        for kind, runs in getattr(entry, shape).items():
            yield (entry.name, kind, *_delivered(median(runs)))


def _delivered(one: Delivered) -> Sequence[str]:
    return (
        f"{one.delivered:,} of {one.expected:,}",
        f"{one.lost:,}",
        f"{one.duplicated:,}",
        f"{one.cpu_us:.1f}",
        f"{one.fanout_us:.1f}",
        f"{one.p50_ms:.1f}",
        f"{one.p99_ms:.1f}",
    )


def _opened(entries: dict[str, Entry]) -> Iterator[str]:
    heads = (
        *(
            "",
            "streams",
            "handshakes per second",
            "CPU ms per handshake",
            "threads",
            "database connections",
        ),
        *("KB per stream", "idle CPU %"),
    )
    rows = []
    for entry in entries.values():
        one = median(entry.opened)
        rows.append(
            (
                *(
                    entry.name,
                    f"{one.streams:,.0f}",
                    f"{one.handshakes_per_second:,.0f}",
                    f"{one.cpu_ms_per_handshake:.2f}",
                ),
                f"{one.threads_before:.0f} → {one.threads:.0f}",
                "none"
                if one.connections is None
                else f"{one.connections_before:.0f} → {one.connections:.0f}",
                *(f"{one.kib_per_stream:.1f}", f"{(entry.idle or [one.idle_cpu_percent])[0]:.1f}"),
            )
        )
    yield from _table(heads, rows)


def _storms(results: Results) -> Iterator[str]:
    yield "### A page while all streams come back at once\n"
    heads = ("", "streams", "handshakes per second", "p95 ms in peace", "p50 ms", "p95 ms")
    rows = []
    for database, runs in results.storms.items():
        one = median(runs)
        times = one.calm_p95_ms, one.p50_ms, one.p95_ms
        counts = f"{one.streams:,.0f}", f"{one.handshakes_per_second:,.0f}"
        said = (f"{one.p95_ms / one.calm_p95_ms:.1f}", f"{one.pages:,.0f}", f"{one.failed}")
        rows.append((database, *counts, *(f"{each:.1f}" for each in times), *said))
    yield from _table((*heads, "times peace", "pages", "failed"), rows)


def _runs(results: Results) -> Iterator[str]:
    plan = results.plan
    yield f"### {plan['runs']} runs of {plan['words_rate']:.0f} events a second with two readers each, PostgreSQL\n"
    names = {"run": "a run, stored", "plain": "`EventStreamResponse`, a stream for each reader"}
    rows = []
    for way, runs in results.runs.items():
        one = medians(runs)
        counts = f"{one.delivered:,} of {one.expected:,}", f"{one.lost:,}", f"{one.duplicated:,}"
        rows.append(
            (names[way], *counts, f"{one.cores:.2f}", f"{one.p50_ms:.0f}", f"{one.p95_ms:.0f}")
        )
    yield from _table(("", "delivered", "lost", "twice", "cores", "p50 ms", "p95 ms"), rows)


def _notify(results: Results) -> Iterator[str]:
    bulk = results.plan["bulk"]
    yield "### `notify()` per second, without a stream\n"
    yield from _table(
        ("", "one by one", "in one transaction", f"in bulk, {bulk:,} users", "seconds", "queries"),
        (
            (
                *(
                    database,
                    f"{rates['single_per_second']:,.0f}",
                    f"{rates['in_one_transaction_per_second']:,.0f}",
                ),
                *(
                    f"{rates['bulk_per_second']:,.0f}",
                    f"{rates['bulk_seconds']:.2f}",
                    f"{rates['bulk_queries']:,.0f}",
                ),
            )
            for database, rates in results.notify.items()
        ),
    )


def _together(results: Results) -> Iterator[str]:
    found = results.together
    yield f"### {found['publishers']:.0f} processes that publish at once, PostgreSQL with Redis\n"
    yield from _table(
        ("bare INSERTs a second", "`notify()` until heard", "share", "lost", "p50 ms", "p99 ms"),
        [
            (
                f"{found['inserts_per_second']:,.0f}",
                f"{found['notify_per_second']:,.0f}",
                f"{found['notify_per_second'] / found['inserts_per_second']:.2f}",
                f"{found['lost']:.0f}",
                f"{found['p50_ms']:.0f}",
                f"{found['p99_ms']:.0f}",
            )
        ],
    )


def _apart(results: Results) -> Iterator[str]:
    yield "### One process heard in another, on PostgreSQL\n"
    yield from _table(
        ("through", "p50 ms", "p95 ms", "events of `publish()` in a row", "lost"),
        [
            (
                name,
                f"{one['p50_ms']:.1f}",
                f"{one['p95_ms']:.1f}",
                f"{one['burst']:,.0f}",
                f"{one['lost']:.0f}",
            )
            for name, one in results.apart.items()
        ],
    )


def _callers(results: Results) -> Iterator[str]:
    yield "### What a caller waits for: one call after the other\n"
    yield from _table(
        ("", "a bare INSERT", "`notify()`", "times the INSERT", "`notify.send()`", "times that"),
        (
            (
                database,
                f"{cost['insert_us']:.0f} µs",
                f"{cost['notify_us']:.0f} µs",
                f"{cost['notify_us'] / cost['insert_us']:.2f}",
                f"{cost['peer_us']:.0f} µs",
                f"{cost['notify_us'] / cost['peer_us']:.2f}",
            )
            for database, cost in results.callers.items()
        ),
    )
    crowds = {name: cost for name, cost in results.callers.items() if "crowd" in cost}
    if not crowds:
        return
    yield "### `notify(..., chunked=True)` while somebody else is notified\n"
    yield from _table(
        ("", "users", "seconds", "until sent", "more memory, MB", "longest wait of the other, ms"),
        (
            (
                database,
                f"{cost['crowd']:,.0f}",
                f"{cost['crowd_seconds']:.1f}",
                f"{cost['crowd_sent_seconds']:.1f}",
                f"{cost['crowd_mb']:.0f}",
                f"{cost['other_ms']:.0f}",
            )
            for database, cost in crowds.items()
        ),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(heads))]
    numeric = [all(_is_number(line[column]) for line in lines[1:]) for column in range(len(heads))]
    for index, line in enumerate(lines):
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        yield f"| {' | '.join(cells)} |"
        if index == 0:
            rules = (
                "-" * (width - 1) + (":" if right else "-")
                for width, right in zip(widths, numeric, strict=True)
            )
            yield f"| {' | '.join(rules)} |"
    yield ""


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() and " of " not in cell
