"""What a hub hears of the other processes, over a layer in memory; real layers are in ``tests/faults/test_listening.py``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from sse_notify import counters
from sse_notify.bus import publisher, signing, subscriber
from sse_notify.bus.messages import Ephemeral, Message
from sse_notify.telemetry import Incident
from tests.unit.bus.elsewhere import carrying, signed

pytestmark = pytest.mark.asyncio

GOOD = Ephemeral("wall", b"data: x\n\n")
BAD: dict[str, Callable[[], dict[str, Any]]] = {
    "of an older version": lambda: {"topic": "wall", "frame": b"data: x\n\n"},
    "no message": lambda: signed(["ephemeral", "wall"]),
}


@asynccontextmanager
async def listening_to(
    layer: InMemoryChannelLayer, callback: publisher.Callback
) -> AsyncIterator[None]:
    ready = asyncio.Event()
    task = asyncio.create_task(subscriber.listen(callback, ready))
    async with asyncio.timeout(20):
        await ready.wait()
        try:
            yield
        finally:
            subscriber.stop(task)
            await asyncio.wait({task})


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> InMemoryChannelLayer:
    layer = InMemoryChannelLayer()
    monkeypatch.setattr(publisher, "remote_layer", lambda: layer)
    return layer


@pytest.mark.parametrize("quiet_seconds", [0, 3600], ids=["long after joining", "just joined"])
async def test_a_callback_that_raises_is_logged_with_its_traceback_and_the_next_message_arrives(
    layer: InMemoryChannelLayer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    quiet_seconds: float,
) -> None:
    monkeypatch.setattr(subscriber, "QUIET_SECONDS", quiet_seconds)
    heard: asyncio.Queue[Message] = asyncio.Queue()

    def callback(message: Message) -> None:
        heard.put_nowait(message)
        raise RuntimeError("a defect")

    async with listening_to(layer, callback):
        for _ in range(2):
            await layer.group_send(signing.groups()[0], carrying(GOOD))
        assert [await heard.get(), await heard.get()] == [GOOD] * 2
    assert [str(record.exc_info and record.exc_info[1]) for record in errors(caplog)] == [
        "a defect",
        "a defect",
    ]
    assert "incident=" not in caplog.text, "the layer is not to blame"


@pytest.mark.parametrize("quiet_seconds", [0, 3600], ids=["long after joining", "just joined"])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_message_that_cannot_be_read_is_dropped_and_the_next_one_arrives(
    layer: InMemoryChannelLayer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    quiet_seconds: float,
    bad: Callable[[], dict[str, Any]],
) -> None:
    monkeypatch.setattr(subscriber, "QUIET_SECONDS", quiet_seconds)
    monkeypatch.setattr(signing, "_foreign", Incident("layer_messages", quiet=3600))
    before = counters.get("dropped")
    heard: asyncio.Queue[Message] = asyncio.Queue()
    async with listening_to(layer, heard.put_nowait):
        for message in (bad(), carrying(GOOD)):
            await layer.group_send(signing.groups()[0], message)
        assert await heard.get() == GOOD
    assert counters.get("dropped") == before + 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("incident=layer_messages state=failed")


async def test_a_callback_of_this_process_that_raises_is_logged_and_the_others_are_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: asyncio.Queue[Message] = asyncio.Queue()

    def fail(message: Message) -> None:
        raise RuntimeError("a defect")

    publisher.attach(fail)
    publisher.attach(heard.put_nowait)
    try:
        for _ in range(2):
            publisher.ring(GOOD)
            assert await asyncio.wait_for(heard.get(), 20) == GOOD
    finally:
        publisher.detach(fail)
        publisher.detach(heard.put_nowait)
    assert [record.name for record in errors(caplog)] == ["sse_notify"] * 2


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno == logging.ERROR]
