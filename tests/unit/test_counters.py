"""What the operator sees: every counter is there from the start, and each thread's counts are kept."""

from __future__ import annotations

import logging
import threading

import pytest

from sse_notify import counters
from sse_notify.telemetry import Incident


def test_every_counter_is_there_before_anything_happened() -> None:
    assert set(counters.snapshot()) == set(counters.COUNTED)


def test_a_label_is_counted_for_itself() -> None:
    before = counters.get("closed", "slow")
    counters.add("closed", "slow")
    counters.add("closed", "client", 2)
    found = counters.snapshot()["closed"]
    assert isinstance(found, dict)
    assert found["slow"] == before + 1 == counters.get("closed", "slow")


def test_counts_from_several_threads_are_all_kept() -> None:
    before = counters.get("replayed")
    together = threading.Barrier(4)

    def count() -> None:
        together.wait()
        for _ in range(5_000):
            counters.add("replayed")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.get("replayed") == before + 20_000


def test_an_incident_is_one_line_when_it_begins_and_one_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    incident = Incident("layer_send")
    with caplog.at_level(logging.INFO, logger="sse_notify"):
        incident.worked()
        for _ in range(50):
            incident.failed(ConnectionError("away"))
        incident.worked()
        incident.worked()
    begun, over = caplog.records
    assert (begun.__dict__["incident"], begun.__dict__["state"]) == ("layer_send", "failed")
    assert (over.__dict__["state"], over.__dict__["failures"]) == ("healed", 50)
    assert "state=failed error=ConnectionError('away')" in begun.getMessage()
