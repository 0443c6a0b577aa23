"""What open streams hear of pruning."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import override_settings
from django.utils import timezone

from sse_notify import hubs, notify, retention
from sse_notify.handshake import finite, make_stream, open_up
from sse_notify.models import Notification
from sse_notify.testing import open_stream

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.django_db(transaction=True),
]


def send_old(user: User, *titles: str) -> None:
    """Notify a hundred days ago."""
    for title in titles:
        row = notify(user, title)
        Notification.objects.filter(pk=row.pk).update(
            created_at=timezone.now() - timedelta(days=100)
        )


async def _look_twice() -> None:
    await hubs.current().look()
    await hubs.current().look()


@override_settings(SSE_NOTIFY={"POLL_INTERVAL": 1000})
async def test_open_streams_are_told_once_when_the_pruning_has_come_to_rest() -> None:
    alice = await User.objects.acreate(username="alice")
    await sync_to_async(send_old)(alice, "Old")
    await sync_to_async(notify)(alice, "Young")
    async with open_stream(alice, cursor=1) as stream:
        assert (await stream.next("notification")).data["title"] == "Young"
        hub = hubs.current()
        assert await sync_to_async(retention.prune)() == 1
        await hub.look()  # sees that the floor moves
        await sync_to_async(notify)(alice, "Meanwhile")
        assert (await stream.next()).data["title"] == "Meanwhile", (
            "not told yet: more batches may follow"
        )
        await hub.look()
        reset = await stream.next()
        assert (reset.event, reset.data, reset.id) == (
            "reset",
            {"reason": "expired", "cursor": 3},
            3,
        )
        await _look_twice()
        await sync_to_async(notify)(alice, "After")
        assert (await stream.next()).data["title"] == "After", (
            "told once, and nothing lost or repeated"
        )


@override_settings(SSE_NOTIFY={"POLL_INTERVAL": 1000})
async def test_who_joins_late_with_a_place_from_before_is_told_too() -> None:
    """The handshake was before the pruning, the join after all others were told."""
    alice = await User.objects.acreate(username="alice")
    await sync_to_async(send_old)(alice, "One", "Two")
    await sync_to_async(notify)(alice, "Three")
    late = open_stream(alice, cursor=0)
    async with open_stream(alice) as others:
        # What entering does first, and then waits: the handshake.
        late._stream = await sync_to_async(lambda: make_stream(open_up(late._request)))()
        assert await sync_to_async(retention.prune)() == 2
        await _look_twice()
        assert (await others.next("reset")).data["reason"] == "expired"
        try:
            blocks = b""
            while b"Three" not in blocks:
                blocks += await late._stream.read() or b""
        finally:
            late._stream.close()
    assert (
        blocks.index(b"event: hello")
        < blocks.index(b'{"reason":"expired","cursor":0}')
        < blocks.index(b"Three")
    )
    assert b"One" not in blocks


async def test_a_finite_stream_says_so_if_the_log_was_pruned_while_it_was_read() -> None:
    alice = await User.objects.acreate(username="alice")
    await sync_to_async(send_old)(alice, "One")
    await sync_to_async(notify)(alice, "Two")

    def read(cursor: int, *, prune: bool) -> bytes:
        stream = open_stream(alice, cursor=cursor)
        opening = open_up(stream._request)
        if prune:
            retention.prune()
        return finite(opening)

    assert b"reset" not in await sync_to_async(read)(0, prune=False)
    told = await sync_to_async(read)(0, prune=True)
    assert told.index(b"Two") < told.index(b'{"reason":"expired","cursor":2}')
    assert b"reset" not in await sync_to_async(read)(1, prune=True)
