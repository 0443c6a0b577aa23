"""The doorbell: what it carries, and that neither a layer nor a closed loop can hurt a publisher."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from sse_notify.bus import messages, publisher, subscriber
from sse_notify.bus.messages import Batch, Entry, Ephemeral, Message, PresenceQuery


def batch_of(*sizes: int) -> Batch:
    entries = tuple(
        Entry(11 + i, "user:1", bytes([65 + i]) * size, frozenset({"3"}) if i else frozenset())
        for i, size in enumerate(sizes)
    )
    return Batch(11, 10 + len(sizes), entries)


@pytest.mark.parametrize(
    "message",
    [Ephemeral("wall", b"x\n\n"), batch_of(10, 20), Batch(5, 5, ()), PresenceQuery("replies.1")],
    ids=["ephemeral", "batch", "empty", "query"],
)
def test_a_message_comes_out_of_the_layer_as_it_went_in(message: Message) -> None:
    (part,) = messages.split(message)
    assert messages.unpack(messages.pack(part)) == message


def test_a_large_batch_becomes_several_messages_without_a_gap() -> None:
    size = messages.MESSAGE_BYTES // 2
    batch = batch_of(size, size, size, 10, size)
    parts = [messages.unpack(messages.pack(part)) for part in messages.split(batch)]
    assert [(part.first, part.last) for part in parts if isinstance(part, Batch)] == [
        (11, 12),
        (13, 14),
        (15, 15),
    ]
    assert (
        tuple(e for part in parts if isinstance(part, Batch) for e in part.entries) == batch.entries
    )


def test_hubs_of_this_process_are_rung_on_their_own_loop() -> None:
    heard: list[tuple[Message, int]] = []

    async def listen() -> None:
        done = asyncio.Event()

        def callback(message: Message) -> None:
            heard.append((message, threading.get_ident()))
            done.set()

        publisher.attach(callback)
        await asyncio.to_thread(publisher.ring, Ephemeral("wall", b"x"))
        await asyncio.wait_for(done.wait(), 5)
        publisher.detach(callback)
        publisher.ring(Ephemeral("wall", b"y"))
        await asyncio.sleep(0)

    asyncio.run(listen())
    assert heard == [(Ephemeral("wall", b"x"), threading.get_ident())]


def test_a_closed_loop_is_forgotten() -> None:
    def callback(message: Message) -> None:
        raise AssertionError("nobody is there")

    async def attach() -> None:
        publisher.attach(callback)

    asyncio.run(attach())
    publisher.ring(Ephemeral("wall", b"x"))
    assert callback not in publisher._hubs


class BrokenLayer:
    """Refuses everything, as a Redis that is down does, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.enough = threading.Event()

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.calls += 1
        if self.calls >= 5:
            self.enough.set()
        raise ConnectionError("no Redis here")


def test_a_sender_that_has_nothing_to_send_keeps_nobody_waiting() -> None:
    sender = publisher._Sender()
    sender.running_loop()  # as whoever asks the hubs does
    assert sender._is_idle.is_set(), "the end of the process waits for this"


def test_a_layer_that_is_down_is_logged_once_and_never_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    layer = BrokenLayer()
    sender = publisher._Sender()
    monkeypatch.setattr(publisher, "_sender", sender)
    monkeypatch.setattr(publisher, "remote_layer", lambda: layer)
    with caplog.at_level(logging.WARNING, logger="sse_notify"):
        for _ in range(5):
            publisher.ring(Ephemeral("wall", b"x"))
        assert layer.enough.wait(10)
        sender.flush()
    assert [record.getMessage() for record in caplog.records] == [
        "incident=layer_send state=failed error=ConnectionError('no Redis here')"
    ]


def test_a_membership_that_expires_soon_is_renewed_sooner() -> None:
    hosts = ["redis://127.0.0.1:1/0"]
    assert subscriber.rejoin_seconds(RedisChannelLayer(hosts=hosts)) == subscriber.REJOIN_SECONDS
    assert subscriber.rejoin_seconds(RedisChannelLayer(hosts=hosts, group_expiry=6)) == 2

    async def of_pubsub() -> float:  # where a membership is a subscription
        return subscriber.rejoin_seconds(RedisPubSubChannelLayer(hosts=hosts))

    assert asyncio.run(of_pubsub()) == subscriber.REJOIN_SECONDS
