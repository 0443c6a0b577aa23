"""One hub for each event loop: hears the doorbell, checks that nothing is missing, repairs from the log, dispatches.

    ring(batch)    first <= cursor + 1: dispatch, no query.        A gap: hold it, read the log up to the head, go on.
    every poll     number what a dead publisher left pending; head beyond the cursor: the same repair.

Losing every message of the layer costs latency, one poll interval, and never an event. A hub without streams does nothing at all.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

from sse_notify.access.monitor import Monitor
from sse_notify.bus import publisher, subscriber
from sse_notify.bus.messages import Ephemeral, Message, PresenceQuery, Revocation
from sse_notify.concurrency import threadpool
from sse_notify.conf import get_settings
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import announce, get_position
from sse_notify.signals import stream_closed, stream_opened, tell
from sse_notify.sse import control
from sse_notify.streaming.index import TopicIndex
from sse_notify.streaming.limits import admission
from sse_notify.streaming.shutdown import retry_after
from sse_notify.streaming.stream import Stream
from sse_notify.telemetry import counters
from sse_notify.telemetry.incidents import Incident

if TYPE_CHECKING:
    from sse_notify.access.decisions import Granted
    from sse_notify.bus.messages import Batch, Entry
    from sse_notify.concurrency.threadpool import Run
    from sse_notify.log.sequence import Position
    from sse_notify.streaming.base import BaseStream
    from sse_notify.streaming.generator import SourceStream

#: Seconds that a message of the layer may be under way before a head that is ahead of the hub counts as a loss.
GRACE = 0.1
#: Seconds that the first stream waits for the layer; then it is served without.
JOIN_SECONDS = 2.0
#: Batches that are kept while a repair runs; the repair reads the log up to its head, so older ones are not needed.
HELD = 100
#: Entries that a repair reads with one query.
REPAIR_PAGE = 500
#: Seconds between two tries to start while the database is away.
RETRY_SECONDS = 1.0


class Hub:
    """The streams of one event loop. All methods are to be called on that loop.

    Args:
        run: runs queries off the loop; ``None``: on pools of their own.
    """

    def __init__(self, *, run: Run | None = None) -> None:
        self._run = self.run = run or threadpool.hub
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
        self._by_topic = TopicIndex()
        self._monitor = Monitor(run, self._by_topic, self._accept_decision, poll_interval)
        self._starting: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._polling: asyncio.Task[None] | None = None
        self._repair_task: asyncio.Task[None] | None = None
        self._held: list[Batch] = []
        self._repairing = False
        self._database = Incident("database_poll")

    # --- streams come and go ---

    async def join(self, stream: Stream) -> None:
        """Have ``stream`` begin as is decided, unless that was decided before, and push to it from then on.

        Raises:
            HandshakeRefused: the stream may not begin.
            django.db.Error: the hub is starting and cannot read the head of the log.
        """
        self.streams.add(stream)
        self.empty.clear()
        try:
            await asyncio.shield(self._begin())
            if not stream.is_open:
                await self._monitor.add(stream, is_new=True)
                return
        except BaseException:
            self.leave(stream)
            raise
        self._list(stream)
        if stream.subscriber is not None:
            self._monitor.add(stream)

    def leave(self, stream: Stream) -> None:
        """Push to ``stream`` no more. The last one to leave stops the hub."""
        if stream not in self.streams:
            return
        self.streams.discard(stream)
        self._monitor.remove(stream)
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
            self.empty.set()
        self._stop_if_unused()

    def attach(self, stream: SourceStream) -> None:
        """End ``stream`` with the process, and with its permission if it has one."""
        self.sources.add(stream)
        if stream.subscriber is not None:
            self._monitor.add(stream, listed=False)
            self._begin()
        if admission.draining:  # its view was at work when the process was asked to end
            stream.cut_after(get_settings().DRAIN_SECONDS)

    def detach(self, stream: SourceStream) -> None:
        """Forget ``stream``. The last one stops the hub."""
        self.sources.discard(stream)
        self._monitor.remove(stream)
        self._stop_if_unused()

    def listeners(self, topic: str) -> int:
        """Return how many streams listen to ``topic``. Callable from any thread."""
        return len(self._by_topic.get(topic, ()))

    def users(self) -> Counter[str]:
        """Return how many streams each signed-in user has, by key as text. Callable from any thread."""
        keys = (stream.reader.user_id for stream in self.open_streams())
        return Counter(str(key) for key in keys if key is not None)

    def open_streams(self) -> list[Stream]:
        """Return the streams that are decided. Callable from any thread."""
        return [stream for stream in list(self.streams) if stream.is_open]

    def _accept_decision(
        self, stream: BaseStream, granted: Granted, asked: tuple[str, ...] | None
    ) -> None:
        """Have a stream begin, or go on with other topics; ``asked``: those of the project's, ``None`` for the ones that it has."""
        if not isinstance(stream, Stream):
            return
        if not stream.is_open:
            stream.begin(granted, asked or ())
            self._list(stream)
            return
        reader, before = granted.reader, stream.reader
        if asked is None:
            asked = stream.topics[len(before.topics) :]
        if {*reader.topics, *asked} != set(stream.topics) or reader.muted != before.muted:
            self._by_topic.remove(stream)
            stream.retopic(reader, asked)
            self._by_topic.add(stream)

    def _list(self, stream: Stream) -> None:
        """Push to ``stream`` from now on."""
        if stream.closed:  # the client left meanwhile
            return
        self._by_topic.add(stream)
        stream.go_live(self)
        counters.add("opened")
        tell(stream_opened, sender=Hub, user_id=stream.reader.user_id, topics=stream.topics)
        if admission.draining:  # its handshake was under way
            stream.end("drain", retry_after(get_settings().DRAIN_SECONDS))

    # --- life ---

    def _begin(self) -> asyncio.Task[None]:
        """Return the task that starts the hub, which begins now if it has not."""
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._start())
            self._starting.add_done_callback(self._begun)
        return self._starting

    def _begun(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._starting = None
        if any(source.subscriber is not None for source in self.sources):
            # They don't ask again, as streams do.
            self._database.failed(error)
            asyncio.get_running_loop().call_later(
                RETRY_SECONDS, lambda: self.stopped or self._begin()
            )

    async def _start(self) -> None:
        self._repairing = True  # hold what is rung until the cursor is known
        loop = asyncio.get_running_loop()
        if self._listening is None:
            publisher.attach(self._on_message)
            joined = asyncio.Event()
            self._listening = loop.create_task(subscriber.listen(self._on_message, joined))
            try:
                async with asyncio.timeout(JOIN_SECONDS):
                    await joined.wait()
            except (
                TimeoutError
            ):  # a layer that neither answers nor refuses: the poll carries the streams
                pass
        # After joining: whatever is numbered later is rung, whatever is numbered by now is in the head.
        self.cursor = (await self._run(get_position)).head
        self._accept_held()
        self._polling = loop.create_task(self._poll())
        if self.sources:  # they were decided when a change might have gone unheard
            self._monitor.revoke(Revocation(everybody=True))

    def _stop_if_unused(self) -> None:
        if self.streams or self.sources or self.stopped:
            return
        self.stopped = True
        publisher.detach(self._on_message)
        if self._listening is not None:
            subscriber.stop(self._listening)
        for task in (self._starting, self._polling, self._repair_task):
            if task is not None:
                task.cancel()
        self._monitor.stop()
        self._held.clear()

    # --- events ---

    def _on_message(self, message: Message) -> None:
        if isinstance(message, Ephemeral):
            listeners = self._by_topic.get(message.topic, ())
            for stream in listeners:
                stream.push_ephemeral(message.frame)
            counters.add("delivered", number=len(listeners))
        elif isinstance(message, Revocation):
            self._monitor.revoke(message)
        elif isinstance(message, PresenceQuery):
            publisher.answer(message, self.users())
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
        self._repairing = False
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
            category, muted = entry.category, b""
            for stream in by_topic[entry.topic]:
                if excluded and str(stream.reader.user_id) in excluded:
                    continue
                is_muted = category in stream.reader.muted
                if is_muted and not muted:  # encoded once, as the frame itself
                    muted = control.muted(frame)
                delivered += stream.push(seq, muted if is_muted else frame)
        counters.add("delivered", number=delivered)
        self.cursor = max(self.cursor, last)

    def _repair_soon(self) -> None:
        self._repairing = True
        self._repair_task = asyncio.get_running_loop().create_task(self._repair())

    async def _repair(self) -> None:
        """Read the log from the cursor to the head, then take what was rung meanwhile, which may show another gap."""
        try:
            self._held.clear()  # was rung after its commit, so the head that is read next is beyond it
            head = (await self._run(get_position)).head
            counters.add("repaired")
            while self.cursor < head:
                entries, complete = await self._run(
                    read_entries, self.cursor, head, limit=REPAIR_PAGE
                )
                self._dispatch(entries, complete)
        except Exception as error:  # the poll comes back to it
            self._database.failed(error)
            self._repairing = False
        else:
            self._accept_held()

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
        if position.head < before:  # a restored backup: no cursor means what it meant
            self.cursor = position.head
            counters.add("reset", "ahead", len(self.streams))
            for stream in list(self.streams):
                stream.reset("ahead", position.head)
        elif position.head > self.cursor:
            await asyncio.sleep(GRACE)
            if position.head > self.cursor and not self._repairing:
                self._repair_soon()


def poll_interval() -> float:
    """Return the seconds between two looks at the log."""
    given = get_settings().POLL_INTERVAL
    if given is not None:
        return given
    return 5.0 if publisher.remote_layer() is not None else 1.0


def sweep() -> Position:
    """Number what a publisher that died left pending, and return how far the log is."""
    announce()
    return get_position()
