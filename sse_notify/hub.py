"""One hub for each event loop: hears the doorbell, checks that nothing is missing, repairs from the log, dispatches.

    ring(batch)    first <= cursor + 1: dispatch, no query.        A gap: hold it, read the log up to the head, go on.
    every poll     number what a dead publisher left pending; head beyond the cursor: the same repair.
    every second   heartbeats, lifetimes and blocked writes of all streams, from one timer: see `sse_notify.wheel`.

Losing every message of the layer costs latency, one poll interval, and never an event. A hub without streams does nothing at all.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from sse_notify import counters, fanout, frames, listening, log, threads
from sse_notify.conf import get_settings
from sse_notify.farewell import Farewell
from sse_notify.floors import Floor
from sse_notify.incidents import Incident
from sse_notify.index import TopicIndex
from sse_notify.messages import Ephemeral, Message, PresenceQuery, Revocation
from sse_notify.signals import stream_closed, stream_opened, tell
from sse_notify.warden import Warden
from sse_notify.wheel import Wheel

if TYPE_CHECKING:
    from sse_notify.log import Batch, Entry, Position, Reader
    from sse_notify.stream import Stream
    from sse_notify.threads import Run

#: Seconds that a message of the layer may be under way before a head that is ahead of the hub counts as a loss.
GRACE = 0.1
#: Seconds that the first stream waits for the layer; then it is served without.
JOIN_SECONDS = 2.0
#: Batches that are kept while a repair runs; the repair reads the log up to its head, so older ones are not needed.
HELD = 100
#: Entries that a repair reads with one query.
REPAIR_PAGE = 500


class Hub:
    """The streams of one event loop. All methods are to be called on that loop.

    Args:
        run: runs queries off the loop.
    """

    def __init__(self, *, run: Run = threads.hub) -> None:
        self._run = self.run = run
        #: Every event up to here was pushed to the streams that get it.
        self.cursor = 0
        #: Set when the last stream left; the next one gets a new hub.
        self.stopped = False
        self.streams: set[Stream] = set()
        self._by_topic = TopicIndex()
        self._wheel = Wheel(lambda: self.cursor)
        self._warden = Warden(run, self._by_topic, self._retopic, poll_interval)
        self._starting: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._held: list[Batch] = []
        self._due: list[Stream] = []
        self._repairing = False
        self._farewell: Farewell | None = None
        self._floor = Floor()
        self._database = Incident("database_poll")

    # --- streams come and go ---

    async def join(self, stream: Stream) -> int:
        """Push to ``stream`` from now on; return the cursor of that moment.

        Raises:
            django.db.Error: the hub is starting and cannot read the head of the log.
        """
        self.streams.add(stream)
        try:
            if self._starting is None:
                self._starting = asyncio.get_running_loop().create_task(self._start())
            await asyncio.shield(self._starting)
        except BaseException:
            self.leave(stream)
            raise
        self._by_topic.add(stream)
        self._wheel.add(stream)
        self._warden.add(stream)
        counters.add("opened")
        tell(stream_opened, sender=Hub, user_id=stream.reader.user_id, topics=stream.topics)
        if self._farewell is not None:  # its handshake was under way
            self._farewell.tell(stream)
        self._floor.joined(stream)
        return self.cursor

    def leave(self, stream: Stream) -> None:
        """Push to ``stream`` no more. The last one to leave stops the hub."""
        if stream not in self.streams:
            return
        self.streams.discard(stream)
        self._warden.remove(stream)
        if self._by_topic.remove(stream):  # it had joined
            counters.add("closed", stream.reason)
            tell(
                stream_closed,
                sender=Hub,
                user_id=stream.reader.user_id,
                topics=stream.topics,
                reason=stream.reason,
            )
        if not self.streams:
            self._stop()
            if self._farewell is not None:
                self._farewell.check()

    def listeners(self, topic: str) -> int:
        """Return how many streams listen to ``topic``. Callable from any thread."""
        return len(self._by_topic.get(topic, ()))

    def users(self) -> Counter[str]:
        """Return how many streams each signed-in user has, by key as text. Callable from any thread."""
        keys = (stream.reader.user_id for stream in list(self.streams))
        return Counter(str(key) for key in keys if key is not None)

    def flush_soon(self, stream: Stream) -> None:
        """Have ``stream`` write when what is rung by now is dispatched, so that it is joined into one write."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._flush)
        self._due.append(stream)

    def _flush(self) -> None:
        due, self._due = self._due, []
        for stream in due:
            stream.flush()

    def _retopic(self, stream: Stream, reader: Reader, asked: tuple[str, ...]) -> None:
        self._by_topic.remove(stream)
        stream.retopic(reader, asked)
        self._by_topic.add(stream)

    def drain(self, seconds: float, done: Callable[[], None] | None = None) -> None:
        """End all streams with ``bye``, and each that joins from now on.

        Args:
            seconds: the clients are to come back spread over as many; one that does not take its ``bye`` is cut after half of them.
            done: called when no stream is left and what they were told is on its way.
        """
        if self._farewell is None:
            self._farewell = Farewell(self.streams, seconds)
        self._farewell.begin(done)

    # --- life ---

    async def _start(self) -> None:
        self._repairing = True  # hold what is rung until the cursor is known
        fanout.attach(self._on_message)
        joined = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._listening = loop.create_task(listening.listen(self._on_message, joined))
        try:
            try:
                async with asyncio.timeout(JOIN_SECONDS):
                    await joined.wait()
            except (
                TimeoutError
            ):  # a layer that neither answers nor refuses: the poll carries the streams
                pass
            # After joining: whatever is numbered later is rung, whatever is numbered by now is in the head.
            self.cursor = self._floor.start(await self._run(log.position))
        except BaseException:
            self._stop()
            raise
        self._repairing = False
        self._accept_held()
        self._tasks.append(loop.create_task(self._poll()))
        self._wheel.start()

    def _stop(self) -> None:
        if self.stopped:  # the last stream left while the hub started, and the start ends with it
            return
        self.stopped = True
        fanout.detach(self._on_message)
        if self._listening is not None:
            listening.stop(self._listening)
        while self._tasks:
            self._tasks.pop().cancel()
        if self._starting is not None and self._starting is not asyncio.current_task():
            self._starting.cancel()
        self._wheel.stop()
        self._warden.stop()
        self._held.clear()

    # --- events ---

    def _on_message(self, message: Message) -> None:
        if isinstance(message, Ephemeral):
            listeners = self._by_topic.get(message.topic, ())
            for stream in listeners:
                stream.push_ephemeral(message.frame)
            counters.add("delivered", number=len(listeners))
        elif isinstance(message, Revocation):
            self._warden.hear(message)
        elif isinstance(message, PresenceQuery):
            fanout.answer(message, self.users())
        else:
            self._accept(message)

    def _accept(self, batch: Batch) -> None:
        if batch.last <= self.cursor and not self._repairing:
            return
        if self._repairing or batch.first > self.cursor + 1:
            self._held.append(batch)
            del self._held[:-HELD]
            if not self._repairing:
                self._repair_soon()
            return
        self._dispatch(batch.entries, batch.last)

    def _accept_held(self) -> None:
        held, self._held = self._held, []
        for batch in sorted(held, key=lambda batch: batch.first):
            self._accept(batch)

    def _dispatch(self, entries: tuple[Entry, ...] | list[Entry], last: int) -> None:
        by_topic = self._by_topic
        delivered = 0
        for entry in entries:
            if entry.seq <= self.cursor or entry.topic not in by_topic:
                continue
            seq, frame, excluded = entry.seq, entry.frame, entry.excluded
            muters = by_topic.muters.get(entry.category) if entry.category else None
            muted = frames.muted(frame) if muters else frame
            for stream in by_topic[entry.topic]:
                if not excluded or str(stream.reader.user_id) not in excluded:
                    delivered += stream.push(seq, muted if muters and stream in muters else frame)
        counters.add("delivered", number=delivered)
        self.cursor = max(self.cursor, last)

    def _repair_soon(self) -> None:
        self._repairing = True
        task = asyncio.get_running_loop().create_task(self._repair())
        self._tasks.append(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        if task in self._tasks:
            self._tasks.remove(task)

    async def _repair(self) -> None:
        """Read the log from the cursor to the head, then take what was rung meanwhile; again, if that shows another gap."""
        try:
            while True:
                self._held.clear()  # was rung after its commit, so the head that is read next is beyond it
                head = (await self._run(log.position)).head
                counters.add("repaired")
                await self._catch_up(head)
                self._repairing = False
                held, self._held = self._held, []
                held.sort(key=lambda batch: batch.first)
                while held and held[0].first <= self.cursor + 1:
                    self._accept(held.pop(0))
                if not held:
                    return
                self._repairing = True
        except Exception as error:  # the poll comes back to it
            self._database.failed(error)
        finally:
            self._repairing = False

    async def _catch_up(self, head: int) -> None:
        while self.cursor < head:
            entries, complete = await self._run(log.read, self.cursor, head, limit=REPAIR_PAGE)
            self._dispatch(entries, complete)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(poll_interval() * random.uniform(0.9, 1.1))
            await self.look()

    async def look(self) -> None:
        """Compare the cursor with the head of the log, as every poll does, and repair what is missing."""
        if self._repairing or self._starting is None or not self._starting.done():
            return
        before = self.cursor
        try:
            position = await self._run(sweep)
        except Exception as error:  # a database that is away comes back; the streams stay open
            self._database.failed(error)
            return
        self._database.worked()
        self._floor.look(position.floor, self.streams)
        if position.head < before:
            self.cursor = self._floor.go_back(position.head, self.streams)
        elif position.head > self.cursor:
            await asyncio.sleep(GRACE)
            if position.head > self.cursor and not self._repairing:
                self._repair_soon()


def poll_interval() -> float:
    """Return the seconds between two looks at the log."""
    given = get_settings().POLL_INTERVAL
    if given is not None:
        return given
    return 5.0 if fanout.remote_layer() is not None else 1.0


def sweep() -> Position:
    """Number what a publisher that died left pending, and return how far the log is."""
    fanout.announce()
    return log.position()
