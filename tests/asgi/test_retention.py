"""What open streams hear of pruning."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import override_settings
from django.utils import timezone

from sse_notify import notify, retention
from sse_notify.access.decisions import open_now
from sse_notify.models import Notification
from sse_notify.streaming import registry
from sse_notify.streaming.stream import Stream
from sse_notify.testing import open_stream
from sse_notify.views.stream import finite, make_stream, read_request

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.django_db(transaction=True),
]


def decided_stream(request: Any) -> Stream:
    """Return a stream whose start is decided, and which has not joined its hub."""
    subscriber = read_request(request)
    return make_stream(subscriber, open_now(subscriber))


def send_old(user: User, *titles: str) -> None:
    """Notify a hundred days ago."""
    for title in titles:
        row = notify(user, title)
        Notification.objects.filter(pk=row.pk).update(
            created_at=timezone.now() - timedelta(days=100)
        )


async def look_twice() -> None:
    """Look at the log as the hub's polls do: at what moves, and at what has come to rest."""
    await registry.current().poll()
    await registry.current().poll()


@override_settings(SSE_NOTIFY={"POLL_INTERVAL": 1000})
@pytest.mark.parametrize("cursor", [None, 0, 1], ids=["new", "replayed all", "replayed the rest"])
async def test_streams_at_the_head_are_not_disturbed_by_pruning(cursor: int | None) -> None:
    alice = await User.objects.acreate(username="alice")
    bob = await User.objects.acreate(username="bob")
    await sync_to_async(send_old)(alice, "Old")
    await sync_to_async(notify)(alice, "Young")
    async with open_stream(alice, cursor=cursor) as stream, open_stream(bob) as idle:
        if cursor is not None:
            while (await stream.next("notification")).data["title"] != "Young":
                pass
        assert await sync_to_async(retention.prune)() == 1
        await look_twice()
        await sync_to_async(lambda: notify([alice, bob], "After"))()
        received = await stream.next()
        while received.event == "hello":
            received = await stream.next()
        assert (received.event, received.data["title"]) == ("notification", "After")
        await idle.next("hello")
        assert (await idle.next()).data["title"] == "After"


@override_settings(SSE_NOTIFY={"POLL_INTERVAL": 1000})
async def test_who_joins_late_with_a_place_from_before_is_told() -> None:
    """The handshake was before the pruning, the join after it."""
    alice = await User.objects.acreate(username="alice")
    await sync_to_async(send_old)(alice, "One", "Two")
    await sync_to_async(notify)(alice, "Three")
    late = open_stream(alice, cursor=0)
    # What entering does first, and then waits: the handshake.
    late._stream = await sync_to_async(lambda: decided_stream(late._request))()
    assert await sync_to_async(retention.prune)() == 2
    try:
        blocks = b""
        while b"Three" not in blocks:
            blocks += await late._stream.read() or b""
    finally:
        late._stream.close()
    assert (
        blocks.index(b"event: hello")
        < blocks.index(b'{"reason":"expired","cursor":2}')
        < blocks.index(b"Three")
    )
    assert blocks.count(b"event: reset") == 1
    assert b"One" not in blocks


@override_settings(SSE_NOTIFY={"POLL_INTERVAL": 1000, "REPLAY_PAGE": 1})
async def test_who_is_in_the_middle_of_a_replay_is_told_what_it_will_not_get() -> None:
    alice = await User.objects.acreate(username="alice")
    await sync_to_async(send_old)(alice, "One", "Two", "Three")
    await sync_to_async(notify)(alice, "Four")
    request = open_stream(alice, cursor=0)._request
    stream = await sync_to_async(lambda: decided_stream(request))()
    try:
        blocks = b""
        while b"One" not in blocks:
            blocks += await stream.read() or b""
        assert await sync_to_async(retention.prune)() == 3
        while b"Four" not in blocks:
            blocks += await stream.read() or b""
    finally:
        stream.close()
    told = blocks.index(b'{"reason":"expired","cursor":3}')
    assert blocks.index(b"One") < told < blocks.index(b"Four")
    assert b"Two" not in blocks


async def test_a_finite_stream_says_so_if_the_log_was_pruned_while_it_was_read() -> None:
    alice = await User.objects.acreate(username="alice")
    await sync_to_async(send_old)(alice, "One")
    await sync_to_async(notify)(alice, "Two")

    def read(cursor: int, *, prune: bool) -> bytes:
        stream = open_stream(alice, cursor=cursor)
        granted = open_now(read_request(stream._request))
        if prune:
            retention.prune()
        return b"".join(finite(granted))

    assert b"reset" not in await sync_to_async(read)(0, prune=False)
    told = await sync_to_async(read)(0, prune=True)
    assert told.index(b'{"reason":"expired","cursor":1}') < told.index(b"Two")
    assert b"reset" not in await sync_to_async(read)(1, prune=True)
