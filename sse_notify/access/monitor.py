"""Decide about the streams of one hub: those that join, those that something rings for, and all of them in rounds.

    joined ────┐
    revocation ┼─► due ─► decide(): up to 500 streams at once ─► ended │ the project's topics, if asked ─► hello, other topics, go on
    round ─────┘

The database is the truth, a message only says when to look. Whatever becomes due while a decision is under way is decided after it,
all together. A stream that joined is silent until its decision; one that something rings for writes nothing until then, so that an
event in between finds the right listeners. A message may be lost, and ``QuerySet.update()`` sends none: hence the rounds.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from sse_notify.access.authorisers import Authorisers
from sse_notify.access.decisions import Ended, Question, decide, refused_topic, unauthenticated
from sse_notify.access.rounds import rounds, topics_interval
from sse_notify.concurrency import threadpool
from sse_notify.telemetry import Incident
from sse_notify.topics import user_topic

if TYPE_CHECKING:
    from sse_notify.access.decisions import Decision, Granted
    from sse_notify.bus.messages import Revocation
    from sse_notify.concurrency.threadpool import Run

logger = logging.getLogger("sse_notify")

#: Streams that one decision takes.
PAGE = 500
#: Seconds that an open stream writes nothing at most while it is decided: a database that hangs does not stop the events.
HOLD_SECONDS = 2.0
#: Seconds between two tries while the database is away.
RETRY_SECONDS = 1.0
#: Milliseconds, from and to, after which clients come back that may be allowed to: a browser has its new cookie by then.
AGAIN_MS = (1000, 3000)


@dataclass(slots=True, eq=False)
class _Case:
    """What is known of one stream."""

    opened: asyncio.Future[None] | None = None
    """Who waits for the first decision, while it is open."""
    asked_at: float = -math.inf
    """When the project's topics were asked; something rang since: never."""
    fingerprint: str = ""
    """What its user looked like at the last decision; "" while one is under way."""
    hold: asyncio.TimerHandle | None = None
    """Ends the time in which it writes nothing."""
    topics: asyncio.Task[None] | None = None
    """Asks the project's topics."""


class Subscription(Protocol):
    """What the monitor needs of a stream."""

    subscriber: Any
    """The :class:`Subscriber` that the stream is for; ``None``: nothing is decided about it."""

    def end(self, reason: str, retry_after: int | None) -> None:
        """Say ``bye`` and end."""

    def hold(self) -> None:
        """Write nothing until :meth:`release`."""

    def release(self) -> None:
        """Go on after :meth:`hold`."""


class Monitor:
    """Decides about one hub's streams. All methods are to be called on its loop.

    Args:
        run: runs queries and the project's functions off the loop; ``None``: on pools of their own.
        by_topic: the hub's open streams by topic.
        accept: begins a stream, or has it listen to what it may listen to now, given the decision and the project's topics that are
            allowed; ``None``: as before.
        poll_interval: returns the seconds between two looks at the log.
    """

    def __init__(
        self,
        run: Run | None,
        by_topic: Mapping[str, Collection[Subscription]],
        accept: Callable[[Any, Granted, tuple[str, ...] | None], None],
        poll_interval: Callable[[], float],
    ) -> None:
        self._run = run or threadpool.access
        self._authorisers = Authorisers(run or threadpool.topics)
        self._by_topic = by_topic
        self._accept = accept
        self._poll_interval = poll_interval
        self._cases: OrderedDict[Subscription, _Case] = OrderedDict()
        #: Those that ``by_topic`` does not hold: new streams, and those of views' own events.
        self._unlisted: set[Subscription] = set()
        #: What is to be decided, in order.
        self._due: dict[Subscription, None] = {}
        self._deciding: asyncio.Task[None] | None = None
        self._rounds: asyncio.Task[None] | None = None
        self._database = Incident("database_access")

    def add(
        self, stream: Subscription, *, is_new: bool = False, listed: bool = True
    ) -> asyncio.Future[None]:
        """Decide about ``stream`` soon, and again whenever it is due, until it leaves.

        Args:
            stream: a stream with a subscriber.
            is_new: whether it begins with the decision.
            listed: whether ``by_topic`` holds it.

        Returns:
            What is done when a new stream has begun; it raises :class:`HandshakeRefused` if that must not be.
        """
        opened = asyncio.get_running_loop().create_future()
        self._cases[stream] = _Case(opened if is_new else None)
        if is_new or not listed:
            self._unlisted.add(stream)
        self._ask([stream])
        if self._rounds is None:
            self._rounds = asyncio.get_running_loop().create_task(self._go_round())
        return opened

    def remove(self, stream: Subscription) -> None:
        """Decide about ``stream`` no more."""
        self._unlisted.discard(stream)
        self._due.pop(stream, None)
        case = self._cases.pop(stream, None)
        if case is not None:
            self._release(stream, case)
        if case is not None and case.topics is not None:
            case.topics.cancel()

    def stop(self) -> None:
        """Do nothing any more."""
        for stream in list(self._cases):
            self.remove(stream)
        for task in filter(None, (self._deciding, self._rounds)):
            task.cancel()
        # A task that was cancelled keeps what it worked on.
        self._deciding = self._rounds = None

    def revoke(self, message: Revocation) -> None:
        """Decide again about the streams that ``message`` is about, or end them if it says so."""
        found = dict.fromkeys(self._cases if message.everybody else self._concerned(message))
        ended = Ended(reason=message.end, again=message.again)
        for stream in found:
            case = self._cases[stream]
            case.asked_at = -math.inf
            if message.end:
                self._end(stream, case, ended)
            elif not message.everybody:
                self._hold(stream, case)
        if not message.end:
            self._ask(found)

    def _concerned(self, message: Revocation) -> Iterator[Subscription]:
        cases, topics, sessions = self._cases, set(message.topics), set(message.sessions)
        for topic in topics:
            yield from (each for each in self._by_topic.get(topic, ()) if each in cases)
        for topic, looks in message.users.items():
            for stream in self._by_topic.get(topic, ()):
                if stream in cases and cases[stream].fingerprint != looks:
                    yield stream
        for stream in cases if sessions else ():
            session = stream.subscriber.session
            if session is not None and session.digest in sessions:
                yield stream
        # Which groups a user is in, a decision may be finding out.
        groups = any(topic.startswith("group:") for topic in topics)
        for stream in self._unlisted:
            own = user_topic(stream.subscriber.user_id)
            looks = message.users.get(own, cases[stream].fingerprint)
            if groups or own in topics or looks != cases[stream].fingerprint:
                yield stream

    # --- deciding ---

    def _ask(self, streams: Iterable[Subscription]) -> None:
        self._due.update(dict.fromkeys(streams))
        # One that is done finds nothing more, though it is said to be over one turn of the loop later.
        if self._due and (self._deciding is None or self._deciding.done()):
            self._deciding = asyncio.get_running_loop().create_task(self._decide())

    async def _decide(self) -> None:
        while self._due:
            page = self._take_page()
            try:
                decisions = await self._run(decide, list(page.values()))
            except Exception as error:
                # The database is away: open streams go on, and new ones wait.
                self._database.failed(error)
                for stream in page.keys() & self._cases.keys():
                    self._release(stream, self._cases[stream])
                    self._due[stream] = None
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._database.worked()
            for stream, decision in zip(page, decisions, strict=True):
                case = self._cases.get(stream)
                if case is None:  # it has left meanwhile
                    continue
                try:
                    self._apply(stream, case, decision)
                except Exception as error:  # one stream; the loop goes on for the others
                    logger.exception("A decision about a stream cannot be applied.")
                    _answer(case.opened, error)

    def _take_page(self) -> dict[Subscription, Question]:
        """Return what to decide next: new streams first."""
        new = [stream for stream in self._due if self._cases[stream].opened is not None]
        page: dict[Subscription, Question] = {}
        for stream in islice(dict.fromkeys((*new, *self._due)), PAGE):
            del self._due[stream]
            case = self._cases[stream]
            case.fingerprint = ""
            page[stream] = Question(stream.subscriber, case.opened is not None)
        return page

    def _apply(self, stream: Subscription, case: _Case, decision: Decision) -> None:
        """Do what a decision says, at once; the project's topics are asked after that, if it is time."""
        if isinstance(decision, Ended):
            self._end(stream, case, decision)
            return
        case.fingerprint = decision.fingerprint
        if not stream.subscriber.asked:
            self._finish(stream, case, decision, ())
        elif monotonic() - case.asked_at < topics_interval() * 0.9:
            self._finish(stream, case, decision, None)
        else:
            case.asked_at = monotonic()
            if case.opened is None:
                self._accept(stream, decision, None)
            if case.topics is not None:  # it was asked before the change
                case.topics.cancel()
            asking = self._ask_topics(stream, case, decision)
            case.topics = asyncio.get_running_loop().create_task(asking)

    async def _ask_topics(self, stream: Subscription, case: _Case, granted: Granted) -> None:
        asked, is_new = stream.subscriber.asked, case.opened is not None
        allowed = await self._authorisers.allowed(granted.user, asked, first=is_new)
        case.topics = None
        self._finish(stream, case, granted, allowed)

    def _finish(
        self, stream: Subscription, case: _Case, granted: Granted, allowed: tuple[str, ...] | None
    ) -> None:
        """Have the stream begin or go on, with those of the project's topics that are allowed."""
        opened, is_due = case.opened, stream in self._due
        if opened is not None:
            if is_due:  # rung for meanwhile
                return
            if refusal := refused_topic(stream.subscriber, allowed or ()):
                _answer(opened, refusal)
                return
            self._unlisted.discard(stream)
            case.opened = None
        elif allowed == () and stream.subscriber.user_id is None:
            self._end(stream, case, Ended(reason="revoked", again=False))
            return
        self._accept(stream, granted, allowed)
        _answer(opened)
        if case.topics is None and not is_due:
            self._release(stream, case)

    def _end(self, stream: Subscription, case: _Case, ended: Ended) -> None:
        if case.opened is not None and not ended.again:
            _answer(case.opened, unauthenticated())
            return
        stream.end(ended.reason, random.randint(*AGAIN_MS) if ended.again else None)
        _answer(case.opened)

    def _hold(self, stream: Subscription, case: _Case) -> None:
        if case.opened is None and case.hold is None:
            stream.hold()
            loop = asyncio.get_running_loop()
            case.hold = loop.call_later(HOLD_SECONDS, self._release, stream, case)

    def _release(self, stream: Subscription, case: _Case) -> None:
        if case.hold is not None:
            case.hold.cancel()
            case.hold = None
            stream.release()

    # --- rounds ---

    async def _go_round(self) -> None:
        """Decide about everybody in turn, a few at each step."""
        async for number in rounds(lambda: len(self._cases), self._poll_interval):
            for _ in range(0 if self._due else min(number, PAGE)):
                stream, case = next(iter(self._cases.items()))
                self._cases.move_to_end(stream)
                if case.opened is None:
                    self._ask([stream])


def _answer(opened: asyncio.Future[None] | None, error: Exception | None = None) -> None:
    """Tell who waits for the first decision that the stream has begun, or why it does not."""
    if opened is None or opened.done():
        return
    if error is None:
        opened.set_result(None)
    else:
        opened.set_exception(error)
