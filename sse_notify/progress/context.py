"""Long work that tells its user how far it is: :class:`Progress`.

    with ...        a notification under a key: durable, in the inbox, on the open pages
    advance()       live on the open pages, at most ten times a second;
                    in the row, at most twice a second
    end of with     the same notification again: done, failed or cancelled; unread, and replayed
                    to clients that were away

It needs the database and the channel layer and nothing else, so it runs wherever the work does: in
a view, a thread, a management command, a task of any queue.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error
from django.utils.asyncio import async_unsafe
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from sse_notify.concurrency.threadpool import twin
from sse_notify.exceptions import Cancelled, ProgressFailed
from sse_notify.inbox.marks import check_user
from sse_notify.models.notification import HasAddress
from sse_notify.notifications.validation import check
from sse_notify.progress import estimate
from sse_notify.progress.run import Job, Run

logger = logging.getLogger("sse_notify")


class Progress:
    """One run of long work, shown to one user: ``with Progress(user, "Export") as progress:``.

    Use ``async with`` in async code. The methods may be called from several threads.

    The end of the block ends the work as done. An exception ends it as failed, with a text that
    says nothing about the exception (raise :class:`ProgressFailed` to say why), is logged and
    propagates. :class:`Cancelled`, which :meth:`check` raises, ends the work as cancelled and does
    not propagate past the block.

    Inside a transaction of the caller's, live updates go out at once, and rows are written with the
    transaction: nobody else sees them before the commit, and a rollback undoes them. So put the
    block around the transactions, not inside one.

    Args:
        user: who sees it, and may cancel it.
        title: one line of text, at most 255 characters.
        total: how much there is to do, in any unit; ``None`` if nobody knows. It can be set later.
        key: names the work. Begun again under its key, it takes the row over, and a run that still
            goes on is asked to end. "": a key of its own.
        body, category, icon, actions: as for :func:`sse_notify.notify`.
        url: where a click leads; :meth:`finish` can give another one, of the result.
        data: a dict, for scripts; clients also get ``progress`` in it.
        cancellable: whether the user gets a button. The work then has to look at :attr:`cancelled`,
            or to call :meth:`check`.
        stalls_after: seconds of silence, at least 1, after which the work is shown as stalled until
            it reports again.
        clock: returns the time in seconds, for tests.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
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
        stalls_after = estimate.check_number("stalls_after", stalls_after, least=1)
        #: The notification's collapse key.
        self.key = key or f"progress:{uuid.uuid4().hex}"
        content = check(
            title,
            body,
            {
                "key": self.key,
                "url": url,
                "category": category,
                "icon": icon,
                "actions": actions,
                # The size is checked as if the row had the largest progress already.
                "data": {**_check_data(data), "progress": estimate.WIDEST},
                "silent": True,  # the user has just begun the work; its end is news
            },
        )
        del content["data"]["progress"]
        self._title = title
        self._run = Run(
            user, content, total, cancellable=cancellable, stalls_after=stalls_after, clock=clock
        )

    @property
    def id(self) -> int | None:
        """The notification's id; ``None`` before the block."""
        return self._run.pk

    @property
    def total(self) -> float | None:
        """How much there is to do; ``None`` if nobody knows. It can be set, also before the block.

        A new total goes out with the next call.
        """
        return self._run.estimate.total

    @total.setter
    def total(self, total: float | None) -> None:
        self._run.set_total(total)

    @property
    def cancelled(self) -> bool:
        """Whether the work is asked to end: by its user, or by a later run under its key.

        The answer is at most half a second old, as the database is asked no more often than that.
        Reading it is a sign of life. In async code it is what the last awaited method found.
        """
        with suppress(SynchronousOnlyOperation):
            self._look()
        return self._run.is_asked_to_end

    @async_unsafe("Use 'await progress.aupdate()' in async code.")
    def update(
        self, done: float | None = None, *, stage: str | None = None, message: str | None = None
    ) -> None:
        """Report how far the work is. After its end, this does nothing.

        Args:
            done: how much of ``total`` is done; ``None``: as much as before.
            stage: what is being done, at most 255 characters; ``None``: as before.
            message: more about it, at most 1,000 characters; ``None``: as before.

        Raises:
            TypeError, ValueError: an argument is wrong; the message names it, and nothing is
                reported.
            RuntimeError: the block has not begun.
        """
        _do(self._run.update(done=done, stage=stage, message=message))

    async def aupdate(
        self, done: float | None = None, *, stage: str | None = None, message: str | None = None
    ) -> None:
        """Do what :meth:`update` does, from async code."""
        await _ado(self._run.update(done=done, stage=stage, message=message))

    @async_unsafe("Use 'await progress.aadvance()' in async code.")
    def advance(self, n: float = 1) -> None:
        """Report that ``n`` more is done. Errors as for :meth:`update`."""
        _do(self._run.update(n=n))

    async def aadvance(self, n: float = 1) -> None:
        """Do what :meth:`advance` does, from async code."""
        await _ado(self._run.update(n=n))

    def check(self) -> None:
        """Return if the work may go on.

        Raises:
            Cancelled: the work is asked to end; the block ends quietly with it.
        """
        self._look()
        self._raise_if_asked()

    async def acheck(self) -> None:
        """Do what :meth:`check` does, from async code."""
        await _ado(self._run.look())
        self._raise_if_asked()

    @async_unsafe("Use 'await progress.afinish()' in async code.")
    def finish(self, message: str = "", *, url: str | Promise | HasAddress = "") -> None:
        """End the work as done, before the block ends. A second end does nothing.

        Args:
            message: what the user reads, at most 1,000 characters; "": the last message.
            url: where a click leads from now on, as to the result; "": as before.

        Raises:
            TypeError, ValueError: an argument is wrong; the message names it, and the work has not
                ended.
            RuntimeError: the block has not begun.
            django.db.Error: the database refuses.
        """
        columns = {"url": check(self._title, "", {"url": url})["url"]} if url else {}
        self._run.end(estimate.DONE, message, **columns)

    afinish = twin(finish)

    @async_unsafe("Use 'await progress.afail()' in async code.")
    def fail(self, message: str) -> None:
        """End the work as failed, with a text for the user; the block goes on.

        Errors as for :meth:`finish`.
        """
        self._run.end(estimate.FAILED, message)

    afail = twin(fail)

    @async_unsafe("Use 'async with Progress(...)' in async code.")
    def __enter__(self) -> Self:
        self._run.begin()
        return self

    @async_unsafe("Use 'async with Progress(...)' in async code.")
    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            self._run.close(estimate.DONE)
            return False
        if isinstance(error, Exception) and not isinstance(error, (Cancelled, ProgressFailed)):
            logger.error("progress=%s state=failed error=%r", self.key, error, exc_info=error)
        try:
            self._run.close(*_ending(error))
        except Error:  # the caller has to know what ended the work
            logger.exception("progress=%s state=unwritten", self.key)
        return isinstance(error, Cancelled) and error.progress in (None, self)

    __aenter__ = twin(__enter__)
    __aexit__ = twin(__exit__)

    @async_unsafe("Use 'await progress.acheck()' in async code.")
    def _look(self) -> None:
        _do(self._run.look())

    def _raise_if_asked(self) -> None:
        if self._run.is_asked_to_end:
            raise Cancelled(progress=self)


def _do(job: Job) -> None:
    if job is not None:
        job()


async def _ado(job: Job) -> None:
    if job is not None:  # most calls need no thread
        await sync_to_async(job)()


def _ending(error: BaseException) -> tuple[str, str]:
    """Return how the work ends with this exception, and what its user reads."""
    if isinstance(error, (Cancelled, asyncio.CancelledError)):
        return estimate.CANCELLED, ""
    reason = estimate.clean(str(error)) if isinstance(error, ProgressFailed) else ""
    return estimate.FAILED, reason[: estimate.LENGTHS["message"]] or _("Something went wrong.")


def _check_data(data: Any) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise TypeError(f"data must be a dict, not {type(data).__name__}.")
    if "progress" in data:
        raise ValueError("data must not have 'progress', which the work itself fills.")
    return data
