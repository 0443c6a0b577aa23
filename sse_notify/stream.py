"""One client's stream: replay, then live, without a hole or an overlap, in bounded memory.

    join the hub, which says how far it has dispatched (target)    from here on new events queue in ``_waiting``
    read the log from the client's cursor to the target            everything up to the target comes from the log
    go live                                                        everything after it comes from the hub

The hub dispatches in order, and joining happens in one step with reading the hub's cursor, so an event is on exactly one side.

A client slower than its stream loses its buffer, not its events: the buffer is dropped and the same three steps start again from
where the client is. Nothing here knows requests or responses; the clock, the log and the way to run queries are passed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sse_notify import counters, frames
from sse_notify.buffer import Buffer
from sse_notify.driven import Driven
from sse_notify.replay import Replay, join
from sse_notify.wakeup import Wakeup

if TYPE_CHECKING:
    from sse_notify.log import Reader
    from sse_notify.permits import Permit
    from sse_notify.protocols import Feed, Source
    from sse_notify.threads import Run


class Stream(Driven):
    """The events of one client, as chunks of bytes that :meth:`read` returns.

    Args:
        reader: what the client may read of the log.
        topics: the topics beyond the reader's that the client asked for and was granted.
        cursor: the last number that the client has; the replay starts after it.
        prelude: the bytes to start with: ``retry:``, ``hello`` and maybe ``reset``.
        feed: gives the hub of the running loop.
        source: reads the log.
        run: runs ``source`` off the loop.
        clock: seconds that only grow.
        page: notifications that one query of a replay reads.
        buffer_bytes: bytes that may wait before the buffer is dropped.
        lifetime: seconds after which the stream ends by itself.
        permit: what the client's permission rests on; without one nothing of it is looked at again.
        on_close: called once, when the stream is over, however it ended.
    """

    __slots__ = (
        "__weakref__", "_behind", "_ended", "_feed", "_held", "_hub", "_on_close", "_prelude", "_replay", "_rest", "_target", "_waiting",
        "_wakeup", "clock", "cursor", "deadline", "lifetime", "permit", "reader", "reason", "sending_since", "topics", "written_at",
    )  # fmt: skip

    def __init__(
        self,
        *,
        reader: Reader,
        topics: tuple[str, ...] = (),
        cursor: int,
        prelude: bytes,
        feed: Callable[[], Feed],
        source: Source,
        run: Run,
        clock: Callable[[], float],
        page: int,
        buffer_bytes: int,
        lifetime: float,
        permit: Permit | None = None,
        on_close: Callable[[Stream], None] | None = None,
    ) -> None:
        super().__init__()
        self.reader = reader
        self.topics = (*reader.topics, *topics)
        self.permit = permit
        #: Everything up to here was returned by :meth:`read`, or was there before.
        self.cursor = cursor
        self.clock = clock
        self.lifetime, self.deadline = lifetime, clock() + lifetime
        #: When the last chunk was returned, and since when the driver has not asked for the next.
        self.written_at = clock()
        self.sending_since: float | None = None
        #: Why the stream ended, for the counters: the reason of its ``bye``, or "client".
        self.reason = "client"
        self._prelude: bytes | None = prelude
        self._feed = feed
        self._hub: Feed | None = None
        self._replay = Replay(source, run, page)
        self._on_close = on_close
        self._rest: Awaitable[None] | None = None
        self._waiting = Buffer(buffer_bytes)
        self._target: int | None = None
        self._behind = self._ended = self._held = False
        self._wakeup = Wakeup()

    def __del__(self) -> None:
        # Never served: the client left, and the server cancelled the request, while the view was still at work in its thread.
        if not self.closed and self._on_close is not None:
            self._on_close(self)

    # --- the driver's side: whoever writes to the socket ---

    async def read(self) -> bytes | None:
        """Return the next chunk, when there is one; ``None`` when the stream is over.

        A chunk consists of complete blocks. Cancelled while it waits, nothing is lost that a later call would not return, but the
        driver is expected to :meth:`close`.
        """
        self.sending_since = None
        chunk = await self._next()
        self.written_at = self.clock()
        self.sending_since = self.written_at if chunk is not None else None
        return chunk

    def flush(self) -> None:
        """Write what is queued, if :meth:`read` still waits for it; called by the hub."""
        if not self._waiting or not self._wakeup.awaited or self._write is None or self._held:
            return
        self._rest = self._write(self._take())
        self.written_at = self.clock()
        if self._rest is not None:  # the client is slow: its own task waits for it
            self.sending_since = self.written_at
            self._wakeup.ring()

    def close(self) -> None:
        """Leave the hub and let go of everything. Callable any number of times, on the loop."""
        if self.closed:
            return
        self._ended = True
        self.let_go()
        if self._hub is not None:
            self._hub.leave(self)
        self._waiting.clear()
        self._prelude = self._hub = self._rest = None
        self._wakeup.ring()
        if self._on_close is not None:
            self._on_close(self)

    # --- the hub's side ---

    def push(self, seq: int, frame: bytes) -> bool:
        """Queue an event of the log and return whether it was; skip it if the client has it, or will get it from the log."""
        if seq <= self.cursor or self._behind or self._ended:
            return False
        self._queue(frame)
        return True

    def push_ephemeral(self, frame: bytes) -> None:
        """Queue an event that is in no log; a client that is behind does not get it, and is told how many there were."""
        if self._behind:
            self._waiting.lost += 1
        elif not self._ended:
            self._waiting.put_ephemeral(frame)
            self._announce()

    def ping(self, frame: bytes, cursor: int) -> None:
        """Queue a heartbeat: ``frame`` says ``cursor``, which fits unless this client's replay is not there yet."""
        if not self._ended and self._target is None and not self._behind:
            self._queue(frame if cursor >= self.cursor else frames.ping(self.cursor))

    def reset(self, reason: str, cursor: int) -> None:
        """Tell the client that its cursor is void, and go on from ``cursor``; one that is told ``bye`` needs no more."""
        if self._ended:
            return
        self._waiting.clear()
        self._behind, self._target, self.cursor = False, None, cursor
        self._prelude = frames.reset(reason, cursor)
        self._wakeup.ring()

    def hold(self) -> None:
        """Write nothing until :meth:`release`; what is pushed meanwhile waits."""
        if self._hub is not None and not (
            self._waiting or self._behind or self._target is not None
        ):
            self.cursor = max(self.cursor, self._hub.cursor)
        self._held = True

    def release(self) -> None:
        """Go on after :meth:`hold`."""
        if self._held:
            self._held = False
            self._wakeup.ring()

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
        self._waiting.clear()
        self._behind = True
        self._wakeup.ring()

    def end(self, reason: str, retry_after: int | None) -> None:
        """Say ``bye`` and end: after what is queued, unless the client may not have that any more.

        Args:
            reason: "lifetime", "drain", "logout", "revoked" or "slow".
            retry_after: milliseconds after which the client is to come back; ``None``: not by itself.
        """
        if self._ended:
            return
        revoked = reason in ("logout", "revoked")
        if (
            self._behind or self._target is not None or revoked
        ):  # what is missing comes with the client's next stream
            self._waiting.clear()
            self._behind, self._target = False, None
        self._ended = True
        self.reason = reason
        self._waiting.put_last(frames.bye(reason, retry_after))
        self._wakeup.ring()

    def abort(self, reason: str) -> None:
        """Give up a write that blocks: nothing more can be said to this client."""
        self.reason = reason
        self.give_up()

    # --- inside ---

    async def _next(self) -> bytes | None:
        while True:
            await self._finish_write()
            if self._prelude is not None:
                prelude, self._prelude = self._prelude, None
                return prelude
            if self._hub is None and not self._ended and not await self._join():
                return frames.ping(self.cursor)
            if self._held and not self._ended:
                await self._wakeup.wait()
                continue
            if self._behind and not self._ended:
                assert self._hub is not None
                self._behind, self._target = False, self._hub.cursor
            if self._target is not None:
                chunk = await self._read_log(self._target)
                if chunk:
                    return chunk
            elif self._waiting:
                return self._take()
            elif self._ended:
                return None
            else:
                await self._wakeup.wait()

    async def _finish_write(self) -> None:
        if self._rest is not None:
            rest, self._rest = self._rest, None
            await rest
            self.sending_since = None

    async def _join(self) -> bool:
        """Join the hub; return whether it could start."""
        hub = self._feed()
        target = await join(hub, self)
        if target is None:
            return False
        if self.closed:  # the client left while the hub was starting
            hub.leave(self)
            return True
        self._hub = hub
        if target > self.cursor and not self._ended:
            self._target = target
        return True

    async def _read_log(self, target: int) -> bytes:
        """Return the next page up to ``target``, empty if the page holds nothing for this client."""
        page = await self._replay.read(self.cursor, target, reader=self.reader)
        if page is None:
            return b"" if self._ended else frames.ping(self.cursor)
        # Ended or reset meanwhile, with other topics maybe; or the client's permission is in question, and the page is read again then.
        if self._target != target or self._held:
            return b""
        self.cursor = page.cursor
        if page.cursor >= target:
            self._target = None
        counters.add("replayed", number=page.entries)
        return page.chunk

    def _take(self) -> bytes:
        if self._hub is not None and self._hub.cursor > self.cursor:
            self.cursor = self._hub.cursor
        if self._waiting.lost:
            counters.add("lost", number=self._waiting.lost)
        return self._waiting.take()

    def _queue(self, frame: bytes) -> None:
        if self._waiting.put(frame):
            self._announce()
        else:
            self._behind = True
            counters.add("slow")
            self._wakeup.ring()

    def _announce(self) -> None:
        if self._write is None or self._hub is None or not self._wakeup.awaited:
            self._wakeup.ring()
        elif len(self._waiting) == 1:
            self._hub.flush_soon(self)
