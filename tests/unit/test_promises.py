"""Promises about order, holes and cost that need no process: each is one that another package was seen to break."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db.models import F
from django.utils import timezone

from sse_notify import STAFF, broadcast, notify
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import get_head, number_pending
from sse_notify.models import Notification
from sse_notify.sse.format import encode
from sse_notify.streaming.hub import Hub
from tests.support.readers import reader_of
from tests.unit.streaming.memory_log import MINE, MemoryLog
from tests.unit.streaming.test_hub import RNG, batch, open_stream


@pytest.mark.asyncio
async def test_bells_that_ring_in_another_order_are_heard_in_the_logs() -> None:
    """Two publishers number 1, 2, 3 and are heard as 3, 1, 2."""
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    one, two, three = (batch(memory, MINE) for _ in range(3))
    for bell in (three, one, two):
        hub.receive(bell)
    got = b""
    async with asyncio.timeout(5):
        while b"id: 3\n" not in got:
            while memory.queries:
                memory.answer_one(RNG)
            if reading.done():
                got += await reading or b""
                reading = asyncio.create_task(stream.read())
            await asyncio.sleep(0)
    assert got == b"".join(encode("x", id=number) for number in (1, 2, 3))
    assert hub.cursor == 3
    reading.cancel()
    stream.close()


@pytest.mark.asyncio
async def test_an_event_is_encoded_once_however_many_listen() -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    opened = [await open_stream(hub, memory) for _ in range(50)]
    bell = batch(memory, "everyone")
    hub.receive(bell)
    chunks = [await reading for _, reading in opened]
    assert all(chunk is bell.entries[0].frame for chunk in chunks), "the very same bytes"
    for stream, _ in opened:
        stream.close()


@pytest.mark.django_db(transaction=True)
def test_a_readers_topics_are_replayed_in_one_order() -> None:
    user = User.objects.create_user("alice", is_staff=True)
    group = Group.objects.create(name="team")
    group.user_set.add(user)
    for _ in range(5):
        broadcast("To staff", audience=STAFF)
        notify(user, "To her")
        broadcast("To the group", audience=group)
        broadcast("To all")
    reader = reader_of(user)
    got, cursor = [], 0
    while cursor < get_head():
        entries, cursor = read_entries(cursor, get_head(), reader=reader, limit=3)
        got += [entry.seq for entry in entries]
    assert got == list(range(1, 21))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["expired", "deleted", "moved"])
@pytest.mark.parametrize("after", [0, 100])
def test_rows_that_are_gone_do_not_end_a_replay_early(after: int, how: str) -> None:
    """Of 300 the first 150 expired, were deleted, or have moved to a later number."""
    user = User.objects.create_user("alice")
    notify([user], "x")
    Notification.objects.bulk_create(
        Notification(recipient=user, topic=f"user:{user.pk}", title="x") for _ in range(299)
    )
    assert sum(batch.last - batch.first + 1 for batch in number_pending()) == 299
    gone = Notification.objects.filter(seq__lte=150)
    if how == "deleted":
        gone.delete()
    elif how == "expired":
        gone.update(expires_at=timezone.now() - timedelta(seconds=1))
    else:
        gone.update(seq=F("seq") + 300)
    reader = reader_of(user)
    got, cursor = [], after
    while cursor < 300:
        entries, cursor = read_entries(cursor, 300, reader=reader, limit=50)
        got += [entry.seq for entry in entries]
    assert got == list(range(151, 301))
