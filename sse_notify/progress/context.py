"""Show the progress of long work to a user: :class:`Progress`.

    with ...        write a notification under a key: in the inbox and on the open pages
    advance()       send to the open pages, at most ten times per second;
                    write to the row, at most twice per second
    end of with     send the same notification again: done, failed or cancelled; unread, and
                    replayed to clients that reconnect

There is no thread and no timer. If a call follows too soon after another, its report is sent with
the next call, at the latest at the end. If the database fails during a report, the work continues:
the error is logged once, and the next report tries again. If it fails at the end, the error is
raised.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error
from django.utils.asyncio import async_unsafe
from django.utils.functional import Promise

from sse_notify.concurrency.threadpool import twin
from sse_notify.exceptions import Cancelled, ProgressFailed
from sse_notify.inbox.marks import check_number, check_user
from sse_notify.models.content import LARGEST, LENGTHS, Content, HasAddress, State
from sse_notify.notifications.validation import check, check_text
from sse_notify.progress import estimate, store
from sse_notify.telemetry import Incident

logger = logging.getLogger("sse_notify")


class Progress:
    """One run of long work, shown to one user: ``with Progress(user, "Export") as progress:``.

    Use ``async with`` in async code. The methods may be called from several threads.

    The end of the block ends the work as done. An exception ends it as failed, is logged and
    propagates. The user gets a general text; raise :class:`ProgressFailed` to give a reason.
    :class:`Cancelled`, which :meth:`check` raises, ends the work as cancelled and does not
    propagate past the block.

    Inside a transaction, live updates are sent at once, but the rows are committed with the
    transaction. So put the block around the transactions, not inside one.

    Args:
        user: the user who sees the work and may cancel it.
        title: one line of text, at most 255 characters.
        total: the amount of work, in any unit; ``None`` if unknown. It can be set later.
        key: identifies the work. A new run under the same key takes over the row and cancels the
            earlier run. "": use a new, unique key.
        body, url, category, icon, actions: as for :func:`sse_notify.notify`.
        data: a dict for scripts.
        cancellable: whether the user gets a cancel button. The work must then call :meth:`check`.
        stalls_after: seconds without a report, at least 1, after which the work counts as stalled.
        clock: returns the time in seconds, for tests.

    Raises:
        TypeError, ValueError: an argument is invalid. The message names it. Nothing is written.
    """

    def __init__(
        self,
        user: AbstractBaseUser,
        title: str | Promise,
        total: float | None = None,
        *,
        key: str = "",
        body: str | Promise = "",
        url: str | Promise | HasAddress = "",
        category: str | Promise = "",
        icon: str = "",
        actions: Sequence[Mapping[str, Any]] = (),
        data: Mapping[str, Any] | None = None,
        cancellable: bool = True,
        stalls_after: float = 30.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        check_user(user)
        check_number("stalls_after", stalls_after, 1, LARGEST)
        if not isinstance(data, Mapping | None):
            raise TypeError(f"data must be a dict, not {type(data).__name__}.")
        #: The notification's collapse key.
        self.key = key or f"progress:{uuid.uuid4().hex}"
        content: Content = {"key": self.key, "url": url, "category": category, "icon": icon}
        # The start is silent, because the user has just started the work; its end is announced.
        content |= {"actions": actions, "data": data, "silent": True}
        run = {"stalls_after": stalls_after, "cancellable": bool(cancellable)}
        self._check = partial(check, title, body, progress_state=estimate.WIDEST)
        columns = self._check(content=content)
        # The work may change its own objects meanwhile.
        own = {name: columns[name] for name in ("data", "actions")}
        self._content: Any = {**content, **own}
        self._row = store.Row(user.pk, columns, run)
        self._estimate = estimate.Estimate(total, stalls_after)
        self._clock = clock
        self._lock = threading.Lock()  # held briefly, never during a database query
        self._incident = Incident("progress")

    @property
    def id(self) -> int | None:
        """The notification's id; ``None`` before the block starts."""
        return self._row.pk

    @property
    def total(self) -> float | None:
        """The amount of work; ``None`` if unknown. A new total is sent with the next report."""
        return self._estimate.total

    @total.setter
    def total(self, total: float | None) -> None:
        self._estimate.set_total(total)

    @property
    def cancelled(self) -> bool:
        """Whether the user has cancelled the work, or a later run under its key has replaced it.

        The value is at most half a second old. Reading it counts as a report, so the work does not
        stall. In async code, it is the value that the last awaited method found.
        """
        with suppress(Cancelled, SynchronousOnlyOperation):
            self.check()
        return self._row.is_asked_to_end

    @async_unsafe("Use 'await progress.aupdate()' in async code.")
    def update(
        self, done: float | None = None, *, stage: str | None = None, message: str | None = None
    ) -> None:
        """Report the progress of the work. After its end, this does nothing.

        Args:
            done: how much of ``total`` is done; ``None``: unchanged.
            stage: the current step, at most 255 characters; ``None``: unchanged.
            message: more text, at most 1,000 characters; ``None``: unchanged.

        Raises:
            TypeError, ValueError: an argument is invalid. Nothing is reported.
            RuntimeError: the block has not started.
        """
        self._record(done=done, stage=stage, message=message)()

    async def aupdate(
        self, done: float | None = None, *, stage: str | None = None, message: str | None = None
    ) -> None:
        """Do what :meth:`update` does, from async code."""
        await _in_thread(self._record(done=done, stage=stage, message=message))

    @async_unsafe("Use 'await progress.aadvance()' in async code.")
    def advance(self, n: float = 1) -> None:
        """Add ``n`` to the work that is done. Errors as for :meth:`update`."""
        self._record(n)()

    async def aadvance(self, n: float = 1) -> None:
        """Do what :meth:`advance` does, from async code."""
        await _in_thread(self._record(n))

    @async_unsafe("Use 'await progress.acheck()' in async code.")
    def check(self) -> None:
        """Return if the work may continue.

        Raises:
            Cancelled: the work was cancelled. The exception does not propagate past the block.
        """
        self._due(checks=True)()
        if self._row.is_asked_to_end:
            raise Cancelled(progress=self)

    async def acheck(self) -> None:
        """Do what :meth:`check` does, from async code."""
        await _in_thread(self._due(checks=True))
        if self._row.is_asked_to_end:
            raise Cancelled(progress=self)

    @async_unsafe("Use 'await progress.afinish()' in async code.")
    def finish(self, message: str = "", *, url: str | Promise | HasAddress = "") -> None:
        """End the work as done, before the block ends. A second call does nothing.

        Args:
            message: a text for the user, at most 1,000 characters; "": keep the last message.
            url: the new target of a click, for example the result; "": unchanged.

        Raises:
            TypeError, ValueError, RuntimeError: as for :meth:`update`.
            django.db.Error: the database failed. The work has not ended.
        """
        content: Any = {**self._content, "url": url}
        columns = {"url": self._check(content=content)["url"]} if url else {}
        self._end(State.DONE, message, **columns)

    afinish = twin(finish)

    @async_unsafe("Use 'await progress.afail()' in async code.")
    def fail(self, message: str) -> None:
        """End the work as failed, with a text for the user. Errors as for :meth:`finish`."""
        self._end(State.FAILED, message)

    afail = twin(fail)

    @async_unsafe("Use 'async with Progress(...)' in async code.")
    def __enter__(self) -> Self:
        if self.id is not None:
            raise RuntimeError("A Progress is one run of the work: make another one for the next.")
        now = self._clock()
        self._estimate.start(now)
        self._row.begin(self._estimate.as_dict(State.RUNNING, now))
        return self

    @async_unsafe("Use 'async with Progress(...)' in async code.")
    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        state, message = estimate.ending(error)
        causes = estimate.causes(error)
        expected = all(isinstance(each, (Cancelled, ProgressFailed)) for each in causes)
        if isinstance(error, Exception) and not expected:
            logger.error("progress=%s state=failed error=%r", self.key, error, exc_info=error)
        try:
            self._row.write_end_again(state)
            self._end(state, message)
        except Error:
            if error is None:
                raise
            logger.exception("progress=%s state=unwritten", self.key)  # raise the original error
        return error is not None and all(
            isinstance(each, Cancelled) and each.progress in (None, self) for each in causes
        )

    __aenter__ = twin(__enter__)
    __aexit__ = twin(__exit__)

    def _record(self, n: float | None = None, **values: Any) -> Callable[[], None]:
        """Store ``values``, or ``n`` more done. Return a function that does the database work."""
        self._check_begun()
        with self._lock:
            if n is not None:
                values["done"] = self._estimate.done + check_number("n", n, 0, LARGEST)
            self._estimate.update(self._clock(), **values)
        return self._due()

    def _due(self, *, checks: bool = False) -> Callable[[], None]:
        """Send a live update if one is due. Return the database work that is due."""
        with self._lock:  # keeps the events of several threads in order
            now = self._clock()
            if not self._row.is_open:
                return _nothing
            if self._estimate.live.is_due(now):
                self._row.publish(self._estimate.as_dict(State.RUNNING, now))
            if self._estimate.writes.is_due(now):
                self._estimate.checks.at = now  # a write also checks for a cancellation
                return partial(self._report, self._estimate.as_dict(State.RUNNING, now))
            return self._report if checks and self._estimate.checks.is_due(now) else _nothing

    def _report(self, progress: dict[str, Any] | None = None) -> None:
        try:
            self._row.report(progress)
            self._incident.worked()
        except Error as error:
            self._incident.failed(error)
            self._estimate.writes.has_news = True

    def _end(self, state: str, message: str = "", **columns: Any) -> None:
        self._check_begun()
        message = check_text("message", message, LENGTHS["message"])
        with self._lock:
            if not self._row.is_open:
                return
            progress = self._estimate.as_dict(state, self._clock())
            progress["message"] = message or progress["message"]
            self._row.ended = {**columns, "progress_state": progress}
        self._row.write_end()

    def _check_begun(self) -> None:
        if self.id is None:
            raise RuntimeError("The work has not begun: use 'with progress:'.")


def _nothing() -> None:
    """Do nothing: most calls have no database work."""


async def _in_thread(job: Callable[[], None]) -> None:
    if job is not _nothing:  # most calls need no thread
        await sync_to_async(job)()
