"""The end of a process: the streams are told first, then the server gets its signal; nobody waits for ever."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from sse_notify.streaming import registry
from sse_notify.streaming.hub import Hub
from sse_notify.streaming.limits import admission
from sse_notify.streaming.registry import SignalHandler, end_streams
from tests.support import GUARD
from tests.unit.streaming.memory_log import MemoryLog, stream_on


@pytest.fixture
def passed_on() -> Iterator[threading.Event]:
    """Set when the handler that stands for the server's own was called; the test's process survives its signals."""
    event = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: event.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    yield event
    for number, handler in before.items():
        signal.signal(number, handler)


class Begin:
    """What is to happen before the server hears of the signal; it is done when a test says so."""

    def __init__(self) -> None:
        self.calls = 0
        self.told: Future[None] = Future()

    def __call__(self) -> list[Future[None]]:
        self.calls += 1
        return [self.told]


def arrives(event: threading.Event) -> bool:
    """Wait for what a signal's handler sets. One long wait may begin just after the signal came."""
    end = time.monotonic() + GUARD
    while not event.wait(0.05) and time.monotonic() < end:
        pass
    return event.is_set()


def test_the_server_is_told_when_the_streams_were(passed_on: threading.Event) -> None:
    begin = Begin()
    SignalHandler(begin).install()
    signal.raise_signal(signal.SIGTERM)
    assert begin.calls == 1
    assert not passed_on.is_set()
    begin.told.set_result(None)
    assert arrives(passed_on)


def test_streams_that_take_no_leave_do_not_hold_the_process(
    passed_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BYE_SECONDS", 0.01)
    SignalHandler(Begin()).install()
    signal.raise_signal(signal.SIGINT)
    assert arrives(passed_on)


def test_a_second_signal_is_not_held_back(passed_on: threading.Event) -> None:
    begin = Begin()
    SignalHandler(begin).install()
    signal.raise_signal(signal.SIGTERM)
    waiting = [each for each in threading.enumerate() if "_pass_on" in each.name]
    signal.raise_signal(signal.SIGTERM)
    assert passed_on.is_set()
    passed_on.clear()
    begin.told.set_result(None)
    for thread in waiting:
        thread.join(GUARD)
    assert begin.calls == 1
    assert not passed_on.is_set(), "it was passed on already"


def test_without_the_main_thread_nothing_is_installed(passed_on: threading.Event) -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=SignalHandler(Begin()).install)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_is_ignored_stays_ignored_and_ends_no_stream(
    ignored: signal.Signals, passed_on: threading.Event
) -> None:
    """As ``nohup`` does with SIGINT for what it starts in the background."""
    begin = Begin()
    begin.told.set_result(None)
    signal.signal(ignored, signal.SIG_IGN)
    SignalHandler(begin).install()
    signal.raise_signal(ignored)
    assert begin.calls == 0
    assert signal.getsignal(ignored) is signal.SIG_IGN
    other = signal.SIGTERM if ignored == signal.SIGINT else signal.SIGINT
    signal.raise_signal(other)
    assert begin.calls == 1, "the other one is as it was"
    assert arrives(passed_on)


def test_a_handler_that_was_not_installed_from_python_stays(
    passed_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    SignalHandler(Begin()).install()
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGTERM) is real


@pytest.mark.asyncio
async def test_a_process_without_streams_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "draining", False)
    registry.current()
    async with asyncio.timeout(GUARD):
        for told in registry.drain():
            await asyncio.wrap_future(told)


class SlowStream:
    """A stream whose client takes nothing."""

    def __init__(self, hub: Any) -> None:
        self.said: list[str] = []
        self._hub = hub
        hub.streams.add(self)
        hub.empty.clear()

    def drain(self, seconds: float) -> None:
        self.said.append("drain")

    def abort(self, reason: str) -> None:
        self.said.append(f"abort {reason}")
        self._hub.streams.discard(self)
        self._hub.empty.set()


@pytest.mark.asyncio
async def test_a_client_that_does_not_take_its_bye_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CUT_SECONDS", 0.0)
    hub = Hub()
    slow = SlowStream(hub)
    async with asyncio.timeout(GUARD):
        await end_streams(hub, 0.0)
    assert slow.said == ["drain", "abort drain"]


@pytest.mark.asyncio
async def test_a_stream_whose_handshake_was_under_way_gets_its_bye(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream = stream_on(hub, memory, topics=("everyone",))
    monkeypatch.setattr(admission, "draining", True)
    assert await stream.read() == b"\n"
    reading = asyncio.create_task(stream.read())
    async with asyncio.timeout(GUARD):
        while not reading.done():
            while memory.queries:
                memory.answer_one(random.Random(0))
            await asyncio.sleep(0)
    assert b'event: bye\ndata: {"reason":"drain"' in (await reading or b"")
    assert await stream.read() is None
    stream.close()
