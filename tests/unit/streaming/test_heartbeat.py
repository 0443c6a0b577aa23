"""The timer of a stream: heartbeats in silence alone, spread from the start; blocked writes and lifetimes end."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise
from time import monotonic

import pytest
from django.test import override_settings

from sse_notify.streaming.base import BaseStream
from tests.support import GUARD

pytestmark = pytest.mark.asyncio


class Timekeeper(BaseStream):
    """Notes what its timer tells it."""

    def __init__(self, lifetime: float = math.inf) -> None:
        super().__init__(feed=lambda: None, buffer_bytes=0, lifetime=lifetime)
        self.told: asyncio.Queue[str] = asyncio.Queue()

    def heartbeat(self) -> None:
        self.told.put_nowait("heartbeat")

    def end(self, reason: str, retry_after: int | None) -> None:
        assert retry_after is not None
        self.told.put_nowait(f"end {reason}")

    def abort(self, reason: str = "") -> None:
        self.told.put_nowait(f"abort {reason}")

    async def next(self) -> str:
        async with asyncio.timeout(GUARD):
            return await self.told.get()


@override_settings(SSE_NOTIFY={"HEARTBEAT": 0.02})
async def test_silence_is_broken_again_and_again_until_it_stops() -> None:
    keeper = Timekeeper()
    keeper.start_timer()
    assert [await keeper.next() for _ in range(3)] == ["heartbeat"] * 3
    keeper.stop_timer()
    keeper.stop_timer()
    await asyncio.sleep(0)
    assert keeper.told.empty()


@override_settings(SSE_NOTIFY={"HEARTBEAT": 10})
async def test_the_first_heartbeats_of_a_storm_are_spread_and_none_is_late() -> None:
    keepers = [Timekeeper() for _ in range(200)]
    for keeper in keepers:
        keeper.start_timer()
        keeper.stop_timer()
    due = sorted(keeper.written_at + 10 - monotonic() for keeper in keepers)
    assert 4.5 < due[0] < 5.5
    assert 9.5 < due[-1] <= 10
    assert max(later - earlier for earlier, later in pairwise(due)) < 1


@override_settings(SSE_NOTIFY={"HEARTBEAT": 600, "SEND_TIMEOUT": 0.02})
async def test_a_write_that_blocks_is_given_up_whenever_it_began() -> None:
    keeper = Timekeeper()
    keeper.start_timer()
    keeper.sending_since = monotonic()  # after the timer was set
    began = monotonic()
    assert await keeper.next() == "abort slow"
    assert monotonic() - began >= 0.02


@override_settings(SSE_NOTIFY={"HEARTBEAT": 0.01, "SEND_TIMEOUT": 600})
async def test_nothing_is_added_to_a_write_that_blocks_but_the_end_of_the_lifetime() -> None:
    keeper = Timekeeper(lifetime=0.05)
    keeper.start_timer()
    keeper.sending_since = monotonic()
    assert await keeper.next() == "end lifetime"
    assert keeper.told.empty(), "once, and no heartbeat before it"
    keeper.sending_since = None
    keeper.stop_timer()


async def test_lifetimes_are_spread() -> None:
    left = sorted(Timekeeper(lifetime=100).deadline - monotonic() for _ in range(200))
    assert 79 < left[0] < 85
    assert 95 < left[-1] <= 100
