"""What a whole run found: the runs of each contestant, and their medians."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass, field
from typing import Any, TypeVar

from benchmarks.runs import Ran
from benchmarks.scenarios import Delivered, Opened, Ticked
from benchmarks.storms import Stormed

T = TypeVar("T", Opened, Delivered, Ticked, Stormed)


@dataclass(kw_only=True, slots=True)
class Entry:
    """What was measured of one contestant: one item for each repeat."""

    name: str
    opened: list[Opened] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    """Percent of a core that idle streams take, over ``Plan.idle_seconds``; of the first run alone."""
    singles: dict[str, list[Delivered]] = field(default_factory=dict)
    """By kind: "stored" or "ephemeral"."""
    bursts: dict[str, list[Delivered]] = field(default_factory=dict)
    ticker: dict[int, list[Ticked]] = field(default_factory=dict)
    """By updates a second."""


@dataclass(kw_only=True, slots=True)
class Results:
    """All that a run found."""

    machine: dict[str, str]
    load: float
    """How busy the machine was before the run, in cores."""
    plan: dict[str, Any]
    streams: dict[str, Entry] = field(default_factory=dict)
    """The main scenarios, by contestant."""
    postgres: dict[str, Entry] = field(default_factory=dict)
    """The idle streams on PostgreSQL, by contestant."""
    many: dict[str, Entry] = field(default_factory=dict)
    """The many streams, by contestant."""
    ticker: dict[str, Entry] = field(default_factory=dict)
    """The ticker, by contestant."""
    storms: dict[str, list[Stormed]] = field(default_factory=dict)
    """A page while the streams come back, by database."""
    notify: dict[str, dict[str, float]] = field(default_factory=dict)
    """The rates of ``notify()``, by database."""
    callers: dict[str, dict[str, float]] = field(default_factory=dict)
    """What the callers of ``notify()`` and of others wait for, by database."""

    runs: dict[str, list[Ran]] = field(default_factory=dict)
    """Streams of words, by how they are served: "run" or "plain"."""
    together: dict[str, float] = field(default_factory=dict)
    """What publishers in many processes at once reach."""
    apart: dict[str, dict[str, float]] = field(default_factory=dict)
    """How another process hears a publisher, by what connects the two."""

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return dataclasses.asdict(self)

    def every_delivery(self, name: str) -> list[Delivered]:
        """Return all measurements of deliveries of the contestants whose names start with ``name``."""
        return [
            delivered
            for entries in (self.streams, self.many)
            for entry in entries.values()
            if entry.name.startswith(name)
            for by_kind in (entry.singles, entry.bursts)
            for runs in by_kind.values()
            for delivered in runs
        ]


def median(runs: list[T]) -> T:
    """Return the field by field median of the runs; of counts, the worst: a loss in one run must not vanish."""
    worst = {"lost", "duplicated", "closed", "failed"}
    worst |= {"threads", "threads_before", "connections", "connections_before"}
    first = runs[0]
    values: dict[str, Any] = {}
    for item in dataclasses.fields(first):
        column = [getattr(run, item.name) for run in runs]
        if any(value is None for value in column):
            values[item.name] = None
        elif item.name in worst:
            values[item.name] = max(column)
        elif item.name == "delivered":
            values[item.name] = min(column)
        else:
            values[item.name] = statistics.median(column)
    return type(first)(**values)
