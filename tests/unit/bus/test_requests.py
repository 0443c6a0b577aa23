"""Questions to other processes over a real Redis; the test itself is the other process, on both of Redis' layers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.layers import channel_layers
from django.test import override_settings

from sse_notify.bus import publisher, subscriber
from sse_notify.conf import get_settings
from tests.support.processes import free_port

LAYERS = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
}

BAD: list[dict[str, Any]] = [{}, {"users": 5}, {"users": {"1": "many"}}, {"users": [["1", 2]]}]


@pytest.fixture(params=LAYERS)
def backend(request: pytest.FixtureRequest, redis_url: str) -> Iterator[str]:
    name: str = LAYERS[request.param]
    config = {"default": {"BACKEND": name, "CONFIG": {"hosts": [redis_url]}}}
    with override_settings(CHANNEL_LAYERS=config):
        yield name


@asynccontextmanager
async def another_process(answers: list[dict[str, Any]]) -> AsyncIterator[None]:
    """Answer each question with ``answers``."""
    layer = channel_layers.make_backend("default")
    channel = await layer.new_channel()
    await layer.group_add(get_settings().GROUP, channel)

    async def answer() -> None:
        while True:
            question = await layer.receive(channel)
            for users in answers:
                await layer.send(question["presence"], {"type": "answer", **users})

    task = asyncio.create_task(answer())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        close = getattr(layer, "close_pools", None) or layer.flush
        await close()


async def ask_until(expected: list[dict[str, int]]) -> None:
    """Ask until these are the answers: Redis may be slow."""
    while (found := await asyncio.wrap_future(subscriber.ask(0.2))) != expected:
        assert all(answer in expected for answer in found)


@pytest.mark.asyncio
@pytest.mark.usefixtures("backend")
async def test_an_answer_that_cannot_be_read_is_logged_and_the_next_one_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with another_process([*BAD, {"users": {"1": 2}}]), asyncio.timeout(30):
        await ask_until([{"1": 2}])
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) >= len(BAD)
    assert all(record.exc_info for record in errors)


@pytest.mark.asyncio
@pytest.mark.usefixtures("backend")
async def test_questions_at_the_same_time_do_not_disturb_each_other() -> None:
    async with another_process([{"users": {"1": 2}}]), asyncio.timeout(30):
        asked = (ask_until([{"1": 2}]) for _ in range(5))
        pinged = [asyncio.wrap_future(subscriber.ping(20)) for _ in range(5)]
        await asyncio.gather(*asked)
        assert await asyncio.gather(*pinged) == [True] * 5


@pytest.mark.asyncio
async def test_a_layer_that_goes_away_answers_nothing_and_is_one_incident(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with another_process([{"users": {"1": 2}}]), asyncio.timeout(30):
        await ask_until([{"1": 2}])
    caplog.clear()
    away = {"hosts": [f"redis://127.0.0.1:{free_port()}/0"]}
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": backend, "CONFIG": away}}):
        for _ in range(2):
            assert await asyncio.wrap_future(subscriber.ask(20)) == []
            assert await asyncio.wrap_future(subscriber.ping(20)) is False
    said = [vars(record) for record in caplog.records if hasattr(record, "incident")]
    assert [(found["incident"], found["state"]) for found in said] == [("layer_answers", "failed")]


def test_without_a_layer_nobody_is_asked() -> None:
    assert publisher.remote_layer() is None
    # A guard that no call runs into.
    assert subscriber.ask(3600).result(30) == []
