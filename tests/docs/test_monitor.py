"""The page for whoever watches a site names the metrics and the spans that there are."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from sse_notify import counters
from sse_notify.metrics import NotifyCollector
from tests.docs.pages import read, rows
from tests.support import ROOT


@pytest.mark.django_db
def test_the_metrics_that_are_listed_are_those_that_exist() -> None:
    for name in ("closed", "reset", "refused"):  # so that there is a sample with each label
        counters.add(name, "test")
    registry = CollectorRegistry()
    registry.register(NotifyCollector(everywhere=False))

    def row(family: Metric) -> tuple[str, str, set[str]]:
        return (
            family.name,
            family.type,
            {label for sample in family.samples for label in sample.labels},
        )

    exported = {
        name: (kind, labels or {"process"}) for name, kind, labels in map(row, registry.collect())
    }
    for name in ("sse_notify_log_head", "sse_notify_log_pending", "sse_notify_users_connected"):
        exported[name] = (exported[name][0], set())
    table = [
        cells
        for cells in rows(read("how-to/monitor.md"))
        if len(cells) == 4 and cells[0].startswith("`sse_notify_")
    ]
    assert {
        cells[0].strip("`"): (cells[1], set(re.findall(r"`(\w+)`", cells[2]))) for cells in table
    } == exported


def test_the_spans_that_are_listed_are_those_that_are_recorded() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "sse_notify").rglob("*.py")]
    recorded = {
        f"sse_notify.{name}"
        for source in sources
        for name in re.findall(r'telemetry\.span\("(\w+)"', source)
    }
    listed = {
        cells[0].strip("`")
        for cells in rows(read("how-to/monitor.md"))
        if cells[0].startswith("`sse_notify.")
    }
    assert listed == recorded
