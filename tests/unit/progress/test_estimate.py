"""How far long work is, and how long it still takes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_notify.models.content import State
from sse_notify.progress.estimate import Estimate


def started(total: float | None) -> Estimate:
    """Return an estimate whose time began at zero."""
    estimate = Estimate(total)
    estimate.start(0)
    return estimate


def test_the_eta_is_unknown_at_first_and_then_what_the_rate_says() -> None:
    estimate = started(100)
    assert (estimate.eta(0), estimate.eta(0.4)) == (None, None)
    for second in range(1, 31):
        estimate.update(second, done=2 * second)
        assert estimate.eta(second) == 50 - second
    unknown = started(None)
    unknown.update(4, done=4)
    assert unknown.eta(5) is None


def test_the_eta_of_work_that_goes_on_where_it_was_interrupted_counts_what_is_done_now() -> None:
    resumed = started(1000)
    resumed.update(0.1, done=500)
    resumed.update(10, done=510)
    assert resumed.eta(10) == 490
    slow = started(1000)
    slow.update(10, done=500)
    assert slow.eta(10) == 10


def test_the_eta_follows_a_rate_that_changes_and_grows_while_nothing_moves() -> None:
    estimate = started(1000)
    etas = []
    for second in range(1, 11):
        estimate.update(second, done=10 * second)
        etas.append(estimate.eta(second))
    waiting = [estimate.eta(second) or 0 for second in range(11, 21)]
    assert waiting == sorted(waiting)
    assert waiting[-1] > 1.5 * (etas[-1] or 0)
    last: int | None = None
    for second in range(21, 121):
        estimate.update(second, done=100 + 5 * (second - 20))
        last = estimate.eta(second)
    assert last is not None
    assert last == pytest.approx(400 / 5, rel=0.05)
    estimate.update(122, done=0)  # begins anew
    assert estimate.eta(122) is None
    estimate.update(123, done=5)
    assert estimate.eta(123) == 199


@given(
    total=st.none() | st.floats(0, 1e6),
    steps=st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 1e6)), max_size=20),
)
def test_whatever_is_reported_the_numbers_make_sense(
    total: float | None, steps: list[tuple[float, float]]
) -> None:
    now = 0.0
    estimate = started(total)
    for seconds, done in steps:
        now += seconds
        estimate.update(now, done=done)
        told = estimate.as_dict(State.RUNNING, now)
        assert (told["percent"] is None) == (total is None)
        assert told["percent"] is None or 0 <= told["percent"] <= 100
        assert told["percent"] != 100 or done >= (total or 0)
        assert told["eta"] is None or (isinstance(told["eta"], int) and told["eta"] >= 0)
        json.dumps(told, allow_nan=False)
