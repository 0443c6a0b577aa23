"""The end of a process: the streams are told first, then the server gets its signal; nobody waits for ever."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sse_notify import drain, farewell, hubs
from sse_notify.admission import admission
from sse_notify.drain import Listener
from sse_notify.farewell import Farewell
from sse_notify.hub import Hub
from tests.support import GUARD
from tests.unit.memory_log import MemoryLog, stream_on

Done = Callable[[], None]


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


def test_the_server_hears_of_it_when_the_streams_were_told(passed_on: threading.Event) -> None:
    told: list[Done] = []
    Listener(told.append).install()
    signal.raise_signal(signal.SIGTERM)
    assert len(told) == 1
    assert not passed_on.is_set()
    told[0]()
    assert passed_on.wait(GUARD)


def test_it_is_passed_on_from_another_thread(passed_on: threading.Event) -> None:
    Listener(lambda done: threading.Thread(target=done).start()).install()
    signal.raise_signal(signal.SIGINT)
    assert passed_on.wait(GUARD)


def test_streams_that_take_no_leave_do_not_hold_the_process(
    passed_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "TOLD_SECONDS", 0.01)
    Listener(lambda done: None).install()
    signal.raise_signal(signal.SIGTERM)
    assert passed_on.wait(GUARD)


def test_a_second_signal_is_not_held_back(passed_on: threading.Event) -> None:
    told: list[Done] = []
    Listener(told.append).install()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert passed_on.is_set()
    passed_on.clear()
    told[0]()
    assert len(told) == 1
    assert not passed_on.is_set(), "it was passed on already"


def test_without_the_main_thread_nothing_is_installed(passed_on: threading.Event) -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=Listener(lambda done: None).install)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.asyncio
async def test_a_process_without_streams_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "draining", False)
    done = asyncio.Event()
    hubs.drain(done.set)
    async with asyncio.timeout(GUARD):
        await done.wait()


class SlowStream:
    """A stream whose client takes nothing."""

    def __init__(self, streams: set[Any]) -> None:
        self.said: list[str] = []
        self._streams = streams

    def end(self, reason: str, retry_after: int | None) -> None:
        self.said.append(reason)

    def abort(self, reason: str) -> None:
        self.said.append(f"abort {reason}")
        self._streams.discard(self)


@pytest.mark.asyncio
async def test_a_client_that_does_not_take_its_bye_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell, "CUT_SECONDS", 0.0)
    streams: set[Any] = set()
    slow = SlowStream(streams)
    streams.add(slow)
    leaving = Farewell(streams, 0.0)
    done = asyncio.Event()
    leaving.begin(done.set)
    async with asyncio.timeout(GUARD):
        while streams:
            await asyncio.sleep(0)
        leaving.check()
        await done.wait()
    assert slow.said == ["drain", "abort drain"]


@pytest.mark.asyncio
async def test_a_stream_whose_handshake_was_under_way_gets_its_bye() -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream = stream_on(hub, memory, topics=("everyone",))
    hub.drain(10)
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
