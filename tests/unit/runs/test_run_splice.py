"""A reader of a run gets each number once and in order, whatever comes in which order.

A real `RunStream` over parts in memory. A seeded scheduler chooses at every step what happens next: a part is appended, a message of
one comes late, twice, in the wrong order, without its blocks or never, a query sees the parts or returns, the client reads.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from sse_notify.contrib.runs.blocks import Appended, after_number
from sse_notify.contrib.runs.reading import RunStream

SCHEDULES = 3000


class Database:
    """The parts of a run, and a hub that queries them: each query sees them at one moment, and returns at a later one."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.parts: list[Appended] = []
        self.page = rng.randint(1, 4)
        #: Queries that have not seen the parts yet, and those that have, with their answers.
        self.asked: list[tuple[int, asyncio.Future[Any]]] = []
        self.answers: list[tuple[Any, asyncio.Future[Any]]] = []

    @property
    def last(self) -> int:
        return self.parts[-1].last if self.parts else 0

    @property
    def has_ended(self) -> bool:
        return bool(self.parts) and self.parts[-1].is_end

    def append(self) -> Appended:
        first, number = self.last + 1, self.rng.randint(1, 4)
        is_end = self.rng.random() < 0.05
        last = first if is_end else first + number - 1
        blocks = b"".join(b"data: x\nid: 1-%d\n\n" % each for each in range(first, last + 1))
        self.parts.append(Appended(1, first, last, blocks, is_end))
        return self.parts[-1]

    # --- the hub's side ---

    def replay(self, read: Any, pk: int, after: int, may_read: Any) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.asked.append((after, answer))
        return answer

    def listeners(self, topic: str) -> tuple[()]:
        return ()

    def leave(self, stream: object) -> None:
        pass

    # --- the scheduler's side ---

    def see(self) -> None:
        after, answer = self.asked.pop()
        found = [part for part in self.parts if part.last > after][: self.page]
        if not found:
            self.answers.append(((b"", after, False, True), answer))
            return
        chunk = b"".join(after_number(part.blocks, part.first, after) for part in found)
        seen = (chunk, found[-1].last, found[-1].is_end, len(found) < self.page)
        self.answers.append((seen, answer))

    def answer(self) -> None:
        seen, answer = self.answers.pop()
        if not answer.done():
            answer.set_result(seen)


class Schedule:
    """One run, its reader, and the messages that are under way."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.database = Database(self.rng)
        for _ in range(self.rng.randint(0, 3)):
            if not self.database.has_ended:
                self.database.append()
        # Who has the end gets no stream.
        self.after = self.rng.randint(0, self.database.last - self.database.has_ended)
        self.stream = RunStream(
            1, after=self.after, feed=lambda: None, buffer_bytes=self.rng.choice((40, 100, 10_000))
        )
        self.stream.hub = self.database
        #: Whether each message comes, so that nobody has to look.
        self.is_told = self.rng.random() < 0.3
        self.messages: list[Appended] = []
        self.looks: list[int] = []
        self.numbers: list[int] = []
        self.reading: asyncio.Task[bytes | None] | None = None
        self.is_over = False

    async def play(self) -> None:
        for _ in range(self.rng.randint(5, 60)):
            self.step()
            if self.rng.random() < 0.6:
                await asyncio.sleep(0)
        for _ in range(1000):  # polls go on, and every query is answered
            if self.has_everything():
                break
            if not self.is_told:
                self.stream.look(self.database.last)
            elif self.messages:
                self.tell(self.messages.pop())
            self.settle()
            await asyncio.sleep(0)
        assert self.has_everything(), "it does not come to rest"
        if self.reading is not None:
            self.reading.cancel()
        self.stream.close()

    def has_everything(self) -> bool:
        if self.database.has_ended:
            return self.is_over
        return self.numbers[-1:] == [self.database.last] or self.database.last == self.after

    def settle(self) -> None:
        if self.database.asked:
            self.database.see()
        if self.database.answers:
            self.database.answer()
        self.read()

    def step(self) -> None:
        choice = self.rng.random()
        if choice < 0.25 and not self.database.has_ended:
            part = self.database.append()
            self.messages += [part] * self.rng.choice((self.is_told, 1, 1, 1, 1, 1, 2))
        elif choice < 0.5 and self.messages:
            place = self.rng.randrange(len(self.messages)) if self.rng.random() < 0.2 else 0
            self.tell(self.messages.pop(place))
        elif choice < 0.6 and self.database.asked:
            self.database.see()
        elif choice < 0.7 and self.database.answers:
            self.database.answer()
        elif choice < 0.75 and not self.is_told:
            self.looks.append(self.database.last)
        elif choice < 0.8 and self.looks:
            self.stream.look(self.looks.pop(self.rng.randrange(len(self.looks))))
        elif choice < 0.83:
            self.stream.heartbeat()
        else:
            self.read()

    def tell(self, part: Appended) -> None:
        blocks = None if self.rng.random() < 0.1 else part.blocks
        self.stream.push(part.first, part.last, blocks, is_end=part.is_end)

    def read(self) -> None:
        if self.reading is not None and self.reading.done():
            chunk = self.reading.result()
            self.reading = None
            if chunk is None:
                self.is_over = True
            else:
                lines = chunk.split(b"\n")
                self.numbers += [int(line[6:]) for line in lines if line.startswith(b"id: 1-")]
        if self.reading is None and not self.is_over:
            self.reading = asyncio.get_running_loop().create_task(self.stream.read())


def test_any_interleaving_gives_each_number_once_and_in_order() -> None:
    async def all_of_them() -> tuple[int, int]:
        ends = lives = 0
        for seed in range(SCHEDULES):
            schedule = Schedule(seed)
            await schedule.play()
            expected = list(range(schedule.after + 1, schedule.database.last + 1))
            assert schedule.numbers == expected, f"seed {seed}"
            ends += schedule.is_over
            lives += not schedule.stream._behind
        return ends, lives

    ends, lives = asyncio.run(all_of_them())
    assert ends > SCHEDULES / 10
    assert lives > SCHEDULES / 10
