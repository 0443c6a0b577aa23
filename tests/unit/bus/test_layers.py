"""What a real Redis carries between processes and sites, on both of its layers and with both of their serializers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from channels.layers import channel_layers
from django.test import override_settings

from sse_notify import counters
from sse_notify.bus import publisher, signing, subscriber
from sse_notify.bus.messages import Ephemeral, Message, pack
from tests.support.forks import Forked
from tests.unit.bus.elsewhere import another_process, carrying, heard

pytestmark = pytest.mark.asyncio

LAYERS = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
}

BURST = """
import time
import django
django.setup()
from django.test import override_settings
from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
with override_settings(CHANNEL_LAYERS={layers!r}):
    for number in range({number}):
        publisher.ring(Ephemeral("wall", f"{{number}} ü".encode()))
        time.sleep({pause})
    publisher._sender.flush()
"""


@pytest.fixture(params=["msgpack", "json"])
def serializer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=LAYERS)
def layers(request: pytest.FixtureRequest, redis_url: str, serializer: str) -> Iterator[Any]:
    config = {"hosts": [redis_url], "serializer_format": serializer}
    found = {"default": {"BACKEND": LAYERS[request.param], "CONFIG": config}}
    with override_settings(CHANNEL_LAYERS=found):
        yield found


@asynccontextmanager
async def process() -> AsyncIterator[subscriber.Membership]:
    """A member of the group with a layer of its own, as another process has."""
    layer = channel_layers.make_backend("default")
    membership = subscriber.Membership(layer)
    await membership.join()
    try:
        async with asyncio.timeout(60):
            yield membership
    finally:
        membership.leave_soon()
        await asyncio.gather(*subscriber._leaving)
        await (getattr(layer, "close_pools", None) or layer.flush)()


@pytest.mark.parametrize(("number", "pause"), [(2000, 0), (300, 0.001)], ids=["at once", "slowly"])
async def test_a_burst_reaches_every_process_complete_and_in_order(
    layers: Any, tmp_path: Path, number: int, pause: float
) -> None:
    """The core layer keeps 100 messages for a process that does not read."""
    script = tmp_path / "burst.py"
    script.write_text(BURST.format(layers=layers, number=number, pause=pause))
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    async with process() as one, process() as two:
        sender = Forked([script], log=tmp_path / "burst.log", env=env)
        sender.start()
        assert await asyncio.to_thread(sender.wait) == 0, sender.output()
        for membership in (one, two):
            assert await heard(membership, number) == [
                Ephemeral("wall", f"{each} ü".encode()) for each in range(number)
            ]


@pytest.mark.parametrize("number", [1, 50])
async def test_messages_that_cannot_be_decoded_do_not_delay_the_next(
    layers: Any, serializer: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """While ``serializer_format`` is changed, processes with the old one send as well; before, each delayed the next by up to 10 s."""
    other = "json" if serializer == "msgpack" else "msgpack"
    config = {**layers["default"]["CONFIG"], "serializer_format": other}
    with override_settings(CHANNEL_LAYERS={"default": {**layers["default"], "CONFIG": config}}):
        theirs = channel_layers.make_backend("default")
    layer, ready = channel_layers.make_backend("default"), asyncio.Event()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    listening = asyncio.create_task(subscriber.listen(heard.put_nowait, ready))
    await ready.wait()
    sent, group = [Ephemeral("wall", b"first"), Ephemeral("wall", b"second")], signing.groups()[0]
    async with asyncio.timeout(20):
        for message in sent:
            for _ in range(number):
                await theirs.group_send(group, carrying(message))
            await layer.group_send(group, carrying(message))
        assert [await heard.get(), await heard.get()] == sent
    subscriber.stop(listening)
    await asyncio.wait({listening})
    for each in (theirs, layer):
        await (getattr(each, "close_pools", None) or each.flush)()
    assert caplog.text.count("incident=layer_receive state=failed") <= 2


@pytest.mark.parametrize("serializer", ["msgpack"], indirect=True)
@pytest.mark.usefixtures("layers")
async def test_sites_with_other_keys_do_not_hear_each_other() -> None:
    """Both have the default settings. One of them may even know the name of the other's group."""
    ours, theirs = Ephemeral("user:1", b"ours"), Ephemeral("user:1", b"theirs")
    before = counters.get("dropped")
    async with process() as membership:
        group = signing.groups()[0]
        with override_settings(SECRET_KEY="of another site"):
            with another_process():
                await publisher.send(membership.layer, [pack(theirs)])
            forged = carrying(theirs)
        await membership.layer.group_send(group, carrying(ours))
        assert await heard(membership, 1) == [ours]
        assert counters.get("dropped") == before, "it came into the group"
        await membership.layer.group_send(group, forged)
        await membership.layer.group_send(group, carrying(ours))
        assert await heard(membership, 1) == [ours]
        assert counters.get("dropped") == before + 1


@pytest.mark.parametrize("serializer", ["msgpack"], indirect=True)
@pytest.mark.usefixtures("layers")
async def test_a_process_with_the_new_key_hears_the_old_one() -> None:
    """The first process of a site gets its new key."""
    message = Ephemeral("wall", b"x")
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        async with process() as membership:
            assert len(signing.groups()) == 2
            with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=[]), another_process():
                await publisher.send(membership.layer, [pack(message)])
            assert await heard(membership, 1) == [message]
