"""One client's stream: replay, then live, without a hole or an overlap, in bounded memory.

    join the hub, which says how far it has dispatched (target)    from here on new events queue in the buffer
    read the log from the client's cursor to the target            everything up to the target comes from the log
    go live                                                        everything after it comes from the hub

The hub dispatches in order, and joining happens in one step with reading the hub's cursor, so an event is on exactly one side.

A client slower than its stream loses its buffer, not its events: the buffer is dropped and the same three steps start again from
where the client is. Nothing here knows requests or responses.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from time import monotonic
from typing import Any

from django import db
from django.dispatch import Signal

from sse_notify import telemetry
from sse_notify.access.decisions import Granted
from sse_notify.bus.messages import Entry
from sse_notify.conf import get_settings
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import Position, announce, get_position
from sse_notify.sse import control
from sse_notify.streaming.base import BaseStream
from sse_notify.telemetry import Incident, count

#: Seconds between two tries while the database is away.
RETRY_SECONDS = 1.0

_database = Incident("database_replay")
_receivers = Incident("signal_receivers")


def read_page(
    after: int, up_to: int, *, reader: Reader, limit: int
) -> tuple[list[Entry], int, int]:
    """Return what ``reader`` missed in between, at most ``limit`` notifications; up to where that is complete; and the log's floor."""
    # In the thread that queries, so that the spans of a database driver are inside this one.
    with telemetry.span("replay", after=after, up_to=up_to) as span:
        entries, complete = read_entries(after, up_to, reader=reader, limit=limit)
        span.set_attribute("sse_notify.events", len(entries))
        # Read last: what is missing in the page, as it was pruned meanwhile, is below this floor.
        return entries, complete, get_position().floor


def sweep() -> Position:
    """Number what a publisher that died left pending, and return how far the log is."""
    announce()
    return get_position()


class Stream(BaseStream):
    """The events of one client.

    Args:
        page: notifications that one query of a replay reads; ``None``: as the settings say.
        options: as for :class:`BaseStream`. Without a subscriber, somebody calls :meth:`begin`.
    """

    __slots__ = ("_behind", "_held", "_page", "_prelude", "_target", "cursor", "is_open", "reader", "topics")  # fmt: skip

    def __init__(self, *, page: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        #: Whether it was decided that the stream may begin, and how.
        self.is_open = False
        #: What the client may read of the log, and with it the topics that it asked for and was granted.
        self.reader = Reader(topics=())
        self.topics: tuple[str, ...] = ()
        #: Everything up to here was returned by :meth:`read`, or was there before.
        self.cursor = 0
        self._prelude: bytes | None = None
        self._page = page or get_settings().REPLAY_PAGE
        #: Up to where the log is read before what the hub pushes. ``_behind``: up to wherever the hub is by then.
        self._target: int | None = None
        self._behind = self._held = False

    @property
    def is_live(self) -> bool:
        """Whether the client has, or finds in its buffer, what the hub has dispatched."""
        return self.hub is not None and not self._behind and self._target is None

    def begin(self, granted: Granted, asked: tuple[str, ...] = ()) -> None:
        """Have the stream begin as was decided, with those of the project's topics that it asked for and may have."""
        assert granted.opening is not None
        self.is_open = True
        self.reader, self.topics = granted.reader, (*granted.reader.topics, *asked)
        self.cursor, self._prelude = granted.opening.cursor, granted.opening.prelude

    def go_live(self, hub: Any, *decided: Any) -> None:
        """Read up to what ``hub`` has dispatched from the log; what it dispatches from now on is pushed.

        ``decided`` is what :meth:`begin` takes, unless that was called before.
        """
        if decided:
            self.begin(*decided)
        self.hub = hub
        self.start_timer()
        if hub.cursor > self.cursor and not self._ended:
            self._target = hub.cursor

    # --- the task's side: it reads and writes to the socket ---

    def join(self) -> Coroutine[Any, Any, None]:
        """Join the hub, which decides whether and how the stream begins.

        Raises:
            HandshakeRefused: it does not.
        """
        joined: Coroutine[Any, Any, None] = self._feed().join(self)
        return joined

    async def read(self) -> bytes | None:
        """Return the next chunk, when there is one; ``None`` when the stream is over. Cancelled while it waits, it loses nothing."""
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
        return chunk

    # --- the hub's side ---

    def push(self, entry: Entry) -> bool:
        """Queue an event of the log and return whether it was; skip it if the client has it, or will get it from the log."""
        if entry.seq <= self.cursor or self._behind or self._ended:
            return False
        if entry.excluded and str(self.reader.user_id) in entry.excluded:
            return False
        # Nothing of what the hub has dispatched is missing, should the log have to be read from here. While the stream is held, what came
        # since may be this client's by then.
        if not (self._held or self._buffer.size) and self._target is None:
            self.cursor = max(self.cursor, self.hub.cursor)
        is_muted = entry.category in self.reader.muted
        if not self._buffer.put(control.muted(entry.frame) if is_muted else entry.frame):
            count("slow")
            self._fall_behind()
        return True

    def push_ephemeral(self, frame: bytes) -> None:
        """Queue an event that is in no log; a client that is behind does not get it, and is told how many there were."""
        if self._ended:
            return
        if self._behind:
            self._buffer.lost += 1
        else:
            self._buffer.put_ephemeral(frame)

    def heartbeat(self) -> None:
        """Queue a ``ping``, unless the log is being read: what comes of that breaks the silence as well."""
        if self.is_live and not self._ended:
            self._buffer.put_anyway(control.ping(max(self.cursor, self.hub.cursor)))

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
        if self.is_live and not self._buffer.size:
            self.cursor = max(self.cursor, self.hub.cursor)
        self._held = True

    def release(self) -> None:
        """Go on after :meth:`hold`."""
        if self._held:
            self._held = False
            self._buffer.wake()

    def retopic(self, reader: Reader, asked: tuple[str, ...] | None) -> None:
        """Go on from the log with other topics, or other categories muted; what waits may be of a topic that the client has no more.

        ``asked`` are the project's topics, ``None`` for those that it has. If the topics of the log differ, or what is muted, so does the inbox, and the client is told to fetch it anew.
        """
        before = self.reader
        if asked is None:
            asked = self.topics[len(before.topics) :]
        is_same = {*reader.topics, *asked} == set(self.topics) and reader.muted == before.muted
        if is_same or self._ended:
            return
        self.reader, self.topics = reader, (*reader.topics, *asked)
        has_other_topics = set(reader.topics) != set(before.topics)
        if has_other_topics or reader.muted != before.muted:
            self.reset("topics" if has_other_topics else "state", self.cursor)
        self._fall_behind()

    def note(self, name: str, signal: Signal, **named: Any) -> None:
        """Count ``name`` and send ``signal``. An error of a receiver is logged and harms no stream."""
        count(name, named.get("reason", ""))
        try:
            signal.send_robust(user_id=self.reader.user_id, topics=self.topics, **named)
        except Exception as error:  # Django refuses to call an asynchronous receiver here
            _receivers.failed(error)
        else:
            _receivers.worked()

    def drain(self, seconds: float) -> None:
        """End within so many seconds; the clients come back spread over as many."""
        self.end("drain", random.randint(0, int(seconds * 1000)))

    # --- inside ---

    async def _read_log(self) -> bytes:
        """Return the next page up to the target, empty if the page holds nothing for this client."""
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
        # Ended or reset meanwhile, with other topics maybe; or the client's permission is in question, and the page is read again then.
        if self._target != target or self._held or self._ended:
            return b""
        if self.cursor < floor:  # something that this client has not got is gone for good
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
