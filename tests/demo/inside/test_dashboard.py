"""The dashboard measures while somebody watches, once for all of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from demo_project.dashboard import machine
from demo_project.dashboard.sampler import Sampler
from tests.support import GUARD


class Measuring:
    """Counts what is asked of it."""

    def __init__(self) -> None:
        self.begun = 0
        self.measured = 0

    def begin(self) -> Any:
        self.begun += 1
        return self.measure

    def measure(self) -> int:
        self.measured += 1
        return self.measured


@pytest.mark.asyncio
async def test_one_measurement_serves_all_who_watch_and_ends_with_the_last() -> None:
    others = asyncio.all_tasks()
    made = Measuring()
    sampler = Sampler(made.begin, interval=0.001, size=5)
    assert not sampler.is_running
    first: Any = sampler.watch()
    assert not sampler.is_running  # begun with the first step
    assert await anext(first) == 1
    second: Any = sampler.watch()
    assert await anext(second) == 1  # what was measured before
    while await anext(second) < 20:
        pass
    assert (made.begun, sampler.watchers, sampler.is_running) == (1, 2, True)

    await first.aclose()
    assert (sampler.watchers, sampler.is_running) == (1, True)
    (measuring,) = asyncio.all_tasks() - others
    await second.aclose()
    assert (sampler.watchers, sampler.is_running) == (0, False)
    count = made.measured
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(measuring, GUARD)
    assert made.measured == count

    third: Any = sampler.watch()
    assert await anext(third) == count + 1  # nothing from before the gap
    assert made.begun == 2
    await third.aclose()


@pytest.mark.asyncio
async def test_who_is_cut_off_while_waiting_watches_no_more() -> None:
    sampler = Sampler(Measuring().begin, interval=60, size=5)
    watching: Any = sampler.watch()
    waiting = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0)
    assert sampler.watchers == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not sampler.is_running


def test_what_is_measured_is_this_machine() -> None:
    measure = machine.begin()
    sample = measure()
    assert sample.keys() == {"at", "cpu", "memory", "load", "received", "sent"}
    assert 0 < sample["memory"] < 100
    assert 0 <= sample["cpu"] <= 100
    assert min(sample.values()) >= 0


@pytest.mark.django_db
def test_only_who_has_signed_in_watches(client: Client) -> None:
    assert client.get(reverse("dashboard:stream")).status_code == 302
