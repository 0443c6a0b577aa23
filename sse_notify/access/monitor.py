"""Decide about the streams of one hub: when they join, when a message names them, and all of them in rounds.

    joined ────┐
    revocation ┼─► due ─► decide(): up to 500 streams at once ─► ended │ the project's topics, if asked ─► hello, other topics, go on
    round ─────┘

The database decides, a message only says when. What becomes due during a decision is decided after it, all together. A stream that
joined is silent until its decision, and so is one that a message names, so that an event in between finds the right listeners. A
message may be lost, and ``QuerySet.update()`` sends none: hence the rounds.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Any, Protocol

from sse_notify.access import decisions
from sse_notify.access.authorisers import Authorisers
from sse_notify.access.decisions import Decision, Ended, Granted, Question, decide
from sse_notify.bus import publisher
from sse_notify.bus.messages import Revocation
from sse_notify.concurrency import threadpool
from sse_notify.conf import get_settings
from sse_notify.telemetry import Incident
from sse_notify.topics import user_topic

logger = logging.getLogger("sse_notify")

PAGE = 500  #: Streams that one decision takes.
#: Seconds after which a stream goes on without the project's topics if their functions have not answered.
HOLD_SECONDS = 2.0
#: Seconds between two tries while the database is away.
RETRY_SECONDS = 1.0
#: Seconds of a round while a layer connects the processes; and between two decisions that ask the project's topics without one.
ROUND_SECONDS = 60.0
#: Milliseconds, from and to, after which clients come back: a browser has its new cookie by then.
AGAIN_MS = (1000, 3000)


@dataclass(slots=True, eq=False)
class _Case:
    """What is known of one stream."""

    opened: asyncio.Future[None] | None = None
    """Done with the first decision, while that is open."""
    asked_at: float = -math.inf
    """When the project's topics were asked; never, if a message came since."""
    fingerprint: str = ""
    """What its user looked like at the last decision; "" while one is under way."""
    is_held: bool = False
    """Whether it writes nothing, as a message named it."""
    topics: asyncio.Task[None] | None = None
    """Asks the project's topics."""


class Subscription(Protocol):
    """What the monitor needs of a stream."""

    subscriber: Any  #: The :class:`Subscriber` that the stream is for.

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
    """

    def __init__(
        self,
        run: threadpool.Run | None,
        by_topic: Mapping[str, Collection[Subscription]],
        accept: Callable[[Any, Granted, tuple[str, ...] | None], None],
    ) -> None:
        self._run = run or threadpool.access
        self._authorisers = Authorisers(run or threadpool.topics)
        self._by_topic = by_topic
        self._accept = accept
        #: Those that were decided last stand at the end.
        self._cases: dict[Subscription, _Case] = {}
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
        """Decide about ``stream`` soon, and again whenever it is due; ``listed``: whether ``by_topic`` holds it.

        Returns:
            What is done when a new stream has begun; it raises :class:`HandshakeRefused` if that must not be.
        """
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._cases[stream] = _Case(opened if is_new else None)
        if is_new or not listed:
            self._unlisted.add(stream)
        self._ask([stream])
        if self._rounds is None:
            self._rounds = asyncio.create_task(self._go_round())
        return opened

    def remove(self, stream: Subscription) -> None:
        """Decide about ``stream`` no more."""
        self._unlisted.discard(stream)
        self._due.pop(stream, None)
        case = self._cases.pop(stream, None)
        if case is not None and case.topics is not None:
            case.topics.cancel()

    def stop(self) -> None:
        """Do nothing any more."""
        for stream in list(self._cases):
            self.remove(stream)
        for task in filter(None, (self._deciding, self._rounds)):
            task.cancel()
        self._deciding = self._rounds = None  # a task keeps what it worked on

    def revoke(self, message: Revocation) -> None:
        """Decide again about the streams that ``message`` names, or end them if it says so."""
        found = dict.fromkeys(self._cases if message.everybody else self._concerned(message))
        for stream in found:
            case = self._cases[stream]
            case.asked_at = -math.inf
            if message.end:
                self._end(stream, case, Ended(reason=message.end, again=message.again))
            elif not (message.everybody or case.opened or case.is_held):
                case.is_held = True
                stream.hold()
        if not message.end:
            self._ask(found)

    def _concerned(self, message: Revocation) -> Iterator[Subscription]:
        cases, topics, sessions = self._cases, set(message.topics), set(message.sessions)
        for topic in topics | message.users.keys():
            looks = message.users.get(topic) if topic not in topics else None
            for stream in self._by_topic.get(topic, ()):
                if stream in cases and cases[stream].fingerprint != looks:
                    yield stream
        for stream in cases if sessions else ():
            session = stream.subscriber.session
            if session is not None and session.digest in sessions:
                yield stream
        # A decision that is under way may be reading their groups.
        groups = any(topic.startswith("group:") for topic in topics)
        for stream in self._unlisted:
            own = user_topic(stream.subscriber.user_id)
            looks = message.users.get(own, cases[stream].fingerprint)
            if groups or own in topics or looks != cases[stream].fingerprint:
                yield stream

    def _ask(self, streams: Iterable[Subscription]) -> None:
        self._due.update(dict.fromkeys(streams))
        # One that is done finds nothing more, though it is said to be over one turn of the loop later.
        if self._due and (self._deciding is None or self._deciding.done()):
            self._deciding = asyncio.create_task(self._decide())

    async def _decide(self) -> None:
        while self._due:
            new = [stream for stream in self._due if self._cases[stream].opened is not None]
            page: dict[Subscription, Question] = {}
            for stream in islice(dict.fromkeys((*new, *self._due)), PAGE):  # new streams first
                del self._due[stream]
                case = self._cases[stream]
                case.fingerprint = ""
                page[stream] = Question(stream.subscriber, case.opened is not None)
            try:
                found = await self._run(decide, list(page.values()))
            except Exception as error:
                # The database is away: new streams wait, and those that a message named stay silent.
                self._database.failed(error)
                self._due.update(dict.fromkeys(page.keys() & self._cases.keys()))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._database.worked()
            for stream, decision in zip(page, found, strict=True):
                if stream not in self._cases:  # it has left meanwhile
                    continue
                case = self._cases[stream]
                try:
                    self._apply(stream, case, decision)
                except Exception as error:  # one stream; the loop goes on for the others
                    logger.exception("A decision about a stream cannot be applied.")
                    _answer(case.opened, error)

    def _apply(self, stream: Subscription, case: _Case, decision: Decision) -> None:
        """Do what a decision says, at once; the project's topics are asked after that, if it is time."""
        if isinstance(decision, Ended):
            self._end(stream, case, decision)
            return
        case.fingerprint = decision.fingerprint
        if not stream.subscriber.asked:
            self._finish(stream, case, decision, ())
        elif monotonic() - case.asked_at < (get_settings().RECHECK_INTERVAL or ROUND_SECONDS) * 0.9:
            self._finish(stream, case, decision, None)
        else:
            case.asked_at = monotonic()
            if case.opened is None:
                self._accept(stream, decision, None)
            if case.topics is not None:  # it was asked before the change
                case.topics.cancel()
            case.topics = asyncio.create_task(self._ask_topics(stream, case, decision))

    async def _ask_topics(self, stream: Subscription, case: _Case, granted: Granted) -> None:
        asked, is_new = stream.subscriber.asked, case.opened is not None
        late = asyncio.get_running_loop().call_later(
            HOLD_SECONDS, self._go_on_without_topics, stream, case, granted
        )
        try:
            allowed = await self._authorisers.allowed(granted.user, asked, first=is_new)
        finally:
            late.cancel()
        case.topics = None
        self._finish(stream, case, granted, allowed)

    def _go_on_without_topics(self, stream: Subscription, case: _Case, granted: Granted) -> None:
        if case.is_held:
            self._accept(stream, granted, ())
            case.is_held = False
            stream.release()

    def _finish(
        self, stream: Subscription, case: _Case, granted: Granted, allowed: tuple[str, ...] | None
    ) -> None:
        """Have the stream begin or go on, with those of the project's topics that are allowed."""
        opened, is_due = case.opened, stream in self._due
        if opened is not None:
            if is_due:  # a message came meanwhile
                return
            if refusal := decisions.refused_topic(stream.subscriber, allowed or ()):
                _answer(opened, refusal)
                return
            self._unlisted.discard(stream)
            case.opened = None
        elif allowed == () and stream.subscriber.user_id is None:
            self._end(stream, case, Ended(reason="revoked", again=False))
            return
        self._accept(stream, granted, allowed)
        _answer(opened)
        if case.is_held and case.topics is None and not is_due:
            case.is_held = False
            stream.release()

    def _end(self, stream: Subscription, case: _Case, ended: Ended) -> None:
        if case.opened is not None and not ended.again:
            _answer(case.opened, decisions.unauthenticated())
            return
        stream.end(ended.reason, random.randint(*AGAIN_MS) if ended.again else None)
        _answer(case.opened)

    async def _go_round(self) -> None:
        """Decide about everybody in turn, a few at each step, so that each is within ``RECHECK_INTERVAL``."""
        due = random.random()
        while True:
            conf, is_connected = get_settings(), publisher.remote_layer() is not None
            seconds = ROUND_SECONDS if is_connected else conf.POLL_INTERVAL or 1.0
            seconds = conf.RECHECK_INTERVAL or seconds
            step = min(seconds, max(seconds / 12, 1.0))
            await asyncio.sleep(step * random.uniform(0.9, 1.1))
            due = min(due + len(self._cases) * step / seconds, len(self._cases))
            if not self._due:
                turn = dict(islice(self._cases.items(), min(int(due), PAGE)))
                for stream in turn:
                    self._cases[stream] = self._cases.pop(stream)
                self._ask(stream for stream, case in turn.items() if case.opened is None)
            due %= 1


def _answer(opened: asyncio.Future[None] | None, error: Exception | None = None) -> None:
    """Say to who waits for the first decision that the stream has begun, or why not."""
    if opened is not None and not opened.done():
        if error is None:
            opened.set_result(None)
        else:
            opened.set_exception(error)
