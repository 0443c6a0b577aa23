"""Handshakes and replays take turns, and leave other requests their part."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sse_notify.concurrency import turns
from sse_notify.concurrency.turns import AT_ONCE, HOLD_SECONDS, IDLE_SECONDS, Turns
from sse_notify.streaming.hub import Hub

pytestmark = pytest.mark.asyncio

#: A little more than a time that must pass.
MORE = 1.001


class Clock:
    """The time, and the time in which the process has worked, both set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.worked = 10.0
        self.timers: list[tuple[float, Any]] = []

    def call_later(self, seconds: float, function: Any) -> Any:
        entry = (self.now + seconds, function)
        self.timers.append(entry)
        return Timer(self, entry)

    def work(self, seconds: float) -> None:
        """Let the time pass while the process works."""
        self.worked += seconds
        self.idle(seconds)

    def idle(self, seconds: float) -> None:
        """Let the time pass, and call what is due."""
        self.now += seconds
        for entry in [each for each in self.timers if each[0] <= self.now]:
            self.timers.remove(entry)
            entry[1]()


class Timer:
    def __init__(self, clock: Clock, entry: tuple[float, Any]) -> None:
        self._clock, self._entry = clock, entry

    def cancel(self) -> None:
        if self._entry in self._clock.timers:
            self._clock.timers.remove(self._entry)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(turns, "monotonic", lambda: made.now)
    monkeypatch.setattr(turns, "process_time", lambda: made.worked)
    monkeypatch.setattr(turns, "_call_later", made.call_later)
    return made


def begun(asked: list[asyncio.Future[None]]) -> list[int]:
    """Return which of the turns have begun and not ended."""
    return [place for place, turn in enumerate(asked) if turn.done() and not turn.cancelled()]


async def test_as_many_as_may_are_at_work_at_once_in_order(clock: Clock) -> None:
    line = Turns(asyncio.get_running_loop())
    asked = [line.ask() for _ in range(AT_ONCE + 3)]
    assert begun(asked) == [*range(AT_ONCE)]
    line.end(asked[0])
    line.end(asked[0])
    assert begun(asked) == [*range(AT_ONCE + 1)], "a turn ends once"
    line.end(asked[AT_ONCE + 1])  # its client has left
    line.end(asked[AT_ONCE])
    assert begun(asked) == [*range(AT_ONCE + 1), AT_ONCE + 2]


async def test_those_that_work_for_long_keep_their_turns(clock: Clock) -> None:
    line = Turns(asyncio.get_running_loop())
    asked = [line.ask() for _ in range(AT_ONCE + 1)]
    for _ in range(100):
        clock.work(IDLE_SECONDS)
    assert begun(asked) == [*range(AT_ONCE)]


async def test_those_that_wait_for_something_let_the_next_begin(clock: Clock) -> None:
    """As many as wait: the pool of threads is the limit then."""
    line = Turns(asyncio.get_running_loop())
    asked = [line.ask() for _ in range(AT_ONCE * 3)]
    for times in range(1, 3):
        assert begun(asked) == [*range(AT_ONCE * times)]
        clock.idle(IDLE_SECONDS / 2)
        clock.work(IDLE_SECONDS)
        assert begun(asked) == [*range(AT_ONCE * times)]
        clock.idle(IDLE_SECONDS / 2 * MORE)
    assert begun(asked) == [*range(AT_ONCE * 3)]


async def test_none_begins_in_the_first_moments_of_another_request(clock: Clock) -> None:
    line = Turns(asyncio.get_running_loop())
    with line.other():
        asked = line.ask()
        clock.work(HOLD_SECONDS / 2)
        assert not asked.done()
    assert asked.done()


async def test_what_is_at_work_when_a_request_comes_is_not_followed_by_another(
    clock: Clock,
) -> None:
    line = Turns(asyncio.get_running_loop())
    *at_work, waiting = [line.ask() for _ in range(AT_ONCE + 1)]
    with line.other():
        for turn in at_work:
            line.end(turn)
        assert not waiting.done()
    assert waiting.done()


async def test_beside_a_long_request_they_have_half_of_the_time(clock: Clock) -> None:
    line = Turns(asyncio.get_running_loop())
    with line.other(), line.other():
        asked = line.ask()
        clock.work(HOLD_SECONDS * MORE)
        for _ in range(3):
            assert asked.done()
            clock.work(0.01)
            line.end(asked)
            asked = line.ask()
            clock.work(0.0099)
            assert not asked.done(), "as long as they have worked"
            clock.work(0.0011)


async def test_request_after_request_holds_them_up_for_half_of_the_time(clock: Clock) -> None:
    line = Turns(asyncio.get_running_loop())
    for _ in range(3):
        with line.other():
            first = line.ask()
            clock.work(HOLD_SECONDS * 0.75)
            assert not first.done()
        assert first.done()
        line.end(first)
        with line.other():
            second = line.ask()
            clock.work(HOLD_SECONDS * 0.25 * MORE)
            assert second.done()
            line.end(second)
        clock.work(HOLD_SECONDS)


async def test_requests_that_overlap_do_not_keep_them_back(clock: Clock) -> None:
    line = Turns(asyncio.get_running_loop())
    with line.other() as answered:
        asked = line.ask()
        clock.work(HOLD_SECONDS / 2)
        with line.other():
            answered()
            clock.work(HOLD_SECONDS / 2 * MORE)
            assert asked.done()


async def test_a_request_counts_until_its_response_begins(clock: Clock) -> None:
    line = Turns(asyncio.get_running_loop())
    with line.other() as answered, line.other() as also_answered:
        asked = line.ask()
        answered()
        answered()
        assert not asked.done()
        also_answered()
        assert asked.done()
    with line.other():
        assert not line.ask().done(), "each has ended once"


async def test_work_begins_with_its_turn_and_ends_it_however_it_ends(clock: Clock) -> None:
    line = turns.current()

    def fail() -> None:
        raise ZeroDivisionError

    for _ in range(AT_ONCE + 1):
        with pytest.raises(ZeroDivisionError):
            await turns.run(fail)
    asked = [line.ask() for _ in range(AT_ONCE)]
    waiting = asyncio.ensure_future(turns.run(fail))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    line.end(asked[0])
    assert line.ask().done()


async def test_a_replay_takes_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "IDLE_SECONDS", 600.0)
    line = turns.current()
    asked = [line.ask() for _ in range(AT_ONCE)]
    read: list[int] = []
    replay = asyncio.ensure_future(Hub().replay(read.append, 1))
    for _ in range(10):
        await asyncio.sleep(0)  # one turn of the loop, not a time
    assert read == []
    line.end(asked[0])
    await replay
    assert read == [1]


async def test_each_loop_has_its_own() -> None:
    async def find() -> Turns:
        assert turns.current() is turns.current()
        return turns.current()

    assert await asyncio.to_thread(asyncio.run, find()) is not turns.current()
