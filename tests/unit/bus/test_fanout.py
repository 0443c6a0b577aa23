"""The doorbell: what it carries, and that neither a layer nor a closed loop can hurt a publisher."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import Any

import pytest
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.test import override_settings

from sse_notify import counters
from sse_notify.bus import backlog, messages, publisher, subscriber
from sse_notify.bus.messages import (
    Batch,
    Entry,
    Ephemeral,
    Message,
    PresenceQuery,
    Revocation,
    size,
)

REVOCATION = Revocation(("user:5",), ("a1",), False, "logout", True, {"user:6": "f1"})


def through_json(message: Message) -> Message:
    return messages.unpack(json.loads(messages.pack(message)))


def batch_of(*sizes: int) -> Batch:
    entries = tuple(
        Entry(11 + i, "user:1", bytes([65 + i]) * size, frozenset({"3"}) if i else frozenset())
        for i, size in enumerate(sizes)
    )
    return Batch(11, 10 + len(sizes), entries)


@pytest.mark.parametrize(
    "message",
    [
        Ephemeral("wall", "x\u00fc\n\n".encode()),
        batch_of(10, 20),
        Batch(5, 5, ()),
        PresenceQuery("replies.1"),
        REVOCATION,
        Revocation(everybody=True),
    ],
    ids=["ephemeral", "batch", "empty", "query", "revocation", "everybody"],
)
def test_a_message_comes_out_of_the_layer_as_it_went_in(message: Message) -> None:
    (part,) = messages.split(message)
    assert through_json(part) == message


E = [5, "user:1", "x", ["3"], "news"]


@pytest.mark.parametrize(
    "packed",
    [
        None,
        5,
        [],
        {},
        "batch",
        ["unknown", 1],
        ["ephemeral", "wall"],
        ["ephemeral", "wall", "x", "y"],
        ["ephemeral", 5, "x"],
        ["ephemeral", "wall", 5],
        ["ephemeral", "wall", None],
        ["ephemeral", "wall", "\ud800"],
        ["presence"],
        ["presence", None],
        ["presence", ["replies.1"]],
        ["revocation", ["user:5"]],
        ["revocation", "user:5", [], False, "", False, {}],
        ["revocation", [5], [], False, "", False, {}],
        ["revocation", [["user:5"]], [], False, "", False, {}],
        ["revocation", [], [None], False, "", False, {}],
        ["revocation", [], [], 1, "", False, {}],
        ["revocation", [], [], False, None, False, {}],
        ["revocation", [], [], False, "", None, {}],
        ["revocation", [], [], False, "", False, []],
        ["revocation", [], [], False, "", False, {"user:5": 5}],
        ["revocation", [], [], False, "", False, {}, "more"],
        ["batch", 5, 5],
        ["batch", 5, 5, None],
        ["batch", "5", 5, []],
        ["batch", 5, 5.0, []],
        ["batch", 5, 3, []],
        ["batch", 5, 4, [E]],
        ["batch", 0, 5, []],
        ["batch", -5, 5, []],
        ["batch", 5, 2**63 - 1, []],
        ["batch", 5, 5 + messages.SEQUENCE_BATCH, []],
        ["batch", 5, 6, [[4, *E[1:]]]],
        ["batch", 5, 6, [[7, *E[1:]]]],
        ["batch", 5, 6, [E, E]],
        ["batch", 5, 6, [[6, *E[1:]], E]],
        ["batch", 5, 5, ["x"]],
        ["batch", 5, 5, [E[:4]]],
        ["batch", 5, 5, [[*E, "more"]]],
        ["batch", 5, 5, [["5", *E[1:]]]],
        ["batch", 5, 5, [[5, None, *E[2:]]]],
        ["batch", 5, 5, [[*E[:2], 5, *E[3:]]]],
        ["batch", 5, 5, [[*E[:2], "\ud800", *E[3:]]]],
        ["batch", 5, 5, [[*E[:3], "3", "news"]]],
        ["batch", 5, 5, [[*E[:3], [3], "news"]]],
        ["batch", 5, 5, [[*E[:4], None]]],
    ],
    ids=str,
)
def test_a_message_with_a_field_of_another_type_or_range_is_refused(packed: object) -> None:
    with pytest.raises(ValueError, match=r"form|surrogates"):
        messages.unpack(packed)


def test_a_batch_without_a_range_says_how_long_the_log_is() -> None:
    found = Batch(6, 5, ())
    assert messages.unpack(json.loads(messages.pack(found))) == found
    assert list(messages.split(found)) == [found]


def test_a_batch_is_taken_at_its_limits() -> None:
    last = 4 + messages.SEQUENCE_BATCH
    found = messages.unpack(["batch", 5, last, [E, [last, *E[1:]]]])
    assert isinstance(found, Batch)
    assert [entry.seq for entry in found.entries] == [5, last]


def test_a_large_batch_becomes_several_messages_without_a_gap() -> None:
    size = messages.MESSAGE_BYTES // 2
    batch = batch_of(size, size, size, 10, size)
    parts = [through_json(part) for part in messages.split(batch)]
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
    layer, before = BrokenLayer(), counters.get("unsent")
    sender = publisher._Sender()
    monkeypatch.setattr(publisher, "_sender", sender)
    monkeypatch.setattr(publisher, "remote_layer", lambda: layer)
    with caplog.at_level(logging.WARNING, logger="sse_notify"):
        for _ in range(5):
            publisher.ring(Ephemeral("wall", b"x"))
            sender.flush()  # what waits would be joined
        assert layer.enough.wait(10)
    assert counters.get("unsent") == before + 5
    assert [record.getMessage() for record in caplog.records] == [
        "incident=layer_send state=failed error=ConnectionError('no Redis here')"
    ]


def test_what_waits_is_joined_up_to_the_size_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MESSAGE_BYTES", 100)
    sender = publisher._Sender()
    sent: list[Message] = [Ephemeral("wall", f"{number}".encode() * 20) for number in range(9)]
    for message in sent:
        sender._waiting.put(message)
    taken = []
    while parts := sender._take():
        taken.append([messages.unpack(json.loads(part)) for part in parts])
    assert [len(parts) for parts in taken] == [3, 3, 3]
    assert [message for parts in taken for message in parts] == sent


class HangingLayer:
    """Never answers."""

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await asyncio.Event().wait()


def test_what_is_not_sent_at_the_exit_is_counted_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    layer, sender, before = HangingLayer(), publisher._Sender(), counters.get("unsent")
    monkeypatch.setattr(publisher, "remote_layer", lambda: layer)
    monkeypatch.setattr(publisher, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(publisher, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(publisher, "SEND_SECONDS", 0.5)
    with caplog.at_level(logging.WARNING, logger="sse_notify"):
        sender.put(Ephemeral("wall", b"x"))
        sender.flush()
        assert sender._is_idle.wait(10)
    assert counters.get("unsent") == before + 1
    assert [record.getMessage() for record in caplog.records] == [
        "incident=layer_send state=failed error=TimeoutError('Messages wait at the exit.')"
    ]


class KeepingLayer:
    """Keeps what it is to send."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.sent.append(message)


WRONG: Any = {
    "no UTF-8": Ephemeral("wall", b"\xff"),
    "half a character": Ephemeral("\ud800", b"x"),
    "no text": Revocation(("user:5",), end=object()),  # type: ignore[arg-type]
    "no bytes": Ephemeral("wall", "x"),  # type: ignore[arg-type]
    "no JSON": Revocation(users={"user:5": {1}}),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_message_that_cannot_be_encoded_does_not_stop_the_next(
    monkeypatch: pytest.MonkeyPatch, wrong: Message
) -> None:
    layer, sender, before = KeepingLayer(), publisher._Sender(), counters.get("unsent")
    monkeypatch.setattr(publisher, "remote_layer", lambda: layer)
    for each in (Ephemeral("wall", b"first"), wrong, Ephemeral("wall", b"second")):
        sender._waiting.put(each)
    sender.put(wrong)
    sender.flush()
    assert sender._is_idle.is_set()
    (message,) = layer.sent
    assert "first" in message["signed"]
    assert "second" in message["signed"]
    assert counters.get("unsent") == before + 2


def test_what_exceeds_the_backlog_is_counted_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    layer, sender, before = KeepingLayer(), publisher._Sender(), counters.get("unsent")
    sender.running_loop()
    sender._is_idle.clear()  # it is busy
    monkeypatch.setattr(publisher, "remote_layer", lambda: layer)
    monkeypatch.setattr(publisher, "_sender", sender)
    monkeypatch.setattr(backlog, "BACKLOG_BYTES", 100 * size(Ephemeral("wall", b"100")))
    with caplog.at_level(logging.WARNING, logger="sse_notify"):
        for number in range(100, 350):
            publisher.ring(Ephemeral("wall", b"%d" % number))
        asyncio.run_coroutine_threadsafe(sender._send_all(), sender.running_loop()).result(10)
    assert counters.get("unsent") == before + 150
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("incident=layer_backlog state=failed error=OverflowError(")
    (message,) = layer.sent
    assert '"249"' not in message["signed"]
    assert all(f'"{number}"' in message["signed"] for number in range(250, 350))


def test_a_membership_that_expires_soon_is_renewed_sooner() -> None:
    hosts = ["redis://127.0.0.1:1/0"]
    assert subscriber.rejoin_seconds(RedisChannelLayer(hosts=hosts)) == subscriber.REJOIN_SECONDS
    assert subscriber.rejoin_seconds(RedisChannelLayer(hosts=hosts, group_expiry=6)) == 2

    async def of_pubsub() -> float:  # where a membership is a subscription
        return subscriber.rejoin_seconds(RedisPubSubChannelLayer(hosts=hosts))

    assert asyncio.run(of_pubsub()) == subscriber.REJOIN_SECONDS


@pytest.mark.parametrize(
    "backend",
    ["channels_redis.pubsub.RedisPubSubChannelLayer", "channels_redis.core.RedisChannelLayer"],
)
def test_a_view_learns_the_polls_interval_without_an_event_loop(backend: str) -> None:
    """The pub/sub layer looks for the running loop at every unknown attribute."""
    layers = {"default": {"BACKEND": backend, "CONFIG": {"hosts": ["redis://127.0.0.1:1"]}}}
    with override_settings(CHANNEL_LAYERS=layers):
        assert publisher.poll_interval() == 5.0
