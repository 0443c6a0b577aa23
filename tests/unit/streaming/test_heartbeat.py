"""The timer of a stream: heartbeats in silence alone, spread from the start; blocked writes and lifetimes end."""

from __future__ import annotations

import asyncio
import gc
import math
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest
from django.test import override_settings

from sse_notify.concurrency import turns
from sse_notify.streaming import heartbeat
from sse_notify.streaming.base import BaseStream
from sse_notify.streaming.limits import admission
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
    keeper.stop_timer()


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


@override_settings(SSE_NOTIFY={"HEARTBEAT": 0.2})
async def test_streams_share_one_timer_and_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "STEP", 0.1)
    loop = asyncio.get_running_loop()
    handles: list[asyncio.TimerHandle] = []
    runs = 0
    call_later, run = loop.call_later, heartbeat._Timer._run

    def note(*args: Any) -> asyncio.TimerHandle:
        handles.append(call_later(*args))
        return handles[-1]

    def count(*args: Any) -> None:
        nonlocal runs
        runs += 1
        run(*args)

    monkeypatch.setattr(heartbeat._Timer, "_run", count)
    keepers = [Timekeeper() for _ in range(300)]
    with monkeypatch.context() as patched:
        patched.setattr(loop, "call_later", note)
        for keeper in keepers:
            keeper.start_timer()
    assert sum(not handle.cancelled() for handle in handles) == 1
    for keeper in keepers:
        assert await keeper.next() == "heartbeat"
    assert runs <= 10
    for keeper in keepers:
        keeper.stop_timer()
    assert all(handle.cancelled() or handle.when() < loop.time() for handle in handles), (
        "nothing runs without streams"
    )


@override_settings(SSE_NOTIFY={"HEARTBEAT": 0.02})
async def test_a_check_that_fails_harms_no_other_stream_and_is_not_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Timekeeper):
        def heartbeat(self) -> None:
            raise RuntimeError("broken")

    broken, keeper = Broken(), Timekeeper()
    broken.start_timer()
    keeper.start_timer()
    assert [await keeper.next() for _ in range(3)] == ["heartbeat"] * 3
    assert [record.message for record in caplog.records] == ["A stream cannot be checked."]
    broken.stop_timer()
    keeper.stop_timer()


@override_settings(SSE_NOTIFY={"HEARTBEAT": 0.02})
async def test_a_stream_that_another_ones_check_ends_is_not_checked() -> None:
    class Ending(Timekeeper):
        def heartbeat(self) -> None:
            super().heartbeat()
            for each in both:
                each.stop_timer()

    both = [Ending(), Ending()]
    for keeper in both:
        keeper.start_timer(0.01)
    async with asyncio.timeout(GUARD):
        while all(keeper.told.empty() for keeper in both):
            await asyncio.sleep(0)
    assert sum(keeper.told.qsize() for keeper in both) == 1


async def test_a_stream_whose_loop_was_closed_gives_its_place_back() -> None:
    """Else a process that runs loop after loop, such as one of tests, has ever fewer places."""

    async def leave_open() -> None:
        keeper = Timekeeper()
        keeper.start_timer()
        turns.current().ask()
        assert admission.total == before + 1

    before, timers, current = admission.total, len(heartbeat._timers), len(turns._turns)
    await asyncio.to_thread(asyncio.run, leave_open())
    gc.collect()
    assert (admission.total, len(heartbeat._timers), len(turns._turns)) == (before, timers, current)
