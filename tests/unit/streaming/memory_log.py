"""A log in memory whose queries are answered when a test says so, and streams that read it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from sse_notify.access.decisions import Granted, Subscriber
from sse_notify.access.openings import Opening
from sse_notify.bus.messages import Batch, Entry
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import Position, get_position
from sse_notify.sse.format import encode
from sse_notify.streaming.hub import Hub
from sse_notify.streaming.stream import Stream, read_page, sweep

MINE, OTHERS = "user:1", "user:2"


@dataclass
class MemoryLog:
    """The log's rows and head, and ``run`` as a database whose answers come when the scheduler says so."""

    rows: dict[str, Entry] = field(default_factory=dict)
    head: int = 0
    floor: int = 0
    queries: list[tuple[asyncio.Future[Any], Callable[[], Any]]] = field(default_factory=list)

    def commit(self, rng: random.Random) -> Batch:
        """Number one to four rows; some are repeats under a key and leave their old number."""
        first = self.head + 1
        entries = []
        for _ in range(rng.randint(1, 4)):
            self.head += 1
            topic = MINE if rng.random() < 0.7 else OTHERS
            key = f"{topic}-key" if rng.random() < 0.15 else f"row-{self.head}"
            entry = Entry(self.head, topic, encode("x" * rng.randint(0, 40), id=self.head))
            self.rows[key] = entry
            entries.append(entry)
        return Batch(first, self.head, tuple(entries))

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        answer = asyncio.get_running_loop().create_future()
        calls: dict[Any, Callable[..., Any]] = {
            get_position: self.position,
            read_entries: self.read,
            read_page: self.read_page,
            sweep: self.position,
        }
        call = calls.get(function, function)
        self.queries.append((answer, lambda: call(*args, **kwargs)))
        return await answer

    def read_page(self, after: int, up_to: int, *, limit: int, reader: Reader) -> Any:
        entries, complete = self.read(after, up_to, limit=limit, reader=reader)
        return entries, complete, self.floor

    def answer_one(self, rng: random.Random) -> None:
        answer, call = self.queries.pop(rng.randrange(len(self.queries)))
        if not answer.done():
            answer.set_result(call())

    def position(self) -> Position:
        return Position(self.head, self.floor)

    def read(
        self,
        after: int,
        up_to: int,
        *,
        limit: int,
        reader: Reader | None = None,
        topics: Collection[str] = (),
    ) -> tuple[list[Entry], int]:
        topics = topics if reader is None else reader.topics
        found = sorted(
            (e for e in self.rows.values() if after < e.seq <= up_to and e.topic in topics),
            key=lambda e: e.seq,
        )
        return found[:limit], found[limit - 1].seq if len(found) >= limit else up_to


def stream_on(
    hub: Hub,
    memory: MemoryLog,
    *,
    topics: tuple[str, ...] = (MINE, "everyone"),
    user_id: int = 1,
    subscriber: Subscriber | None = None,
    cursor: int = 0,
    page: int = 100,
    buffer_bytes: int = 100_000,
) -> Stream:
    """Return a stream of ``hub`` that reads ``memory`` and does not end by itself; its first chunk is a line feed."""
    stream = Stream(
        subscriber=subscriber,
        feed=lambda: hub,
        page=page,
        buffer_bytes=buffer_bytes,
        lifetime=1e9,
    )
    opening = Opening(cursor=cursor, head=0, prelude=b"\n")
    stream.begin(Granted(user=None, reader=Reader(topics=topics, user_id=user_id), opening=opening))
    return stream
