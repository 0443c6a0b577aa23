"""Whether the streams of one hub may still be: they are looked at again when something rings, and one after the other all the time.

As with the log, the database is the truth and a message only says when to look. Streams that were rung for write nothing until the
look is done: an event that comes in between finds the right listeners. A message may be lost, and ``QuerySet.update()`` sends none;
so every stream is looked at when it joins, as its handshake may be older than the change, and again at each round.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING

from sse_notify import fanout, permits
from sse_notify.conf import get_settings
from sse_notify.incidents import Incident
from sse_notify.permits import Ended
from sse_notify.stream import Stream
from sse_notify.topics import user_topic

if TYPE_CHECKING:
    from sse_notify.log import Reader
    from sse_notify.messages import Revocation
    from sse_notify.permits import Standing, Verdict
    from sse_notify.streaming.base import BaseStream
    from sse_notify.threads import Run

#: Streams that one look takes, and the topics of the project's own among them.
PAGE = 500
PAGE_TOPICS = 50
#: Seconds after joining in which others that join are waited for, to be looked at together.
WELCOME_SECONDS = 0.25
#: Seconds that a stream writes nothing at most while it is looked at: a database that hangs does not stop the events.
HOLD_SECONDS = 2.0
#: Seconds between two tries while the database is away.
RETRY_SECONDS = 1.0
#: Seconds of a round while a layer connects the processes; and between two looks that ask the project's topics without one.
ROUND_SECONDS = 60.0
#: Milliseconds, from and to, after which clients come back that may be allowed to: a browser has its new cookie by then.
AGAIN_MS = (1000, 3000)

Retopic = Callable[["Stream", "Reader", tuple[str, ...]], None]


class Warden:
    """Looks after the permissions of one hub's streams. All methods are to be called on its loop.

    Args:
        run: runs queries off the loop.
        by_topic: the hub's streams by topic.
        retopic: has a stream listen to other topics from now on.
        poll_interval: returns the seconds between two looks at the log.
    """

    def __init__(
        self,
        run: Run,
        by_topic: dict[str, set[Stream]],
        retopic: Retopic,
        poll_interval: Callable[[], float],
    ) -> None:
        self._run = run
        self._poll_interval = poll_interval
        self._by_topic = by_topic
        self._retopic = retopic
        #: Every stream with a permit, and when all of it was looked at.
        self._streams: dict[BaseStream, float] = {}
        self._by_session: dict[str, set[BaseStream]] = {}
        #: Streams of views' own events, which are listed under no topic, by their user's.
        self._by_user: dict[str, set[BaseStream]] = {}
        #: What is to be looked at, and whether thoroughly.
        self._due: dict[BaseStream, bool] = {}
        #: What writes nothing until it was looked at, and when that is given up.
        self._held: dict[BaseStream, asyncio.TimerHandle] = {}
        self._page: dict[BaseStream, bool] = {}
        #: What stays held when the look that is under way is done.
        self._kept: set[BaseStream] = set()
        self._new: list[BaseStream] = []
        self._round: deque[BaseStream] = deque()
        self._looking: asyncio.Task[None] | None = None
        self._walking: asyncio.Task[None] | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._database = Incident("database_permits")

    def add(self, stream: BaseStream) -> None:
        """Look after ``stream`` until it leaves, and at it soon: its handshake was a moment ago."""
        permit = stream.permit
        if permit is None:
            return
        self._streams[stream] = 0.0
        if permit.session is not None:
            self._by_session.setdefault(permit.session.digest, set()).add(stream)
        if not isinstance(stream, Stream):
            self._by_user.setdefault(user_topic(permit.user_id), set()).add(stream)
        if not self._new:
            self._later(WELCOME_SECONDS, self._welcome)
        self._new.append(stream)
        if self._walking is None:
            self._walking = asyncio.get_running_loop().create_task(self._walk())

    def remove(self, stream: BaseStream) -> None:
        """Look after ``stream`` no more."""
        if self._streams.pop(stream, None) is None:
            return
        self._due.pop(stream, None)
        self._release(stream)
        permit = stream.permit
        if permit.session is not None:
            _discard(self._by_session, permit.session.digest, stream)
        if not isinstance(stream, Stream):
            _discard(self._by_user, user_topic(permit.user_id), stream)

    def stop(self) -> None:
        """Do nothing any more."""
        for task in (self._looking, self._walking):
            if task is not None:
                task.cancel()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._looking = self._walking = None
        self._streams.clear()
        self._by_session.clear()
        self._by_user.clear()
        self._due.clear()
        self._held.clear()
        self._kept.clear()
        self._new.clear()
        self._round.clear()

    def hear(self, message: Revocation) -> None:
        """Look again at the streams that ``message`` is about, or end them if it says so."""
        if message.everybody:
            self._ask(self._streams, thorough=True)
            return
        found = [
            stream
            for topic in message.topics
            for listed in (self._by_topic, self._by_user)
            for stream in listed.get(topic, ())
            if stream in self._streams
        ]
        found += [
            stream for digest in message.sessions for stream in self._by_session.get(digest, ())
        ]
        if message.end:
            for stream in found:
                _end(stream, message.end, again=message.again)
            return
        for stream in found:
            if stream in self._held:  # not longer, or who is saved all the time would hear nothing
                continue
            self._hold(stream)
            if (
                stream in self._page
            ):  # the look that is under way may be older than the change: the next one decides
                self._kept.add(stream)
        self._ask(found, thorough=True)

    # --- looking ---

    def _ask(self, streams: Iterable[BaseStream], *, thorough: bool) -> None:
        for stream in streams:
            self._due[stream] = thorough or self._due.get(stream, False)
        # A look that is done finds nothing more, though it is said to be over one turn of the loop later.
        if self._due and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look())
            self._looking.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        if self._looking is task:
            self._looking = None
        if not task.cancelled():
            task.result()

    async def _look(self) -> None:
        while self._due:
            self._page = page = self._take_page()
            for thorough in (True, False):
                streams = [stream for stream, asked in page.items() if asked is thorough]
                if not streams:  # nothing is asked, so that nothing is learned of the database
                    continue
                found = [stream.permit for stream in streams if stream.permit is not None]
                try:
                    verdicts = (
                        await self._run(permits.check, found, thorough=thorough) if found else []
                    )
                except (
                    Exception
                ) as error:  # the database is away: streams stay, and their lifetime is the bound
                    self._database.failed(error)
                    for stream in streams:
                        self._release(stream)
                    await asyncio.sleep(RETRY_SECONDS)
                    self._due |= {
                        stream: thorough or self._due.get(stream, False)
                        for stream in streams
                        if stream in self._streams
                    }
                    continue
                self._database.worked()
                for stream, verdict in zip(streams, verdicts, strict=True):
                    self._apply(stream, verdict, thorough=thorough)
            self._page = {}

    def _take_page(self) -> dict[BaseStream, bool]:
        page: dict[BaseStream, bool] = {}
        topics = 0
        while self._due and len(page) < PAGE and topics < PAGE_TOPICS:
            stream = next(iter(self._due))
            page[stream] = self._due.pop(stream)
            if page[stream] and stream.permit is not None:
                topics += len(stream.permit.asked)
        return page

    def _apply(self, stream: BaseStream, verdict: Verdict, *, thorough: bool) -> None:
        if stream not in self._streams:  # it left meanwhile
            return
        if isinstance(verdict, Ended):
            _end(stream, verdict.reason, again=verdict.again)
            return
        if thorough:
            self._streams[stream] = monotonic()
        if isinstance(stream, Stream):
            self._compare(stream, verdict)
        if stream in self._kept:
            self._kept.discard(stream)
        else:
            self._release(stream)

    def _compare(self, stream: Stream, verdict: Standing) -> None:
        """Have ``stream`` listen to other topics, if ``verdict`` names others."""
        reader = verdict.reader or stream.reader
        asked = (
            stream.topics[len(stream.reader.topics) :] if verdict.asked is None else verdict.asked
        )
        if {*reader.topics, *asked} != set(stream.topics) or reader.muted != stream.reader.muted:
            self._retopic(stream, reader, asked)

    def _hold(self, stream: BaseStream) -> None:
        stream.hold()
        if stream not in self._held:
            self._held[stream] = self._later(HOLD_SECONDS, functools.partial(self._release, stream))

    def _release(self, stream: BaseStream) -> None:
        self._kept.discard(stream)
        timer = self._held.pop(stream, None)
        if timer is not None:  # or it would cut the next hold short
            timer.cancel()
            self._timers.discard(timer)
            stream.release()

    # --- unasked ---

    def _welcome(self) -> None:
        new, self._new = self._new, []
        self._ask((stream for stream in new if stream in self._streams), thorough=True)

    async def _walk(self) -> None:
        """Look at everybody in turn: at all within a round, or at a page at each step while there is no layer."""
        credit = random.random()
        while True:
            seconds, step = self._pace()
            await asyncio.sleep(step * random.uniform(0.9, 1.1))
            credit = min(credit + len(self._streams) * step / seconds, len(self._streams), PAGE)
            if self._due:  # the last step is not done yet
                continue
            while credit >= 1 and self._streams:
                credit -= 1
                self._visit()

    def _visit(self) -> None:
        if not self._round:
            self._round.extend(self._streams)
        stream = self._round.popleft()
        while stream not in self._streams:
            if not self._round:
                self._round.extend(self._streams)
            stream = self._round.popleft()
        every = get_settings().RECHECK_INTERVAL or ROUND_SECONDS
        self._ask([stream], thorough=monotonic() - self._streams[stream] >= every * 0.9)

    def _pace(self) -> tuple[float, float]:
        """Return the seconds of a round, and between two steps of it."""
        seconds = get_settings().RECHECK_INTERVAL
        if seconds is None:
            seconds = ROUND_SECONDS if fanout.remote_layer() is not None else self._poll_interval()
        return seconds, min(seconds, max(seconds / 12, 1.0))

    def _later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        def act() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(seconds, act)
        self._timers.add(timer)
        return timer


def _discard(index: dict[str, set[BaseStream]], name: str, stream: BaseStream) -> None:
    index[name].discard(stream)
    if not index[name]:
        del index[name]


def _end(stream: BaseStream, reason: str, *, again: bool) -> None:
    stream.end(reason, random.randint(*AGAIN_MS) if again else None)
