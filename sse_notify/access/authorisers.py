"""Ask a project's own ``@topic`` functions, off the event loop.

They are the project's code: one may be slow, hang or fail. So each user has one call under way at a time, and the calls of all users
take turns on a few threads: a user's slow topics delay that user's topics alone, and nothing of the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterable
from contextlib import nullcontext
from typing import Any

from django.contrib.auth.models import AnonymousUser

from sse_notify.concurrency.threadpool import Run
from sse_notify.topics import Match

logger = logging.getLogger("sse_notify")

#: Seconds after which a function that has not answered counts as one that said no.
ANSWER_SECONDS = 30.0
#: Streams whose topics are asked again at the same time: whoever joins meanwhile does not wait for all of them.
RECHECKS = 8


class _Call:
    """One call of a function, for everybody who waits for the same answer."""

    __slots__ = ("answer", "match", "user", "waiting")

    def __init__(self, user: Any, match: Match) -> None:
        self.user = user
        self.match = match
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting = 0


class Authorisers:
    """Asks who may listen to which of the project's topics. All methods are to be called on one loop.

    Args:
        run: runs the functions off the loop.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._rechecks = asyncio.Semaphore(RECHECKS)
        #: The calls that wait for their turn, by user: a call that has begun may be older than the change that somebody asks about.
        self._calls: dict[Any, dict[Hashable, _Call]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def allowed(
        self, user: Any, matches: Iterable[Match], *, first: bool = True
    ) -> tuple[str, ...]:
        """Return the names of those of ``matches`` that ``user`` may listen to now.

        A function that raises, or does not answer in time, says no. Cancelled while it waits, it asks no more.

        Args:
            user: who asks.
            matches: what is asked for, one at least.
            first: whether a client waits for it; all others take turns, :data:`RECHECKS` at the same time.
        """
        async with nullcontext() if first else self._rechecks:
            calls = {match.name: self._call(user, match) for match in matches}
            try:
                await asyncio.wait([call.answer for call in calls.values()], timeout=ANSWER_SECONDS)
            finally:
                for call in calls.values():
                    call.waiting -= 1
        for name, call in calls.items():
            if not call.answer.done():
                logger.error("The function of topic %r has not answered in time.", name)
        answers = {name: call.answer for name, call in calls.items()}
        return tuple(name for name, answer in answers.items() if answer.done() and answer.result())

    def _call(self, user: Any, match: Match) -> _Call:
        # Visitors are alike, so their calls are shared; those of different topics must not wait for each other.
        queue = ("", match.key) if isinstance(user, AnonymousUser) else user.pk
        if queue not in self._calls:
            self._calls[queue] = {}
            task = asyncio.get_running_loop().create_task(self._work(queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        call = self._calls[queue].setdefault(match.key, _Call(user, match))
        call.waiting += 1
        return call

    async def _work(self, queue: Any) -> None:
        calls = self._calls[queue]
        try:
            while calls:
                call = calls.pop(next(iter(calls)))
                if call.waiting:
                    call.answer.set_result(await self._run(may_listen, call.user, call.match))
        finally:
            del self._calls[queue]


def may_listen(user: Any, match: Match) -> bool:
    """Return whether ``user`` may listen now; no, if the project's function fails. For sync code."""
    try:
        return match.allows(user)
    except BaseException:  # the project's code: a CancelledError of its own, say
        logger.exception("The function of topic %r failed; its listener loses it.", match.name)
        return False
