"""Decide about one hub's streams: when they join, when a message names them, and in rounds.

    joined ────┐                                           ┌─► bye
    revocation ┼─► due ─► decide(): up to 500 streams ─────┴─► @topic functions ─► hello, go on
    round ─────┘

The database decides; a message only says when. Streams that become due during a decision, or a
moment after it, share the next one. New streams, and those that a message names, send nothing until
decided, so that an event in between reaches the right users. Rounds find unreported changes.
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
from sse_notify.exceptions import HandshakeRefused
from sse_notify.telemetry import Incident
from sse_notify.topics import user_topic

logger = logging.getLogger("sse_notify")

PAGE = 500  #: Streams in one decision.
HOLD_SECONDS = 2.0  #: Seconds after which a held stream continues without unanswered topics.
GATHER_SECONDS = 0.02  #: Seconds between two decisions, so that more streams share one.
RETRY_SECONDS = 1.0  #: Seconds between two attempts while the database is down.
ROUND_SECONDS = 60.0  #: Of a round with a channel layer; between two calls of a topic function.
PER_SECOND = 50  #: Streams that a round without a layer checks, or all in ROUND_SECONDS.
AGAIN_MS = (1000, 3000)  #: Milliseconds until clients reconnect: a browser has its new cookie then.


@dataclass(slots=True, eq=False)
class _Case:
    """The state of one stream."""

    opened: asyncio.Future[None] | None = None  #: Of the first decision; ``None`` after it.
    asked_at: float = -math.inf  #: When the topic functions were called; ``-inf``: call them.
    fingerprint: str = ""  #: The user's at the last decision; "" while one is running.
    found: Any = None  #: The user's fingerprint and the log's topics, as decided last.
    was_shown: bool = False  #: Whether the user model's default manager showed the user then.
    is_held: bool = False  #: Whether it writes nothing before the next decision.
    topics: asyncio.Task[None] | None = None  #: The task that calls the topic functions.

    def hold(self, stream: Subscription) -> None:
        self.is_held = True
        stream.hold()

    def cancel_topics(self) -> None:
        if self.topics is not None:
            self.topics.cancel()
            self.topics = None


class Subscription(Protocol):
    """The part of a stream that the monitor uses: between hold and release, it writes nothing."""

    subscriber: Any  #: The :class:`Subscriber` that the stream is for.

    def end(self, reason: str, retry_after: int | None) -> None: ...  # noqa: D102
    def hold(self) -> None: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102


class Monitor:
    """Decides about one hub's streams. Call all methods on its event loop.

    Args:
        run: runs queries and topic functions off the loop; ``None``: on pools of their own.
        by_topic: the hub's open streams by topic.
        accept: starts or updates a stream, given the allowed topics; ``None``: the same as before.
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
        self._cases: dict[Subscription, _Case] = {}  #: In the order of the last round's checks.
        #: Streams that ``by_topic`` does not hold: new ones, and those of views' own events.
        self._unlisted: set[Subscription] = set()
        self._due: dict[Subscription, None] = {}  #: Streams to decide about, in order.
        self._deciding: asyncio.Task[None] | None = None
        self._decided_at = -math.inf
        self._rounds: asyncio.Task[None] | None = None
        self._database = Incident("database_access")

    def add(
        self, stream: Subscription, *, is_new: bool = False, listed: bool = True
    ) -> asyncio.Future[None]:
        """Decide about ``stream``, now and when it is due; ``listed``: ``by_topic`` will have it.

        The future is done when a new stream has begun, or raises :class:`HandshakeRefused`.
        """
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        case = self._cases[stream] = _Case(opened if is_new else None)
        if listed and not is_new:  # its view has decided, maybe seconds ago
            case.hold(stream)
        else:
            self._unlisted.add(stream)
        self._ask([stream])
        self._rounds = self._rounds or asyncio.create_task(self._go_round())
        return opened

    def remove(self, stream: Subscription) -> None:
        """Stop deciding about ``stream``."""
        self._unlisted.discard(stream)
        self._due.pop(stream, None)
        if (case := self._cases.pop(stream, None)) is not None:
            case.cancel_topics()

    def stop(self) -> None:
        """Cancel all tasks and remove all streams."""
        for stream in list(self._cases):
            self.remove(stream)
        for task in filter(None, (self._deciding, self._rounds)):
            task.cancel()
        self._deciding = self._rounds = None  # a task holds references to streams

    def revoke(self, message: Revocation) -> None:
        """Decide again about the streams that ``message`` names, or end them if it says so."""
        found = dict.fromkeys(self._cases if message.everybody else self._concerned(message))
        for stream in found:
            case = self._cases[stream]
            case.asked_at = -math.inf
            case.cancel_topics()  # they began before the change
            if message.end:
                self._end(stream, case, Ended(reason=message.end, again=message.again))
            elif not (message.everybody or case.opened):
                case.hold(stream)
        if not message.end:
            self._ask(found)

    def _concerned(self, message: Revocation) -> Iterator[Subscription]:
        cases, topics, sessions = self._cases, set(message.topics), set(message.sessions)
        for topic in topics | message.users.keys():
            fingerprint = message.users.get(topic) if topic not in topics else None
            for stream in self._by_topic.get(topic, ()):
                if stream in cases and cases[stream].fingerprint != fingerprint:
                    yield stream
        for stream in cases if sessions else ():
            if (session := stream.subscriber.session) and session.digest in sessions:
                yield stream
        # A decision that is running may have read their groups before the change.
        groups = any(topic.startswith("group:") for topic in topics)
        for stream in self._unlisted:
            own = user_topic(stream.subscriber.user_id)
            fingerprint = message.users.get(own, cases[stream].fingerprint)
            if groups or own in topics or fingerprint != cases[stream].fingerprint:
                yield stream

    def _ask(self, streams: Iterable[Subscription]) -> None:
        self._due.update(dict.fromkeys(streams))
        # Ask done() here: a done callback would run one turn of the loop later.
        if self._due and (self._deciding is None or self._deciding.done()):
            self._deciding = asyncio.create_task(self._decide())

    async def _decide(self) -> None:
        while self._due:
            if (seconds := self._decided_at + GATHER_SECONDS - monotonic()) > 0:
                await asyncio.sleep(seconds)
                continue
            new = {stream: None for stream in self._due if self._cases[stream].opened is not None}
            page: dict[Subscription, Question] = {}
            for stream in islice(new | self._due, PAGE):
                del self._due[stream]
                due = self._cases[stream]
                due.fingerprint = ""
                page[stream] = Question(stream.subscriber, stream in new, due.was_shown)
            try:
                found = await self._run(decide, list(page.values()))
            except Exception as error:  # the database is down: held streams stay silent
                self._database.failed(error)
                self._due.update(dict.fromkeys(page.keys() & self._cases.keys()))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._database.worked()
            self._decided_at = monotonic()
            for stream, decision in zip(page, found, strict=True):
                if (case := self._cases.get(stream)) is None:  # it was removed meanwhile
                    continue
                try:
                    self._apply(stream, case, decision)
                except Exception as error:  # must not stop the other streams' decisions
                    logger.exception("A decision about a stream cannot be applied.")
                    stream.end("revoked", AGAIN_MS[1])
                    _answer(case.opened, error)

    def _apply(self, stream: Subscription, case: _Case, decision: Decision) -> None:
        """Apply a decision at once. Then call the topic functions, if it is time."""
        if isinstance(decision, Ended):
            self._end(stream, case, decision)
            return
        found = decision.fingerprint, decision.reader.topics
        if case.found != found:
            if case.opened is None and case.found is not None:  # a round may find it first
                case.asked_at = -math.inf
                case.hold(stream)
            case.found = found
        case.fingerprint, case.was_shown = case.found[0], decision.is_shown
        if not stream.subscriber.asked:
            self._finish(stream, case, decision, ())
        elif monotonic() - case.asked_at < (get_settings().RECHECK_INTERVAL or ROUND_SECONDS) * 0.9:
            self._finish(stream, case, decision, None)
        else:
            case.asked_at = monotonic()
            if case.opened is None:
                self._accept(stream, decision, None)
            case.cancel_topics()
            case.topics = asyncio.create_task(self._ask_topics(stream, case, decision))

    async def _ask_topics(self, stream: Subscription, case: _Case, granted: Granted) -> None:
        asked, is_new = stream.subscriber.asked, case.opened is not None
        loop = asyncio.get_running_loop()
        late = loop.call_later(HOLD_SECONDS, self._go_on_without_topics, stream, case, granted)
        try:
            allowed = await self._authorisers.allowed(granted.user, asked, first=is_new)
        except HandshakeRefused as refusal:
            _answer(case.opened, refusal)
            return
        finally:
            late.cancel()
        case.topics = None
        self._finish(stream, case, granted, allowed)

    def _go_on_without_topics(self, stream: Subscription, case: _Case, granted: Granted) -> None:
        if case.is_held and case.topics is not None:
            self._accept(stream, granted, ())
            case.is_held = False
            stream.release()

    def _finish(
        self, stream: Subscription, case: _Case, granted: Granted, allowed: tuple[str, ...] | None
    ) -> None:
        """Start or continue the stream with those of the project's topics that are allowed."""
        opened, is_due = case.opened, stream in self._due
        if opened is not None:
            if is_due:  # a message arrived meanwhile
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
        """Decide about all streams in turn, a few at each step, within ``RECHECK_INTERVAL``."""
        due = random.random()
        while True:
            usual = ROUND_SECONDS
            if not publisher.hears():  # the round finds what other processes change
                usual = min(usual, max(len(self._cases) / PER_SECOND, publisher.poll_interval()))
            seconds = get_settings().RECHECK_INTERVAL or usual
            steps = max(1, min(12, seconds // 5), len(self._cases) / PAGE)  # each: four queries
            await asyncio.sleep(seconds / steps * random.uniform(0.9, 1.1))
            due = min(due + len(self._cases) / steps, len(self._cases))
            if not self._due:
                turn = dict(islice(self._cases.items(), min(int(due), PAGE)))
                for stream in turn:
                    self._cases[stream] = self._cases.pop(stream)
                self._ask(stream for stream, case in turn.items() if case.opened is None)
            due %= 1


def _answer(opened: asyncio.Future[None] | None, error: Exception | None = None) -> None:
    if opened is not None and not opened.done():
        opened.set_exception(error) if error else opened.set_result(None)
