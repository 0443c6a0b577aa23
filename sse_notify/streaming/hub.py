"""One hub for each event loop: takes what the bus brings, checks that nothing is missing, repairs from the log, dispatches.

    a batch        first <= cursor + 1: dispatch, no query.        A gap: hold it, read the log up to the head, go on.
    every poll     number what a dead publisher left pending; head beyond the cursor: the same repair.

Losing every message of the layer costs latency, one poll interval, and never an event. A hub without streams does nothing at all.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from sse_notify.access.decisions import Granted
from sse_notify.access.monitor import Monitor
from sse_notify.bus import publisher, subscriber
from sse_notify.bus.messages import Batch, Entry, Ephemeral, Message, PresenceQuery, Revocation
from sse_notify.concurrency import threadpool
from sse_notify.concurrency.threadpool import Run
from sse_notify.conf import get_settings
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import get_position
from sse_notify.signals import stream_closed, stream_opened
from sse_notify.streaming.generator import SourceStream
from sse_notify.streaming.stream import Stream, sweep
from sse_notify.telemetry import Incident, count

GRACE = 0.1  # seconds that a message may be under way before the head counts as missed
JOIN_SECONDS = 2.0  # that the first stream waits for the layer; then it is served without
HELD = 100  # batches that are kept while a repair runs, which reads up to the head: no older ones are needed
REPAIR_PAGE = 500  # entries that a repair reads with one query
RETRY_SECONDS = 1.0  # between two tries to start while the database is away
JOBS_AFTER = 1.0  # seconds from a hub's first stream to its jobs

#: What a hub does beside, a while after its first stream came; cancelled when the last one leaves.
Job = Callable[["Hub"], Coroutine[Any, Any, None]]


class Hub:
    """The streams of one event loop. All methods are to be called on it; ``run`` runs queries off it, ``None``: on pools of their own."""

    def __init__(self, *, run: Run | None = None, jobs: Iterable[Job] = ()) -> None:
        self.run = run or threadpool.hub
        self.replay = run or threadpool.streams
        #: Every event up to here was pushed to the streams that get it.
        self.cursor = 0
        #: Set when the last stream left; the next one gets a new hub.
        self.stopped = False
        self.streams: set[Stream] = set()
        #: The streams of views' own events: they get none of the log's.
        self.sources: set[SourceStream] = set()
        #: Set while there are no ``streams``.
        self.empty = asyncio.Event()
        self.empty.set()
        #: The open streams by topic; a topic that nobody listens to is not in it.
        self._by_topic: dict[str, set[Stream]] = {}
        self._monitor = Monitor(run, self._by_topic, self._accept)
        self._task: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._jobs = jobs
        self._working: list[asyncio.Task[None] | asyncio.TimerHandle] = []
        self._started = asyncio.Event()
        #: Set while batches are kept, as something before them is missing; at first that is everything.
        self._gap = asyncio.Event()
        self._gap.set()
        self._held: list[Batch] = []
        self._database = Incident("database_poll")

    # --- streams come and go ---

    async def join(self, stream: Stream) -> None:
        """Have ``stream`` begin as is decided, unless that was decided before, and push to it from then on.

        Raises:
            HandshakeRefused: the stream may not begin.
        """
        self.streams.add(stream)
        if self.empty.is_set():
            self.empty.clear()
            loop = asyncio.get_running_loop()
            self._working = [loop.call_later(JOBS_AFTER, self._start_jobs)]
        try:
            self._begin()
            await self._started.wait()
            if not stream.is_open:
                await self._monitor.add(stream, is_new=True)
            else:
                self._open(stream)
                if stream.subscriber is not None:
                    self._monitor.add(stream)
        except BaseException:
            self.leave(stream)
            raise
        stream.hub = self
        if stream.closed:  # the client left while the hub was starting
            self.leave(stream)

    def attach(self, stream: SourceStream) -> None:
        """End ``stream`` with the process, and with its permission if it has one."""
        self.sources.add(stream)
        if stream.subscriber is not None:
            self._monitor.add(stream, listed=False)
            self._begin()

    def leave(self, stream: Any) -> None:
        """Forget ``stream``. The last one to leave stops the hub."""
        self.streams.discard(stream)
        self.sources.discard(stream)
        if self._unlist(stream):
            stream.note("closed", stream_closed, sender=Hub, reason=stream.reason)
        if not self.streams:
            self.empty.set()
            for job in self._working:
                job.cancel()
            self._working = []
        self._monitor.remove(stream)
        if not (self.streams or self.sources or self.stopped):
            self._stop()

    def listeners(self, topic: str) -> Collection[Stream]:
        """Return the streams that listen to ``topic``. Callable from any thread."""
        return self._by_topic.get(topic, ())

    def users(self) -> Counter[str]:
        """Return how many streams each signed-in user has, by key as text. Callable from any thread."""
        keys = (stream.reader.user_id for stream in self.open_streams())
        return Counter(str(key) for key in keys if key is not None)

    def open_streams(self) -> list[Stream]:
        """Return the streams that are decided. Callable from any thread."""
        return [stream for stream in list(self.streams) if stream.is_open]

    def _accept(self, stream: Any, granted: Granted, asked: tuple[str, ...] | None) -> None:
        """Have a stream begin, or go on with other topics; ``asked``: those of the project's, ``None`` for the ones that it has."""
        if stream.is_open:
            self._unlist(stream)
            stream.retopic(granted.reader, asked)
            self._list(stream)
        else:
            self._open(stream, granted, asked or ())

    def _open(self, stream: Stream, *decided: Any) -> None:
        """Push to ``stream`` from now on; ``decided``: how it begins, unless it has begun."""
        if stream.closed:  # the client left meanwhile
            return
        stream.go_live(self, *decided)
        self._list(stream)
        stream.note("opened", stream_opened, sender=Hub)

    def _list(self, stream: Stream) -> None:
        for topic in stream.topics:
            self._by_topic.setdefault(topic, set()).add(stream)

    def _unlist(self, stream: Any) -> bool:
        """Return whether ``stream`` was listed."""
        listed = [topic for topic in stream.topics if stream in self._by_topic.get(topic, ())]
        for topic in listed:
            self._by_topic[topic].remove(stream)
            if not self._by_topic[topic]:
                del self._by_topic[topic]
        return bool(listed)

    def _begin(self) -> None:
        if self._task is None:
            joined, interval = asyncio.Event(), poll_interval()
            publisher.attach(self.receive)
            if publisher.remote_layer() is None:
                joined.set()
            else:
                self._listening = asyncio.create_task(subscriber.listen(self.receive, joined))
            self._task = asyncio.create_task(self._live(joined, interval))

    async def _live(self, joined: asyncio.Event, interval: float) -> None:
        """Start; then look at the log at intervals, and repair whatever is missing."""
        # A layer may neither answer nor refuse: then the poll carries the streams.
        await _within(JOIN_SECONDS, joined)
        while True:
            try:
                if not self._started.is_set():
                    # The group is joined: what is numbered later is sent to the hub, what is numbered by now is in the head.
                    self.cursor = (await self.run(get_position)).head
                    self._started.set()
                    self._take_held()
                    if self.sources:  # they were decided when a change might have gone unheard
                        self._monitor.revoke(Revocation(everybody=True))
                elif self._gap.is_set():
                    await self._repair()
                else:
                    await self.look()
                if self._database.failures:
                    self._database.worked()
            except Exception as error:  # a database that is away comes back; the streams stay open
                self._database.failed(error)
                if self._started.is_set():
                    self._gap.clear()
            if self._started.is_set():
                await _within(interval * random.uniform(0.9, 1.1), self._gap)
            else:
                await asyncio.sleep(RETRY_SECONDS)

    def _stop(self) -> None:
        self.stopped = True
        self._monitor.stop()
        publisher.detach(self.receive)
        if self._listening is not None:
            subscriber.stop(self._listening)
        if self._task is not None:
            self._task.cancel()
        self._held.clear()

    def _start_jobs(self) -> None:
        self._working = [asyncio.create_task(job(self)) for job in self._jobs]

    # --- events ---

    def receive(self, message: Message) -> None:
        """Do what a message of the bus says."""
        if isinstance(message, Ephemeral):
            listeners = self.listeners(message.topic)
            for stream in listeners:
                stream.push_ephemeral(message.frame)
            count("delivered", number=len(listeners))
        elif isinstance(message, Revocation):
            self._monitor.revoke(message)
        elif isinstance(message, PresenceQuery):
            publisher.answer(message, self.users())
        else:
            self._take(message)

    def _take(self, batch: Batch) -> None:
        if self._gap.is_set() or batch.first > self.cursor + 1:
            self._held.append(batch)
            del self._held[:-HELD]
            self._gap.set()
        else:
            self._dispatch(batch.entries, batch.last)

    def _take_held(self) -> None:
        self._gap.clear()
        held, self._held = sorted(self._held, key=lambda batch: batch.first), []
        for batch in held:
            self._take(batch)

    def _dispatch(self, entries: tuple[Entry, ...] | list[Entry], last: int) -> None:
        delivered = 0
        for entry in entries:
            if entry.seq > self.cursor:
                for stream in self._by_topic.get(entry.topic, ()):
                    delivered += stream.push(entry)
        count("delivered", number=delivered)
        self.cursor = max(self.cursor, last)

    async def _repair(self) -> None:
        """Read the log from the cursor to the head, then take what was rung meanwhile, which may show another gap."""
        self._held.clear()  # was rung after its commit, so the head that is read next is beyond it
        head = (await self.run(get_position)).head
        count("repaired")
        while self.cursor < head:
            entries, complete = await self.run(read_entries, self.cursor, head, limit=REPAIR_PAGE)
            self._dispatch(entries, complete)
        self._take_held()

    async def look(self) -> None:
        """Compare the cursor with the head of the log, as every poll does, and repair what is missing."""
        if self._gap.is_set():
            return
        before = self.cursor
        position = await self.run(sweep)
        if position.head < before:  # a restored backup: no cursor means what it meant
            self.cursor = position.head
            count("reset", "ahead", len(self.streams))
            for stream in list(self.streams):
                stream.reset("ahead", position.head)
        elif position.head > self.cursor:
            await _within(GRACE, self._gap)
            if position.head > self.cursor:
                self._gap.set()


def poll_interval() -> float:
    """Return the seconds between two looks at the log."""
    given = get_settings().POLL_INTERVAL
    if given is None:
        return 5.0 if publisher.remote_layer() is not None else 1.0
    return given


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait so long, or until ``event`` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
