"""Call a project's own ``@topic`` functions off the event loop.

A topic function may be slow, hang or fail. So each user has at most one call running, and the calls
of all users take turns on a few threads. One user's slow topics delay only that user's topics, and
never the events of the log.
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

#: Seconds after which a function that has not answered counts as a refusal.
ANSWER_SECONDS = 30.0
#: Open streams whose topics are rechecked at the same time, so that new streams need not wait.
RECHECKS = 8


class _Call:
    """One call of a topic function, shared by all who wait for its answer."""

    def __init__(self, user: Any, match: Match) -> None:
        self.user = user
        self.match = match
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting = 0


class Authorisers:
    """Finds out which of the project's topics a user may listen to.

    Call all methods on one event loop.

    Args:
        run: runs the functions off the loop.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._rechecks = asyncio.Semaphore(RECHECKS)
        #: The calls that have not begun, by user. A running call cannot be shared: it may have
        #: begun before the change that is being checked.
        self._calls: dict[Any, dict[Hashable, _Call]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def allowed(
        self, user: Any, matches: Iterable[Match], *, first: bool = True
    ) -> tuple[str, ...]:
        """Return the names of those of ``matches`` that ``user`` may listen to now.

        A function that raises or does not answer in time counts as a refusal. If this coroutine is
        cancelled, its calls that have not begun are dropped, unless somebody else waits for them.

        Args:
            user: the user to check.
            matches: the topics to check, at least one.
            first: whether a new stream waits for the answer. Rechecks take turns,
                :data:`RECHECKS` at a time.
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
        # Anonymous visitors share their calls. Each topic then has its own queue, so that one
        # topic does not wait for another.
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
    """Call the function in this thread. Return whether ``user`` may listen; no if it fails."""
    try:
        return match.allows(user)
    except BaseException:  # the project's code may raise anything, even a CancelledError
        logger.exception("The function of topic %r failed; its listener loses it.", match.name)
        return False
