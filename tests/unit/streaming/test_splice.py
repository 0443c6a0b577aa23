"""Replay and live, spliced: what a client gets is what was sent, whatever happens in which order.

A real `Hub` and real `Stream`s over a log in memory. A seeded scheduler chooses at every step what happens next: a commit, a
doorbell that is delivered late, twice, in the wrong order or never, an ephemeral event, a query that returns, a client that reads.
"""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from sse_notify.bus.messages import Batch, Ephemeral
from sse_notify.streaming import hub as hub_module
from sse_notify.streaming.hub import Hub
from tests.unit.streaming.memory_log import MINE, OTHERS, MemoryLog, stream_on

SCHEDULES = 10_000


class Client:
    """Reads a stream one chunk at a time, when it is told to, and remembers the ids, and the ephemeral events that came and did not."""

    def __init__(self, feed: Hub, source: MemoryLog, cursor: int, rng: random.Random) -> None:
        self.start = cursor
        self.ids: list[int] = []
        self.published: list[bytes] = []
        self.heard: list[bytes] = []
        self.lost = 0
        self.topic = MINE if rng.random() < 0.8 else OTHERS
        page, buffer_bytes = rng.randint(1, 6), rng.choice((60, 200, 10_000))
        self.stream = stream_on(
            feed, source, topics=(self.topic,), cursor=cursor, page=page, buffer_bytes=buffer_bytes
        )
        self.reading: asyncio.Task[bytes | None] | None = None

    def take(self, chunk: bytes) -> None:
        for block in chunk.split(b"\n\n"):
            self.ids.extend(
                int(line[4:]) for line in block.split(b"\n") if line.startswith(b"id: ")
            )
            if block.startswith(b"event: lost\n"):
                self.lost += json.loads(block.partition(b"data: ")[2])["count"]
            elif block.startswith(b"event: now\n"):
                self.heard.append(block + b"\n\n")

    def has_everything(self) -> bool:
        buffer = self.stream._buffer
        return self.stream.is_live and not (buffer.size or buffer.lost)

    def step(self) -> None:
        if self.reading is not None and self.reading.done():
            chunk = self.reading.result()
            assert chunk is not None
            self.take(chunk)
            self.reading = None
        if self.reading is None:
            self.reading = asyncio.get_running_loop().create_task(self.stream.read())


class Schedule:
    """One run: a hub, up to three clients, and the bells that are under way."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.memory = MemoryLog()
        for _ in range(self.rng.randint(0, 4)):
            self.memory.commit(self.rng)
        self.hub = Hub(run=self.memory.run)
        self.clients = [
            Client(self.hub, self.memory, self.rng.randint(0, self.memory.head), self.rng)
        ]
        self.bells: list[Batch] = []
        self.published = 0

    async def play(self) -> None:
        for _ in range(self.rng.randint(10, 60)):
            self.step()
            if self.rng.random() < 0.6:
                await asyncio.sleep(0)
        await self.settle()
        for client in self.clients:
            client.step()
            if client.reading is not None:
                client.reading.cancel()
            client.stream.close()

    def step(self) -> None:
        choice = self.rng.random()
        if choice < 0.05 and len(self.clients) < 3:
            # Later ones may come from another process, whose hub is further than this one.
            cursor = self.rng.choice((self.memory.head, self.rng.randint(0, self.memory.head)))
            self.clients.append(Client(self.hub, self.memory, cursor, self.rng))
        elif choice < 0.12:
            self.publish()
        elif choice < 0.3:
            bell = self.memory.commit(self.rng)
            self.bells.append(
                bell if self.rng.random() < 0.8 else Batch(bell.last + 1, bell.last, ())
            )
        elif choice < 0.55 and self.bells:
            self.deliver()
        elif choice < 0.78 and self.memory.queries:
            self.memory.answer_one(self.rng)
        else:
            self.rng.choice(self.clients).step()

    def deliver(self) -> None:
        """Deliver a bell: mostly the oldest, mostly once."""
        bell = self.bells.pop(self.rng.randrange(len(self.bells)) if self.rng.random() < 0.3 else 0)
        fate = self.rng.random()
        if fate > 0.1:
            self.hub.receive(bell)
        if fate > 0.9:
            self.hub.receive(bell)

    def publish(self) -> None:
        """Publish up to five ephemeral events; who listens now is to get each, or to hear of it."""
        topic = self.rng.choice((MINE, MINE, OTHERS))
        listeners = self.hub._by_topic.get(topic, ())
        for _ in range(self.rng.randint(1, 5)):
            self.published += 1
            event = b"event: now\ndata: %d\n\n" % self.published
            for client in self.clients:
                if client.stream in listeners:
                    client.published.append(event)
            self.hub.receive(Ephemeral(topic, event))

    async def settle(self) -> None:
        """Polls go on and every query is answered; no bell is needed for everybody to have everything."""
        look: asyncio.Task[None] | None = None
        for _ in range(2000):
            for client in self.clients:
                client.step()
            while self.memory.queries:
                self.memory.answer_one(self.rng)
            await asyncio.sleep(0)
            if look is None or look.done():
                if self.hub.cursor >= self.memory.head and all(
                    client.has_everything() for client in self.clients
                ):
                    return
                look = asyncio.get_running_loop().create_task(self.hub.poll())
        raise AssertionError("it does not come to rest")


@pytest.mark.timeout(240)
def test_ten_thousand_interleavings_lose_nothing_and_repeat_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every row's newest number arrives, ids only grow, and nothing of another topic or from before the cursor comes.

    An ephemeral event comes in its publisher's order and once, or is counted in what the client is told that it lost.
    """
    monkeypatch.setattr(hub_module, "GRACE", 0)

    async def all_of_them() -> int:
        overflows = lost = 0
        for seed in range(SCHEDULES):
            schedule = Schedule(seed)
            await schedule.play()
            for client in schedule.clients:
                expected = {
                    e.seq
                    for e in schedule.memory.rows.values()
                    if e.topic == client.topic and e.seq > client.start
                }
                got = client.ids
                assert got == sorted(set(got)), f"seed {seed}: out of order or twice: {got}"
                assert not got or got[0] > client.start, (
                    f"seed {seed}: the client had {got[0]} already"
                )
                assert expected <= set(got), f"seed {seed}: lost {sorted(expected - set(got))}"
                rest = iter(client.published)
                assert all(event in rest for event in client.heard), (
                    f"seed {seed}: not as published: {client.heard}"
                )
                assert len(client.heard) + client.lost == len(client.published), (
                    f"seed {seed}: {client.lost} told as lost"
                )
                lost += client.lost
                overflows += client.stream._buffer.limit == 60
        assert lost > SCHEDULES / 10
        return overflows

    assert asyncio.run(all_of_them()) > SCHEDULES / 10


def test_an_ephemeral_event_reaches_the_listeners_of_its_topic_only() -> None:
    async def scenario() -> tuple[bytes | None, bytes | None]:
        memory = MemoryLog()
        hub = Hub(run=memory.run)
        clients = [Client(hub, memory, 0, random.Random(1)) for _ in range(2)]
        assert [client.topic for client in clients] == [MINE, MINE]
        clients[0].stream.topics = (*clients[0].stream.topics, "wall")
        for client in clients:
            assert await client.stream.read() == b"\n"
        reads = [asyncio.create_task(client.stream.read()) for client in clients]
        while not memory.queries:
            await asyncio.sleep(0)
        memory.answer_one(random.Random(1))
        while any(client.stream not in hub._by_topic.get(MINE, ()) for client in clients):
            await asyncio.sleep(0)
        hub.receive(Ephemeral("wall", b"data: hello\n\n"))
        first = await reads[0]
        for client in clients:
            client.stream.end("drain", 0)
        second = await reads[1]
        for client in clients:
            client.stream.close()
        return first, second

    first, second = asyncio.run(scenario())
    assert first == b"data: hello\n\n"
    assert second is not None
    assert second.startswith(b"event: bye")
