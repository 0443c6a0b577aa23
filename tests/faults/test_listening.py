"""A hub that stops listens no more, whenever it stops: in the middle of connecting to Redis, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.test import override_settings

from sse_notify.bus import publisher, signing, subscriber
from sse_notify.streaming.hub import Hub
from tests.support import GUARD
from tests.unit.streaming.memory_log import MemoryLog, stream_on

pytestmark = pytest.mark.asyncio

LAYERS = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
}


@pytest.mark.parametrize("layer", LAYERS)
async def test_a_hub_that_stops_listens_no_more_and_leaves_the_group(
    redis_url: str, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "CANCEL_SECONDS", 0.02)
    config = {"default": {"BACKEND": LAYERS[layer], "CONFIG": {"hosts": [redis_url]}}}
    with (
        override_settings(CHANNEL_LAYERS=config, SECRET_KEY_FALLBACKS=["old"]),
        redis.Redis.from_url(redis_url) as connection,
    ):
        for steps in range(40):
            task = asyncio.create_task(subscriber.listen(ignore, asyncio.Event()))
            for _ in range(steps):
                await asyncio.sleep(0)
            subscriber.stop(task)
            async with asyncio.timeout(GUARD):
                await asyncio.wait({task})
                await asyncio.gather(*subscriber._leaving)
            assert task.cancelled()
        assert list(connection.scan_iter("asgi:group:*")) == []
        assert connection.pubsub_channels() == []
        await end(publisher.remote_layer())


@pytest.mark.parametrize("moment", ["receiving", "not yet receiving"])
async def test_a_subscription_ends_however_long_redis_takes(
    redis_url: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "CANCEL_SECONDS", 0.05)
    config = {"default": {"BACKEND": LAYERS["pubsub"], "CONFIG": {"hosts": [redis_url]}}}
    with override_settings(CHANNEL_LAYERS=config), redis.Redis.from_url(redis_url) as connection:
        layer = publisher.remote_layer()
        assert layer is not None
        membership = subscriber.Membership(layer)
        await membership.join()
        assert len(connection.pubsub_channels()) == 2  # its own and the group's
        await layer.group_send(signing.groups()[0], {"type": "noise"})
        task: asyncio.Task[object] | None = None
        if moment == "receiving":
            await membership.receive()  # the message has arrived
            task = asyncio.create_task(membership.receive())
            await asyncio.sleep(0)
        connection.client_pause(150)
        sending = asyncio.create_task(
            layer.group_send(signing.groups()[0], {"type": "noise"})
        )  # holds the layer's lock meanwhile
        await asyncio.sleep(0)
        if task is not None:
            subscriber.stop(task)
            await asyncio.wait({task})
        membership.leave_soon()
        async with asyncio.timeout(GUARD):
            await asyncio.gather(sending, *subscriber._leaving)
            while channels := await asyncio.to_thread(
                connection.pubsub_channels
            ):  # Redis takes what it was sent in its own time
                assert len(channels) <= 2
        await end(layer)


async def test_a_stream_that_leaves_while_its_hub_starts_leaves_no_subscription(
    redis_url: str,
) -> None:
    config = {"default": {"BACKEND": LAYERS["pubsub"], "CONFIG": {"hosts": [redis_url]}}}
    with override_settings(CHANNEL_LAYERS=config), redis.Redis.from_url(redis_url) as connection:
        layer = publisher.remote_layer()
        assert layer is not None
        memory = MemoryLog()
        stream = stream_on(Hub(run=memory.run), memory)
        await stream.read()
        reading = asyncio.create_task(stream.read())
        async with asyncio.timeout(GUARD):
            while not memory.queries:  # it has joined the group, and reads the head of the log
                await asyncio.sleep(0)
            connection.client_pause(150)
            noise = {"type": "noise"}
            sending = asyncio.create_task(
                layer.group_send(signing.groups()[0], noise)
            )  # holds the layer's lock meanwhile
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait({reading})
            stream.close()
            await sending
            while await asyncio.to_thread(connection.pubsub_channels):
                await asyncio.gather(*subscriber._leaving)
        await end(layer)


async def test_a_hub_that_stops_while_it_joins_again_leaves_no_subscription(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = subscriber.Membership.receive

    async def fail(membership: subscriber.Membership) -> dict[str, Any]:
        await receive(membership)
        raise ConnectionError("the layer fails")

    monkeypatch.setattr(subscriber.Membership, "receive", fail)
    config = {"default": {"BACKEND": LAYERS["pubsub"], "CONFIG": {"hosts": [redis_url]}}}
    with override_settings(CHANNEL_LAYERS=config), redis.Redis.from_url(redis_url) as connection:
        layer = publisher.remote_layer()
        assert layer is not None
        ready = asyncio.Event()
        task = asyncio.create_task(subscriber.listen(ignore, ready))
        async with asyncio.timeout(GUARD):
            await ready.wait()
            ready.clear()
            await layer.group_send(
                signing.groups()[0], {"topic": "user:1", "frame": b"data: x\n\n"}
            )
            await ready.wait()  # The layer failed, and it waits before it tries again.
            subscriber.stop(task)
            await asyncio.wait({task})
            while await asyncio.to_thread(connection.pubsub_channels):
                await asyncio.gather(*subscriber._leaving)
        await end(layer)


def ignore(message: object) -> None:
    """No message is expected."""


async def end(layer: object) -> None:
    """Close the layer's connections, which belong to this loop."""
    close: Callable[..., object] | None = getattr(layer, "close_pools", None) or getattr(
        layer, "flush", None
    )
    if close is not None:
        await close()  # type: ignore[misc]
