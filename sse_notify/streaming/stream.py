"""A client's stream of the log: replay, then live, without gaps or duplicates, in bounded memory.

    join the hub; its cursor is the target                 from now on, new events are buffered
    read the log from the client's cursor to the target    everything up to the target is in the log
    go live                                                everything later comes from the hub

The hub dispatches in order, and a stream joins and reads the hub's cursor in one step. So each
event is on exactly one side.

A client that is too slow loses its buffer, but no events: the stream drops the buffer and repeats
the three steps from the client's cursor. This module knows nothing of requests or responses.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from time import monotonic
from typing import Any

from django import db
from django.dispatch import Signal

from sse_notify import telemetry
from sse_notify.access.decisions import Granted
from sse_notify.bus.messages import Entry
from sse_notify.conf import get_settings
from sse_notify.log.announcing import announce
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import Position, get_position
from sse_notify.sse import control
from sse_notify.streaming.base import BaseStream
from sse_notify.streaming.limits import admission
from sse_notify.telemetry import Incident, count

#: Seconds between two attempts while the database is down.
RETRY_SECONDS = 1.0

_database = Incident("database_replay")
_receivers = Incident("signal_receivers")


def read_page(
    after: int, up_to: int, *, reader: Reader, limit: int
) -> tuple[list[Entry], int, int]:
    """Return a page of what ``reader`` missed, up to where it is complete, and the log's floor.

    The page holds at most ``limit`` notifications.
    """
    # In the thread that queries, so that a database driver's spans are inside this one.
    with telemetry.span("replay", after=after, up_to=up_to) as span:
        entries, complete = read_entries(after, up_to, reader=reader, limit=limit)
        span.set_attribute("sse_notify.events", len(entries))
        # Read last: entries that were pruned meanwhile are below this floor.
        return entries, complete, get_position().floor


def sweep() -> Position:
    """Number what a dead publisher left pending, and return the position of the log."""
    announce()
    return get_position()


class Stream(BaseStream):
    """One client's events from the log.

    Args:
        page: notifications that one query of a replay reads. ``None``: ``REPLAY_PAGE``.
        options: see :class:`BaseStream`. Without a subscriber, the caller must call :meth:`begin`.
    """

    __slots__ = ("_behind", "_held", "_page", "_prelude", "_target", "cursor", "is_open",
                 "reader", "topics")  # fmt: skip

    def __init__(self, *, page: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        #: Whether :meth:`begin` was called.
        self.is_open = False
        #: What the client may read in the log. ``topics``: that, and the project's topics that it
        #: asked for and was granted.
        self.reader = Reader(topics=())
        self.topics: tuple[str, ...] = ()
        #: :meth:`read` has returned everything up to here, or the client had it before.
        self.cursor = 0
        self._prelude: bytes | None = None
        self._page = page or get_settings().REPLAY_PAGE
        #: The log is read up to here before the buffer is sent. ``_behind``: the hub's cursor
        #: becomes the target when the log is read next.
        self._target: int | None = None
        self._behind = self._held = False

    @property
    def is_live(self) -> bool:
        """Whether everything the hub dispatched was sent to the client or is in its buffer."""
        return not (self.hub is None or self._behind or self._held) and self._target is None

    def begin(self, granted: Granted, asked: tuple[str, ...] = ()) -> None:
        """Begin as decided. ``asked``: the project's topics that were asked for and granted."""
        assert granted.opening is not None
        self.is_open = True
        self.reader, self.topics = granted.reader, (*granted.reader.topics, *asked)
        self.cursor, self._prelude = granted.opening.cursor, granted.opening.prelude

    def go_live(self, hub: Any, *decided: Any) -> None:
        """Read the log up to the hub's cursor; the hub pushes all later events.

        ``decided``: the arguments of :meth:`begin`, unless that was called before.
        """
        if decided:
            self.begin(*decided)
        self.hub = hub
        admission.enlist(self)
        self.start_timer()
        if hub.cursor > self.cursor and not self._ended:
            self._target = hub.cursor

    # --- called by the task that writes to the socket ---

    async def join(self) -> None:
        """Join the hub, which decides whether and how the stream begins.

        Raises:
            HandshakeRefused: the stream may not begin.
        """
        await self._feed().join(self)

    async def read(self) -> bytes | None:
        """Wait for the next chunk and return it; ``None`` when the stream has ended.

        If this is cancelled while it waits, nothing is lost.
        """
        self.sending_since = None
        chunk: bytes | None = b""
        while chunk == b"":
            if self._prelude is not None:
                chunk, self._prelude = self._prelude, None
            elif self._ended:
                chunk = self._buffer.take() or None
            elif self.hub is None:
                await self.join()
            elif self._held:
                await self._buffer.news()
            elif self._behind or self._target is not None:
                chunk = await self._read_log()
            elif self._buffer.size or self._buffer.lost:
                self.cursor = max(self.cursor, self.hub.cursor)
                chunk = self._buffer.take()
            else:
                await self._buffer.news()
        self.written_at = monotonic()
        self.sending_since = self.written_at if chunk is not None else None
        if chunk and self.subscriber is not None and self.subscriber.wants_names:
            chunk = control.with_names(chunk)
        return chunk

    # --- called by the hub and the timer ---

    def push(self, entry: Entry) -> bool:
        """Queue a log event and return whether it was queued.

        Skip it if the client must not get it, has it already, or will get it from the log.
        """
        if entry.seq <= self.cursor or self._behind or self._ended:
            return False
        if entry.excluded and str(self.reader.user_id) in entry.excluded:
            return False
        # The client has everything dispatched so far, so a later replay can start here. Not while
        # the stream is held: the client may then be granted events that were dispatched meanwhile.
        if not (self._held or self._buffer.size) and self._target is None:
            self.cursor = max(self.cursor, self.hub.cursor)
        muted = self.reader.muted
        is_muted = muted and entry.category in muted
        if not self._buffer.put(control.muted(entry.frame) if is_muted else entry.frame):
            count("slow")
            self._fall_behind()
        return True

    def push_ephemeral(self, frame: bytes) -> None:
        """Queue an event that is in no log.

        A client that is behind does not get it, but receives the number of lost events.
        """
        if self._ended:
            return
        if self._behind:
            self._buffer.lost += 1
        else:
            self._buffer.put_ephemeral(frame)

    def heartbeat(self) -> None:
        """Queue a ``ping``, unless the log is being read: that sends something anyway."""
        if self.is_live and not self._ended:
            self._buffer.put_anyway(control.ping(max(self.cursor, self.hub.cursor)))

    def reset(self, reason: str, cursor: int) -> None:
        """Send ``reset``, as the client's cursor is invalid, and continue from ``cursor``.

        Do nothing after ``bye``.
        """
        if self._ended:
            return
        self._buffer.clear()
        self._behind, self._target, self.cursor = False, None, cursor
        self._prelude = control.reset(reason, cursor)
        self._buffer.wake()

    def hold(self) -> None:
        """Write nothing until :meth:`release`, and queue what is pushed meanwhile."""
        if self.is_live and not self._buffer.size:
            self.cursor = max(self.cursor, self.hub.cursor)
        self._held = True

    def release(self) -> None:
        """Continue after :meth:`hold`."""
        if self._held:
            self._held = False
            self._buffer.wake()

    def retopic(self, reader: Reader, asked: tuple[str, ...] | None) -> None:
        """Continue from the log with other topics, or other muted categories.

        The buffer is dropped: it may hold events of topics that the client has lost. If the log's
        topics or the muted categories change, so does the inbox; then the client receives ``reset``
        and fetches it again.

        Args:
            reader: what the client may read now.
            asked: the project's topics. ``None``: keep the current ones.
        """
        before = self.reader
        if asked is None:
            asked = self.topics[len(before.topics) :]
        is_same = (*reader.topics, *asked) == self.topics and reader.muted == before.muted
        if is_same or self._ended:
            return
        self.reader, self.topics = reader, (*reader.topics, *asked)
        has_other_topics = set(reader.topics) != set(before.topics)
        if has_other_topics or reader.muted != before.muted:
            self.reset("topics" if has_other_topics else "state", self.cursor)
        self._fall_behind()

    def note(self, name: str, signal: Signal, **named: Any) -> None:
        """Count ``name`` and send ``signal``. Log the errors of receivers; they harm no stream."""
        count(name, named.get("reason", ""))
        try:
            signal.send_robust(user_id=self.reader.user_id, topics=self.topics, **named)
            _receivers.worked()
        except Exception as error:  # Django refuses to call an async receiver here
            _receivers.failed(error)

    def end_soon(self, *args: Any) -> None:
        """Call :meth:`end` on the loop of the stream, which is open. Callable from any thread."""
        hub = self.hub
        with suppress(RuntimeError):  # the loop is closed
            if hub is not None:  # else the stream has ended meanwhile
                hub.loop.call_soon_threadsafe(self.end, *args)

    def drain(self, seconds: float) -> None:
        """End the stream; the clients reconnect spread over ``seconds``."""
        self.end("drain", random.randint(0, int(seconds * 1000)))

    # --- internals ---

    async def _read_log(self) -> bytes:
        """Return the next page up to the target; empty if it holds nothing for this client."""
        if self._behind:
            self._behind, self._target = False, self.hub.cursor
        target: Any = self._target
        try:
            entries, complete, floor = await self.hub.replay(
                read_page, self.cursor, target, reader=self.reader, limit=self._page
            )
        except db.Error as error:
            _database.failed(error)
            await asyncio.sleep(RETRY_SECONDS)
            return b"" if self._ended else control.ping(self.cursor)
        _database.worked()
        # Drop the page: the stream has ended, was reset or has other topics; or it is held, and the
        # page is read again later.
        if self._target != target or self._held or self._ended:
            return b""
        if self.cursor < floor:  # events that this client has not received were pruned
            count("reset", "expired")
            self.cursor, chunk = floor, control.reset("expired", floor)
        else:
            count("replayed", number=len(entries))
            self.cursor, chunk = complete, b"".join([entry.frame for entry in entries])
        if self.cursor >= target:
            self._target = None
        return chunk

    def _fall_behind(self) -> None:
        self._buffer.clear()
        self._behind = True
        self._buffer.wake()
