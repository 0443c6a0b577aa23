"""Who is connected, asked in one process; several processes are in ``tests/servers/test_presence.py``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from django.contrib.auth.models import User
from django.db import connections

from sse_notify import anotify, presence, topics
from sse_notify.signals import stream_closed
from sse_notify.testing import open_stream

T = TypeVar("T")


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_every_stream_and_every_user_is_counted_once(alice: User, bob: User) -> None:
    async with open_stream(alice) as first, open_stream(alice), open_stream(bob):
        await anotify(alice, "Hello")
        await first.next("notification")
        (hub,) = await presence.ahubs()
        assert (hub.streams, hub.users, hub.anonymous) == (3, 2, 0)
        assert (hub.cursor, hub.head, hub.lag, hub.draining) == (1, 1, 0, False)
        assert (hub.pid, hub.process) == (os.getpid(), f"{hub.host}:{os.getpid()}")
        assert hub.started <= hub.at
        assert hub.counters["delivered"]
        assert await presence.aconnected_users() == {str(alice.pk), str(bob.pk)}
        both = await presence.alook(head=5)
        assert (both.hubs[0].lag, both.users[str(alice.pk)], both.users[str(bob.pk)]) == (4, 2, 1)
        # The same from sync code, in a thread of its own as a view has it.
        assert [found.id for found in await asyncio.to_thread(closing, presence.hubs)] == [hub.id]
        assert await asyncio.to_thread(closing, presence.connected_users) == {
            str(alice.pk),
            str(bob.pk),
        }
        assert (await asyncio.to_thread(closing, presence.look)).users == both.users


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_publisher_hears_who_listens_to_its_topic_and_when_nobody_does_any_more(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_registrations", {})
    topics.topic("wall")(lambda user: True)
    ended: list[tuple[str, ...]] = []

    def hear(**event: Any) -> None:
        ended.append(event["topics"])

    stream_closed.connect(hear)
    try:
        async with open_stream(alice, topics=["wall"]), open_stream(bob):
            assert (
                presence.listeners("wall"),
                presence.listeners("everyone"),
                presence.listeners("nobody's"),
            ) == (1, 2, 0)
            assert await asyncio.to_thread(presence.listeners, "wall") == 1
    finally:
        stream_closed.disconnect(hear)
    assert presence.listeners("wall") == 0
    assert sorted("wall" in each for each in ended) == [False, True]


def closing(call: Callable[[], T]) -> T:
    """Call, and close the connections of this thread as the end of a request does."""
    try:
        return call()
    finally:
        connections.close_all()


@pytest.mark.django_db
def test_nobody_is_connected_where_no_stream_is_open() -> None:
    # A guard no call runs into: nobody is there to wait for, and no layer.
    assert presence.hubs(timeout=3600) == []
    assert presence.connected_users(timeout=3600) == set()


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "1", None])
def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    for call in (presence.hubs, presence.connected_users, presence.look):
        with pytest.raises(ValueError, match=r"^timeout must be "):
            call(timeout)
