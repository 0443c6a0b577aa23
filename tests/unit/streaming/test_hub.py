"""The hub: contiguous batches cost no query, gaps are repaired, and without streams it does nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from sse_notify import counters
from sse_notify.bus import publisher
from sse_notify.bus.messages import Batch, Entry
from sse_notify.signals import stream_closed, stream_opened
from sse_notify.sse.format import encode
from sse_notify.streaming import hub as hub_module
from sse_notify.streaming import registry
from sse_notify.streaming.hub import Hub
from sse_notify.streaming.limits import admission
from sse_notify.streaming.stream import Stream
from tests.unit.bus.elsewhere import carrying, signed
from tests.unit.streaming.memory_log import MINE, MemoryLog, stream_on

pytestmark = pytest.mark.asyncio

RNG = random.Random(0)


async def open_stream(
    hub: Hub, memory: MemoryLog, **options: Any
) -> tuple[Stream, asyncio.Task[bytes | None]]:
    """Return a stream that is live, and its read that waits for the first event."""
    stream = stream_on(hub, memory, **options)
    assert await stream.read() == b"\n"
    reading = asyncio.create_task(stream.read())
    async with asyncio.timeout(5):
        while not stream.is_live or memory.queries:
            while memory.queries:
                memory.answer_one(RNG)
            await asyncio.sleep(0)
    return stream, reading


def batch(memory: MemoryLog, *topics: str, excluded: frozenset[str] = frozenset()) -> Batch:
    first = memory.head + 1
    entries = tuple(
        Entry(first + i, topic, encode("x", id=first + i), excluded)
        for i, topic in enumerate(topics)
    )
    memory.rows.update({f"row-{entry.seq}": entry for entry in entries})
    memory.head += len(topics)
    return Batch(first, memory.head, entries)


async def test_a_contiguous_batch_is_dispatched_at_once_and_without_a_query() -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    hub.receive(batch(memory, MINE, "user:2", MINE))
    assert memory.queries == []
    assert await reading == encode("x", id=1) + encode("x", id=3), "what waits is one write"
    assert (hub.cursor, stream.cursor) == (3, 3)
    stream.close()


async def test_a_batch_that_was_heard_is_not_dispatched_again() -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    bell = batch(memory, MINE)
    hub.receive(bell)
    hub.receive(bell)
    assert await reading == encode("x", id=1)
    assert not stream._buffer.size
    stream.close()


async def test_a_gap_is_read_from_the_log_and_what_follows_waits_for_it() -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    before = counters.get("repaired")
    batch(memory, MINE)  # nobody hears of it
    hub.receive(batch(memory, MINE))
    hub.receive(batch(memory, MINE))
    await asyncio.sleep(0)
    assert not reading.done()
    assert len(memory.queries) == 1, "one repair, not one for each batch"
    while memory.queries:
        memory.answer_one(RNG)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await reading == b"".join(encode("x", id=n) for n in (1, 2, 3))
    assert counters.get("repaired") == before + 1
    stream.close()


async def test_a_batch_that_is_only_told_is_read_and_counts_as_no_gap() -> None:
    """As PostgreSQL tells each: a monitor of lost messages must not count them."""
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    before = counters.get("repaired")
    last = batch(memory, MINE).last
    hub.receive(Batch(last + 1, last, ()))
    await asyncio.sleep(0)
    while memory.queries:
        memory.answer_one(RNG)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await reading == encode("x", id=1)
    assert counters.get("repaired") == before
    stream.close()


@pytest.mark.parametrize(
    ("first", "last"), [(1, 2**63 - 1), (1, 10**6), (10**15, 10**15), (2**63, 2**63)]
)
async def test_a_message_about_numbers_far_beyond_the_head_withholds_nothing(
    first: int, last: int
) -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    publisher.deliver(signed(["batch", first, last, []]), hub.receive)
    publisher.deliver(carrying(batch(memory, MINE)), hub.receive)
    async with asyncio.timeout(5):
        while not reading.done():
            while memory.queries:
                memory.answer_one(RNG)
            await asyncio.sleep(0)
    assert await reading == encode("x", id=1)
    assert hub.cursor == 1
    stream.close()


async def test_an_excluded_user_is_passed_over() -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    one, reading_one = await open_stream(hub, memory, user_id=1)
    two, reading_two = await open_stream(hub, memory, user_id=2)
    hub.receive(batch(memory, "everyone", excluded=frozenset({"1"})))
    hub.receive(batch(memory, "everyone"))
    assert await reading_one == encode("x", id=2)
    assert await reading_two == encode("x", id=1) + encode("x", id=2)
    for stream in (one, two):
        stream.close()


async def test_a_log_that_is_shorter_than_it_was_resets_the_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A restored backup: no cursor means what it meant, and numbers are given out a second time."""
    memory = MemoryLog()
    batch(memory, *[MINE] * 9)
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory, cursor=9)
    memory.head = 4
    look = asyncio.create_task(hub.poll())
    await asyncio.sleep(0)
    memory.answer_one(RNG)
    await look
    assert await reading == b'event: reset\ndata: {"reason":"ahead","cursor":4}\nid: 4\n\n'
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    hub.receive(batch(memory, MINE))
    assert await reading == encode("x", id=5)
    stream.close()


@pytest.mark.parametrize(
    ("floor", "told"), [(2, []), (3, []), (4, ["reset"])], ids=["older", "what it has", "missed"]
)
async def test_a_slow_client_is_told_of_pruning_only_if_it_missed_what_went(
    floor: int, told: list[str]
) -> None:
    """Its buffer was dropped; the floor is then somewhere before or after what it had got."""
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory, buffer_bytes=30)
    hub.receive(batch(memory, MINE, "user:2"))
    assert await reading == encode("x", id=1)
    hub.receive(batch(memory, "user:2"))  # so that nothing of its own tells how far it is
    hub.receive(batch(memory, MINE, MINE, MINE))
    memory.floor = floor
    memory.rows = {key: row for key, row in memory.rows.items() if row.seq > floor}
    received, tasks = b"", []
    async with asyncio.timeout(5):
        while b"id: 6" not in received:
            tasks = [asyncio.create_task(stream.read())]
            while not tasks[0].done():
                while memory.queries:
                    memory.answer_one(RNG)
                await asyncio.sleep(0)
            received += await tasks[0] or b""
    assert [b"event: reset" in received] == [bool(told)]
    assert received.count(b"id: ") == 6 - max(floor, 3) + len(told)
    stream.close()


async def test_the_last_stream_stops_the_hub_and_nothing_stays() -> None:
    memory = MemoryLog()
    tasks = len(asyncio.all_tasks())
    hub = Hub(run=memory.run)
    streams = [await open_stream(hub, memory) for _ in range(3)]
    assert hub.receive in publisher._hubs
    for stream, reading in streams:
        assert not hub.stopped
        stream.close()
        assert await reading is None
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert hub.stopped
    assert hub.receive not in publisher._hubs
    assert (hub.streams, len(hub.listeners(MINE))) == (set(), 0)
    assert len(asyncio.all_tasks()) == tasks
    assert registry.current() is not hub


async def test_receivers_that_nobody_can_wait_for_harm_no_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def receive(**named: Any) -> None:
        raise AssertionError("nobody awaits this")

    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream_opened.connect(receive)
    stream_closed.connect(receive)
    try:
        stream, reading = await open_stream(hub, memory)
        stream.close()
    finally:
        stream_opened.disconnect(receive)
        stream_closed.disconnect(receive)
    assert await reading is None
    assert (admission.total, hub.streams, hub.stopped) == (0, set(), True)
    assert [record.getMessage().split(" error=")[0] for record in caplog.records] == [
        "incident=signal_receivers state=failed"
    ]


async def test_one_that_is_told_bye_is_told_nothing_after_it() -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    stream.end("lifetime", 5)
    stream.reset("ahead", 0)
    stream.retopic(replace(stream.reader, topics=("everyone",)), ())
    assert await reading == b'event: bye\ndata: {"reason":"lifetime","retry_after":5}\n\n'
    assert await stream.read() is None
    stream.close()


@pytest.mark.parametrize(
    "batches", [[("user:2",), (MINE,)], [("user:2", MINE)], [(MINE, "user:2")]]
)
async def test_what_comes_while_a_permission_is_checked_is_not_lost_if_it_is_granted(
    batches: list[tuple[str, ...]],
) -> None:
    """Events of a topic that the stream gets by the check, before and after events of its own."""
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    stream.hold()
    for topics in batches:
        hub.receive(batch(memory, *topics))
    stream.retopic(replace(stream.reader, topics=(*stream.reader.topics, "user:2")), ())
    stream.release()
    got = b""
    while b"id: 2\n" not in got:
        if memory.queries:
            memory.answer_one(RNG)
        elif reading.done():
            got += reading.result() or b""
            reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
    assert [line for line in got.split(b"\n") if line.startswith(b"id: ")] == [
        b"id: 0",  # of the reset
        b"id: 1",
        b"id: 2",
    ]
    stream.close()
    await reading


async def test_streams_that_leave_while_the_hub_starts_stop_it() -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream = stream_on(hub, memory)
    await stream.read()
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    stream.close()
    await asyncio.sleep(0)
    assert hub.stopped
    assert hub.streams == set()


@pytest.mark.parametrize(
    ("make_busy", "expected"),
    [
        (lambda hub, memory: batch(memory, MINE), True),
        (lambda hub, memory: hub.receive(batch(memory, MINE)), False),
    ],
    ids=["missed", "heard"],
)
async def test_a_poll_repairs_only_what_was_missed(
    make_busy: Callable[[Hub, MemoryLog], Any], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "GRACE", 0)
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    make_busy(hub, memory)
    look: Coroutine[Any, Any, None] = hub.poll()
    looking = asyncio.create_task(look)
    await asyncio.sleep(0)
    memory.answer_one(RNG)
    await looking
    await asyncio.sleep(0)
    assert bool(memory.queries) is expected
    while memory.queries:
        memory.answer_one(RNG)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await reading == encode("x", id=1)
    stream.close()


async def test_a_gap_that_shows_during_a_poll_that_fails_is_repaired_at_once() -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    async with asyncio.timeout(10):
        while not memory.queries:  # the poll
            await asyncio.sleep(0.01)
        (answer, _), memory.queries[:] = memory.queries[0], []
        batch(memory, MINE)
        hub.receive(batch(memory, MINE))
        answer.set_exception(OperationalError("database is locked"))
        while not reading.done():
            while memory.queries:
                memory.answer_one(RNG)
            await asyncio.sleep(0)
    assert await reading == encode("x", id=1) + encode("x", id=2)
    stream.close()


async def test_what_waits_while_a_stream_is_held_is_not_written_when_it_ends() -> None:
    memory = MemoryLog()
    hub = Hub(run=memory.run)
    stream, reading = await open_stream(hub, memory)
    stream.hold()
    hub.receive(batch(memory, MINE))
    stream.heartbeat()
    stream.end("drain", 5)
    assert (await reading or b"").startswith(b"event: bye")
    stream.close()
