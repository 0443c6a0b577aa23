"""The hub of an event loop: it receives messages, fills gaps from the log and dispatches events.

    batch received   first <= cursor + 1: dispatch it, no query. Else: hold it, read up to the head.
    every poll       number pending events of dead publishers; head > cursor: read up to the head.

If the channel layer loses messages, events arrive up to one poll interval late; none is lost.
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
from sse_notify.concurrency import threadpool, turns
from sse_notify.concurrency.threadpool import Run
from sse_notify.log.sequence import get_position
from sse_notify.signals import stream_closed, stream_opened
from sse_notify.streaming.generator import SourceStream
from sse_notify.streaming.repair import read_missing
from sse_notify.streaming.stream import Stream, sweep
from sse_notify.telemetry import Incident, count

GRACE = 0.1  # seconds that a message may take to arrive before a poll repairs
JOIN_SECONDS = 2.0  # seconds that the first stream waits for the channel layer
HELD = 100  # newest batches kept during a repair, which reads older ones from the log
RETRY_SECONDS = 1.0  # seconds between two attempts to start while the database is down
JOBS_AFTER = 1.0  # seconds from a hub's first stream to the start of its jobs

#: A background task of a hub; it is cancelled when the last stream leaves.
Job = Callable[["Hub"], Coroutine[Any, Any, None]]


class Hub:
    """The streams of one event loop. Call its methods on that loop.

    ``run`` runs queries outside the loop. ``None``: use the package's thread pools.
    """

    def __init__(self, *, run: Run | None = None, jobs: Iterable[Job] = ()) -> None:
        self.loop = asyncio.get_running_loop()
        self.run = run or threadpool.hub
        self.replay = run or turns.run
        #: Every event up to here was pushed to its streams.
        self.cursor = 0
        #: Set when the last stream has left; the next stream gets a new hub.
        self.stopped = False
        self.streams: set[Stream] = set()
        #: The streams of views' own events; they receive no log events.
        self.sources: set[SourceStream] = set()
        #: Set while ``streams`` is empty.
        self.empty = asyncio.Event()
        self.empty.set()
        #: The open streams by topic, without topics that have none. A tuple holds one stream: for
        #: users' own topics, sets would take four times the memory.
        self._by_topic: dict[str, tuple[Stream] | set[Stream]] = {}
        self._monitor = Monitor(run, self._by_topic, self._accept)
        self._task: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._jobs = jobs
        self._working: list[asyncio.Task[None] | asyncio.TimerHandle] = []
        self._started = asyncio.Event()
        #: Set while batches are held because earlier events are missing; at first, all are.
        self._gap = asyncio.Event()
        self._gap.set()
        self._held: list[Batch] = []
        self._database = Incident("database_poll")

    # --- joining and leaving ---

    async def join(self, stream: Stream) -> None:
        """Wait for the decision on ``stream``, unless it is made, and push events from then on.

        Raises:
            HandshakeRefused: the stream may not begin.
        """
        self.streams.add(stream)
        if self.empty.is_set():
            self.empty.clear()
            self._working = [self.loop.call_later(JOBS_AFTER, self._start_jobs)]
        try:
            self._begin()
            await self._started.wait()
            if not stream.is_open:
                await self._monitor.add(stream, is_new=True)
            else:
                if stream.subscriber is not None:
                    self._monitor.add(stream)
                self._open(stream)
        except BaseException:
            self.leave(stream)
            raise
        stream.hub = self
        if stream.closed:  # the client disconnected while the hub was starting
            self.leave(stream)

    def attach(self, stream: SourceStream) -> None:
        """End ``stream`` with the process, and with its permission if it has one."""
        self.sources.add(stream)
        if stream.subscriber is not None:
            self._monitor.add(stream, listed=False)
            self._begin()

    def leave(self, stream: Any) -> None:
        """Remove ``stream``. The last one to leave stops the hub."""
        self.streams.discard(stream)
        self.sources.discard(stream)
        if self.unlisten(stream, stream.topics):
            stream.note("closed", stream_closed, sender=Hub, reason=stream.reason)
        if not self.streams:
            self.empty.set()
            while self._working:
                self._working.pop().cancel()
        self._monitor.remove(stream)
        if not (self.streams or self.sources or self.stopped):
            self._stop()

    def listen(self, listener: Any, topics: Iterable[str]) -> None:
        """Give ``listener``, a stream or another object with its ``push`` methods, these topics."""
        for topic in topics:
            if isinstance(others := self._by_topic.get(topic, ()), set):
                others.add(listener)
            elif listener not in others:
                self._by_topic[topic] = {*others, listener} if others else (listener,)

    def unlisten(self, listener: Any, topics: Iterable[str]) -> bool:
        """Undo :meth:`listen`, and return whether there was something to undo."""
        listed = [topic for topic in topics if listener in self._by_topic.get(topic, ())]
        for topic in listed:
            if isinstance(others := self._by_topic[topic], set):
                others.remove(listener)
            if isinstance(others, tuple) or not others:
                del self._by_topic[topic]
        return bool(listed)

    def listeners(self, topic: str) -> Collection[Stream]:
        """Return the streams that listen to ``topic``. Callable from any thread."""
        return self._by_topic.get(topic, ())

    def users(self) -> Counter[str]:
        """Return each signed-in user's stream count, by key as text. Callable from any thread."""
        keys = (stream.reader.user_id for stream in self.open_streams())
        return Counter(str(key) for key in keys if key is not None)

    def open_streams(self) -> list[Stream]:
        """Return the streams that have begun. Callable from any thread."""
        return [stream for stream in list(self.streams) if stream.is_open]

    def _accept(self, stream: Any, granted: Granted, asked: tuple[str, ...] | None) -> None:
        """Begin a stream, or change its topics. ``asked``: the project's, ``None`` to keep them."""
        if stream.is_open:
            before = stream.topics
            stream.retopic(granted.reader, asked)
            if stream.topics is not before:
                self.unlisten(stream, before)
                self.listen(stream, stream.topics)
        else:
            self._open(stream, granted, asked or ())

    def _open(self, stream: Stream, *decided: Any) -> None:
        """Push to ``stream``; ``decided``: decision and granted topics, if it has not begun."""
        if stream.closed:  # the client has disconnected
            return
        stream.go_live(self, *decided)
        self.listen(stream, stream.topics)
        stream.note("opened", stream_opened, sender=Hub)

    def _begin(self) -> None:
        if self._task is None:
            joined = asyncio.Event()
            publisher.attach(self.receive)
            if publisher.remote_layer() is None:
                joined.set()
            else:
                self._listening = asyncio.create_task(subscriber.listen(self.receive, joined))
            self._task = asyncio.create_task(self._live(joined))

    async def _live(self, joined: asyncio.Event) -> None:
        """Start the hub; then poll the log, and repair what is missing."""
        # The channel layer may never respond; then polling alone delivers events.
        await _within(JOIN_SECONDS, joined)
        while True:
            has_gap = self._gap.is_set()
            try:
                if not self._started.is_set():
                    # In the group: the hub receives later events; the head includes earlier ones.
                    self.cursor = (await self.run(get_position)).head
                    self._started.set()
                    self._dispatch_held()
                    if self.sources:  # the hub may have missed a revocation before
                        self._monitor.revoke(Revocation(everybody=True))
                elif has_gap:
                    await self._repair()
                else:
                    await self.poll()
                self._database.worked()
            except Exception as error:  # the streams stay open while the database is down
                self._database.failed(error)
                if has_gap and self._started.is_set():
                    self._gap.clear()
            if self._started.is_set():
                seconds = publisher.poll_interval()
                await _within(seconds * random.uniform(0.9, 1.1), self._gap)
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
        """Handle a message."""
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
            self._on_batch(message)

    def _on_batch(self, batch: Batch) -> None:
        if self._gap.is_set() or batch.first > self.cursor + 1:
            if not self._gap.is_set() and batch.first <= batch.last:  # else it has no range
                count("repaired")
            self._held.append(batch)
            del self._held[:-HELD]
            self._gap.set()
        else:
            self._dispatch(batch.entries, batch.last)

    def _dispatch_held(self) -> None:
        self._gap.clear()
        held, self._held = sorted(self._held, key=lambda batch: batch.first), []
        for batch in held:
            self._on_batch(batch)

    def _dispatch(self, entries: tuple[Entry, ...] | list[Entry], last: int) -> None:
        delivered = 0
        for entry in entries:
            if entry.seq > self.cursor:
                for stream in self._by_topic.get(entry.topic, ()):
                    delivered += stream.push(entry)
        count("delivered", number=delivered)
        self.cursor = max(self.cursor, last)

    async def _repair(self) -> None:
        """Read the log up to the head, then take the held batches, which may show another gap."""
        self._held.clear()  # sent after their commit, so the head read next includes them
        head = (await self.run(get_position)).head
        while self.cursor < head:
            self._dispatch(*await read_missing(self.run, self._by_topic, self.cursor, head))
        self._dispatch_held()

    async def poll(self) -> None:
        """Compare the cursor with the log's head and repair what is missing, as every poll does."""
        if self._gap.is_set():
            return
        before = self.cursor
        position = await self.run(sweep)
        if position.head < before:  # a restored backup: all cursors are invalid
            self.cursor = position.head
            count("reset", "ahead", len(self.streams))
            for stream in list(self.streams):
                stream.reset("ahead", position.head)
        elif position.head > self.cursor:
            await _within(GRACE, self._gap)
            if position.head > self.cursor:
                count("repaired")
                self._gap.set()


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait until ``event`` is set, at most ``seconds``."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
