"""Call a project's own ``@topic`` functions off the event loop.

A topic function may be slow, hang or fail. Such a function delays only its own topics, and never
the events of the log:

- At most two calls of one function run at a time, and one for each user. Users and visitors have
  separate limits, and so do new streams and rechecks.
- Only four of all calls may be new. After a quarter of a second a call no longer counts as new, so
  that others may begin.
- After ten seconds a call no longer counts against its function's limit, as long as fewer than 16
  calls hang. So a few users whose calls hang keep a function from others for some seconds only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

from django.contrib.auth.models import AnonymousUser

from sse_notify.concurrency.threadpool import Run
from sse_notify.exceptions import HandshakeRefused, UnknownTopic
from sse_notify.topics import Match, find

logger = logging.getLogger("sse_notify")

#: Seconds after which a call has not answered. They begin anew whenever its user's next call of the
#: same function begins; or, while none is running, any call of the same kind.
ANSWER_SECONDS = 30.0
#: Seconds after which a client may retry whose topic was not checked.
RETRY_AFTER = 30
#: Calls of one function at the same time: of users and of visitors, for new streams and rechecks.
TURNS = 2
#: Calls at the same time that began less than ``SLOW_SECONDS`` ago.
CALLS = 4
SLOW_SECONDS = 0.25
#: Seconds after which a call takes a spare turn, if one is left. Those who wait are not late yet.
HANGING_SECONDS = 10.0
#: Spare turns, for all functions together. The threads of the pool also bound them.
SPARE_TURNS = 16


class _Line:
    """The turns of one function, for users or visitors, for new streams or rechecks."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(TURNS)
        self.moved_at = 0.0  #: When a call last began.


class _Call:
    """One call of a topic function, shared by all who wait for its answer."""

    def __init__(self, match: Match, queue: _Queue) -> None:
        self.match = match
        self.queue = queue
        self.user: Any = None
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting = 0
        self.asked_at = monotonic()

    def seconds(self) -> float:
        """Return the seconds that are left to wait for the answer."""
        since = max(self.asked_at, self.queue.begun_at or self.queue.line.moved_at)
        return 0.0 if self.answer.done() else since + ANSWER_SECONDS - monotonic()


class _Queue:
    """What is asked about one user and one function."""

    def __init__(self, key: Hashable, line: _Line) -> None:
        self.key = key
        self.line = line
        #: The calls that have not begun. A running call cannot be shared: it may have begun before
        #: the change that is being checked.
        self.calls: dict[Hashable, _Call] = {}
        #: When the running call began, if one is running.
        self.begun_at: float | None = None
        #: The task that makes the calls.
        self.task: asyncio.Task[None]


class Authorisers:
    """Finds out which of the project's topics a user may listen to.

    Call all methods on one event loop.

    Args:
        run: runs the functions off the loop.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._begun = asyncio.Semaphore(CALLS)
        self._spare = asyncio.Semaphore(SPARE_TURNS)
        #: By pattern, and whether they are for visitors and for new streams.
        self._lines: dict[Hashable, _Line] = {}
        self._queues: dict[Hashable, _Queue] = {}

    async def allowed(
        self, user: Any, matches: Iterable[Match], *, first: bool = True
    ) -> tuple[str, ...]:
        """Return the names of those of ``matches`` that ``user`` may listen to now.

        A function that raises, or has not answered a recheck in time, counts as a refusal. If this
        coroutine is cancelled, its calls that have not begun are dropped, unless somebody else
        waits for them.

        Args:
            user: the user to check.
            matches: the topics to check, at least one.
            first: whether a new stream waits for the answer.

        Raises:
            HandshakeRefused: 503: a function has not answered a new stream in time.
        """
        calls: dict[str, _Call] = {}
        for match in matches:
            call = calls[match.name] = self._call(user, match, first=first)
            call.user = user  # as loaded last
            call.waiting += 1
        try:
            for call in calls.values():
                while (seconds := call.seconds()) > 0:
                    await asyncio.wait({call.answer}, timeout=seconds)
        finally:
            for call in calls.values():
                call.waiting -= 1
                if not call.waiting:
                    self._drop(call)
        late = [name for name, call in calls.items() if not call.answer.done()]
        for name in late:
            logger.error("The function of topic %r has not answered in time.", name)
        if late and first:
            text = "A topic cannot be checked now."
            raise HandshakeRefused(503, "unchecked", text, retry_after=RETRY_AFTER)
        answers = {name: call.answer for name, call in calls.items()}
        return tuple(name for name, answer in answers.items() if answer.done() and answer.result())

    def _call(self, user: Any, match: Match, *, first: bool) -> _Call:
        """Return the call that has not begun; make one if there is none."""
        is_visitor = isinstance(user, AnonymousUser)
        kind = (match.pattern, is_visitor, first)
        # Anonymous visitors share their calls. Each topic then has its own queue, so that one
        # topic does not wait for another.
        key = (kind, match.key if is_visitor else user.pk)
        if (queue := self._queues.get(key)) is None:
            queue = self._queues[key] = _Queue(key, self._lines.setdefault(kind, _Line()))
            queue.task = asyncio.get_running_loop().create_task(self._work(queue))
        return queue.calls.setdefault(match.key, _Call(match, queue))

    def _drop(self, call: _Call) -> None:
        """Drop a call that nobody waits for, if it has not begun."""
        queue, key = call.queue, call.match.key
        if queue.calls.get(key) is call:
            del queue.calls[key]
            if not queue.calls and queue.begun_at is None:  # its task waits for a turn
                queue.task.cancel()
                del self._queues[queue.key]

    async def _work(self, queue: _Queue) -> None:
        """Make the calls of ``queue``, one at each turn."""
        try:
            while queue.calls:
                async with AsyncExitStack() as turn, AsyncExitStack() as stack:
                    await turn.enter_async_context(queue.line.turns)
                    await stack.enter_async_context(self._begun)
                    call = queue.calls.pop(next(iter(queue.calls)))
                    queue.begun_at = queue.line.moved_at = monotonic()
                    running = asyncio.ensure_future(self._run(may_listen, call.user, call.match))
                    if not (await asyncio.wait({running}, timeout=SLOW_SECONDS))[0]:
                        await stack.aclose()  # others may begin; this one keeps its turn
                        await asyncio.wait({running}, timeout=HANGING_SECONDS)
                    if not (running.done() or self._spare.locked()):
                        await turn.aclose()
                        await turn.enter_async_context(self._spare)
                    call.answer.set_result(await running)
                    queue.begun_at = None
        finally:
            if self._queues.get(queue.key) is queue:
                del self._queues[queue.key]


def may_listen(user: Any, match: Match) -> bool:
    """Call the function in this thread. Return whether ``user`` may listen; no if it fails.

    The name is matched again: a path converter of the project may have loaded a row, or a row may
    be gone since.
    """
    try:
        return find(match.name).allows(user)
    except UnknownTopic:
        return False
    except BaseException:  # the project's code may raise anything, even a CancelledError
        logger.exception("The function of topic %r failed; its listener loses it.", match.name)
        return False
