"""One client's stream: replay, then live, without a hole or an overlap, in bounded memory.

    join the hub, which says how far it has dispatched (target)    from here on new events queue in the buffer
    read the log from the client's cursor to the target            everything up to the target comes from the log
    go live                                                        everything after it comes from the hub

The hub dispatches in order, and joining happens in one step with reading the hub's cursor, so an event is on exactly one side.

A client slower than its stream loses its buffer, not its events: the buffer is dropped and the same three steps start again from
where the client is. Nothing here knows requests or responses; the hub and the way to run queries are passed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from django import db

from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import get_position
from sse_notify.sse import control
from sse_notify.streaming.base import BaseStream
from sse_notify.telemetry import counters, tracing
from sse_notify.telemetry.incidents import Incident

if TYPE_CHECKING:
    from sse_notify.access.decisions import Granted, Subscriber
    from sse_notify.concurrency.threadpool import Run

#: Seconds between two tries while the database is away.
RETRY_SECONDS = 1.0

_database = Incident("database_replay")


class Page(NamedTuple):
    """A part of the log: ``entries`` blocks in one ``chunk``, complete up to the number ``cursor``, read while ``floor`` held."""

    chunk: bytes
    entries: int
    cursor: int
    floor: int


def read_page(after: int, up_to: int, *, reader: Reader, limit: int) -> Page:
    """Return what ``reader`` missed in between, at most ``limit`` notifications."""
    # In the thread that queries, so that the spans of a database driver are inside this one.
    with tracing.span("replay", after=after, up_to=up_to) as span:
        entries, complete = read_entries(after, up_to, reader=reader, limit=limit)
        span.set_attribute("sse_notify.sse.event", len(entries))
        # Read last: what is missing in the page, as it was pruned meanwhile, is below this floor.
        floor = get_position().floor
    return Page(b"".join([entry.frame for entry in entries]), len(entries), complete, floor)


#: What may be read before it is decided.
NOTHING = Reader(topics=())


class Feed(Protocol):
    """What a stream needs of its hub."""

    cursor: int
    """Every event up to here was pushed to the streams that get it."""

    async def join(self, stream: Stream) -> None:
        """Have ``stream`` begin as is decided, and push to it from then on."""

    def leave(self, stream: Stream) -> None:
        """Push to ``stream`` no more."""


class Stream(BaseStream):
    """The events of one client.

    Args:
        feed: gives the hub of the running loop.
        run: runs ``source`` off the loop.
        source: reads the log.
        page: notifications that one query of a replay reads.
        buffer_bytes, lifetime, on_close: as for :class:`BaseStream`.
        subscriber: who the stream is for; ``None``: nothing is decided about it, and somebody calls :meth:`begin`.
    """

    __slots__ = (
        "_behind", "_ended", "_feed", "_held", "_hub", "_page", "_prelude", "_run", "_source", "_target", "cursor", "is_open", "reader",
        "topics",
    )  # fmt: skip

    def __init__(
        self,
        *,
        feed: Callable[[], Feed],
        run: Run,
        source: Callable[..., Page] = read_page,
        page: int,
        buffer_bytes: int,
        lifetime: float,
        subscriber: Subscriber | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(
            buffer_bytes=buffer_bytes, lifetime=lifetime, subscriber=subscriber, on_close=on_close
        )
        #: Whether it was decided that the stream may begin, and how.
        self.is_open = False
        #: What the client may read of the log, and with it the topics that it asked for and was granted.
        self.reader = NOTHING
        self.topics: tuple[str, ...] = ()
        #: Everything up to here was returned by :meth:`read`, or was there before.
        self.cursor = 0
        self._prelude: bytes | None = None
        self._feed = feed
        self._hub: Feed | None = None
        self._run = run
        self._source = source
        self._page = page
        self._target: int | None = None
        self._behind = self._ended = self._held = False

    @property
    def is_live(self) -> bool:
        """Whether the client has, or finds in its buffer, what the hub has dispatched."""
        return self._hub is not None and not self._behind and self._target is None

    def begin(self, granted: Granted, asked: tuple[str, ...] = ()) -> None:
        """Have the stream begin as was decided, with those of the project's topics that it asked for and may have."""
        assert granted.opening is not None
        self.is_open = True
        self.reader, self.topics = granted.reader, (*granted.reader.topics, *asked)
        self.cursor, self._prelude = granted.opening.cursor, granted.opening.prelude

    def go_live(self, hub: Feed) -> None:
        """Read up to what ``hub`` has dispatched from the log; what it dispatches from now on is pushed."""
        self._hub = hub
        self.start_timer()
        if hub.cursor > self.cursor and not self._ended:
            self._target = hub.cursor

    # --- the task's side: it reads and writes to the socket ---

    async def join(self) -> None:
        """Join the hub, which decides whether and how the stream begins; while the database is away, wait for it.

        Raises:
            HandshakeRefused: it does not.
        """
        while self._hub is None and not self.closed:
            await self._join()

    async def read(self) -> bytes | None:
        """Return the next chunk, when there is one; ``None`` when the stream is over. Cancelled while it waits, it loses nothing."""
        self.sending_since = None
        chunk: bytes | None = b""
        while chunk == b"":
            if self._prelude is not None:
                chunk, self._prelude = self._prelude, None
            elif self._ended:
                chunk = self._take() or None
            elif self._hub is None:
                chunk = await self._join()
            elif self._held:
                await self._buffer.news()
            elif self._behind or self._target is not None:
                chunk = await self._read_log(self._hub)
            elif not (chunk := self._take()):
                await self._buffer.news()
        self.written_at = monotonic()
        self.sending_since = self.written_at if chunk is not None else None
        return chunk

    def leave(self) -> None:
        """Leave the hub and let go of everything."""
        self._ended = True
        if self._hub is not None:
            self._hub.leave(self)
        self._buffer.clear()
        self._buffer.lost = 0
        self._prelude = self._hub = None

    # --- the hub's side ---

    def push(self, seq: int, frame: bytes) -> bool:
        """Queue an event of the log and return whether it was; skip it if the client has it, or will get it from the log."""
        if seq <= self.cursor or self._behind or self._ended:
            return False
        if not self._held:  # what the hub dispatched since may be this client's by then
            self._advance()
        if not self._buffer.put(frame):
            counters.add("slow")
            self._fall_behind()
        return True

    def push_ephemeral(self, frame: bytes) -> None:
        """Queue an event that is in no log; a client that is behind does not get it, and is told how many there were."""
        if self._behind:
            self._buffer.lost += 1
        elif not self._ended:
            self._buffer.put_ephemeral(frame)

    def heartbeat(self) -> None:
        """Queue a ``ping``, unless the log is being read: what comes of that breaks the silence as well."""
        if self.is_live and not self._ended:
            assert self._hub is not None
            self._buffer.put_anyway(control.ping(max(self.cursor, self._hub.cursor)))

    def reset(self, reason: str, cursor: int) -> None:
        """Tell the client that its cursor is void, and go on from ``cursor``; one that is told ``bye`` needs no more."""
        if self._ended:
            return
        self._buffer.clear()
        self._behind, self._target, self.cursor = False, None, cursor
        self._prelude = control.reset(reason, cursor)
        self._buffer.wake()

    def hold(self) -> None:
        """Write nothing until :meth:`release`; what is pushed meanwhile waits."""
        self._advance()
        self._held = True

    def release(self) -> None:
        """Go on after :meth:`hold`."""
        if self._held:
            self._held = False
            self._buffer.wake()

    def retopic(self, reader: Reader, asked: tuple[str, ...]) -> None:
        """Go on from the log with other topics, or other categories muted; what waits may be of a topic that the client has no more.

        If the topics of the log differ, or what is muted, so does the inbox, and the client is told to fetch it anew.
        """
        if self._ended:
            return
        before, self.reader, self.topics = self.reader, reader, (*reader.topics, *asked)
        has_other_topics = set(reader.topics) != set(before.topics)
        if has_other_topics or reader.muted != before.muted:
            self.reset("topics" if has_other_topics else "state", self.cursor)
        self._fall_behind()

    def end(self, reason: str, retry_after: int | None) -> None:
        """Say ``bye`` and end: after what is queued, unless the client may not have that any more."""
        if self._ended:
            return
        if not self.is_live or reason in ("logout", "revoked"):
            # What is missing comes with the client's next stream.
            self._buffer.clear()
            self._behind, self._target = False, None
        self._ended = True
        self.reason = reason
        self._buffer.put_anyway(control.bye(reason, retry_after))

    # --- inside ---

    async def _join(self) -> bytes:
        """Join the hub; return a ``ping`` if it cannot start."""
        hub = self._feed()
        try:
            await hub.join(self)
        except db.Error as error:
            return await self._pause(error)
        if self.closed:  # the client left while the hub was starting
            hub.leave(self)
        else:
            self._hub = hub
        return b""

    async def _read_log(self, hub: Feed) -> bytes:
        """Return the next page up to the target, empty if the page holds nothing for this client."""
        if self._behind:
            self._behind, self._target = False, hub.cursor
        target = self._target
        assert target is not None
        try:
            page = await self._run(
                self._source, self.cursor, target, reader=self.reader, limit=self._page
            )
        except db.Error as error:
            return await self._pause(error)
        _database.worked()
        # Ended or reset meanwhile, with other topics maybe; or the client's permission is in question, and the page is read again then.
        if self._target != target or self._held or self._ended:
            return b""
        if self.cursor < page.floor:  # something that this client has not got is gone for good
            counters.add("reset", "expired")
            self.cursor, chunk = page.floor, control.reset("expired", page.floor)
        else:
            counters.add("replayed", number=page.entries)
            self.cursor, chunk = page.cursor, page.chunk
        if self.cursor >= target:
            self._target = None
        return chunk

    async def _pause(self, error: db.Error) -> bytes:
        """Wait until the database may be back; return what to say meanwhile."""
        _database.failed(error)
        await asyncio.sleep(RETRY_SECONDS)
        return b"" if self._ended else control.ping(self.cursor)

    def _take(self) -> bytes:
        lost = self._buffer.lost
        chunk = self._buffer.take()
        if chunk and self._hub is not None and self._hub.cursor > self.cursor:
            self.cursor = self._hub.cursor
        if lost:
            counters.add("lost", number=lost)
        return chunk

    def _advance(self) -> None:
        """Take in that nothing of what the hub has dispatched is missing, should the log have to be read from here."""
        hub = self._hub
        if hub is None or self._target is not None or self._behind or self._buffer.size:
            return
        if hub.cursor > self.cursor:
            self.cursor = hub.cursor

    def _fall_behind(self) -> None:
        self._buffer.clear()
        self._behind = True
        self._buffer.wake()
