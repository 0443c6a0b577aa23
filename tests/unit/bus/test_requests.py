"""Questions to other processes over a real Redis; the test itself is the other process, on both of Redis' layers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.layers import channel_layers
from django.test import override_settings

from sse_notify import counters
from sse_notify.bus import messages, publisher, queries, signing
from sse_notify.bus.messages import PresenceQuery
from sse_notify.conf import get_settings
from sse_notify.telemetry import Incident
from tests.support.processes import free_port
from tests.unit.bus import elsewhere
from tests.unit.bus.elsewhere import signed

LAYERS = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
}

#: Given the channel, what another process may answer.
Answer = Callable[[str], dict[str, Any]]

NO_USERS: list[Any] = [
    5,
    None,
    [["1", 2]],
    {"1": "many"},
    {"1": 0},
    {"1": -1},
    {"1": 1.5},
    {"1": True},
]
BAD: list[Answer] = [
    lambda channel: {},
    lambda channel: {"users": {"5": 1}},
    lambda channel: signed({"5": 1}),
    lambda channel: signed({"5": 1}, to=f"{channel}0"),
    *[lambda channel, users=users: signed(users, to=channel) for users in NO_USERS],
]


def good(channel: str) -> dict[str, Any]:
    return signed({"1": 2}, to=channel)


@pytest.fixture(params=LAYERS)
def backend(request: pytest.FixtureRequest, redis_url: str) -> Iterator[str]:
    name: str = LAYERS[request.param]
    config = {"default": {"BACKEND": name, "CONFIG": {"hosts": [redis_url]}}}
    with override_settings(CHANNEL_LAYERS=config):
        yield name


@asynccontextmanager
async def another_process(*answers: Answer) -> AsyncIterator[None]:
    """Answer each question with ``answers``."""
    layer = channel_layers.make_backend("default")
    channel = await layer.new_channel()
    await layer.group_add(signing.groups()[0], channel)

    async def serve() -> None:
        while True:
            message = await layer.receive(channel)
            with elsewhere.another_process():  # its own questions it would skip
                (query,) = signing.verify(get_settings().GROUP, message, messages.unpack)
            assert isinstance(query, PresenceQuery)
            for answer in answers:
                await layer.send(query.reply_channel, answer(query.reply_channel))

    task = asyncio.create_task(serve())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        close = getattr(layer, "close_pools", None) or layer.flush
        await close()


async def ask_until(expected: list[dict[str, int]]) -> None:
    """Ask until these are the answers: Redis may be slow."""
    while (found := await asyncio.wrap_future(queries.ask(0.2))) != expected:
        assert all(answer in expected for answer in found)


@pytest.mark.asyncio
@pytest.mark.usefixtures("backend")
async def test_an_answer_that_cannot_be_read_is_dropped_and_the_next_one_counts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "_foreign", Incident("layer_messages", quiet=3600))
    before = counters.get("dropped")
    async with another_process(*BAD, good), asyncio.timeout(30):
        await ask_until([{"1": 2}])
    assert counters.get("dropped") >= before + len(BAD)
    failed = [record for record in caplog.records if vars(record).get("state") == "failed"]
    assert [vars(record)["incident"] for record in failed] == ["layer_messages"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("backend")
async def test_answers_beyond_the_maximum_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MAX_ANSWERS", 3)
    async with another_process(*[good] * 10), asyncio.timeout(30):
        await ask_until([{"1": 2}] * 3)


@pytest.mark.asyncio
@pytest.mark.usefixtures("backend")
async def test_questions_at_the_same_time_do_not_disturb_each_other() -> None:
    async with another_process(good), asyncio.timeout(30):
        asked = (ask_until([{"1": 2}]) for _ in range(5))
        pinged = [asyncio.wrap_future(queries.ping(20)) for _ in range(5)]
        await asyncio.gather(*asked)
        assert await asyncio.gather(*pinged) == [True] * 5


@pytest.mark.asyncio
async def test_a_layer_that_goes_away_answers_nothing_and_is_one_incident(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with another_process(good), asyncio.timeout(30):
        await ask_until([{"1": 2}])
    caplog.clear()
    away = {"hosts": [f"redis://127.0.0.1:{free_port()}/0"]}
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": backend, "CONFIG": away}}):
        for _ in range(2):
            assert await asyncio.wrap_future(queries.ask(20)) == []
            assert await asyncio.wrap_future(queries.ping(20)) is False
    said = [vars(record) for record in caplog.records if hasattr(record, "incident")]
    assert [(found["incident"], found["state"]) for found in said] == [("layer_answers", "failed")]


def test_without_a_layer_nobody_is_asked() -> None:
    assert publisher.remote_layer() is None
    # A guard that no call runs into.
    assert queries.ask(3600).result(30) == []
