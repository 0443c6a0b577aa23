"""Long work that tells its user how far it is: :class:`Progress`.

    with ...        a notification under a key: durable, in the inbox, on the open pages
    advance()       live to the user's open pages, at most ten times a second; to the row, at most twice a second
    end of with     the same notification once more: done, failed or cancelled; unread again, replayed to who was away

It needs the database and the layer and nothing else, so it runs wherever the work does: in a view, a thread, a management command, a
task of any queue.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from asgiref.sync import sync_to_async
from django.db import Error
from django.utils.asyncio import async_unsafe
from django.utils.translation import gettext as _

from sse_notify.content import check
from sse_notify.exceptions import Cancelled, ProgressFailed
from sse_notify.inbox import check_user
from sse_notify.progress import estimate
from sse_notify.progress.estimate import MESSAGE_LENGTH, check_number, check_text
from sse_notify.progress.throttle import Reporter

if TYPE_CHECKING:
    from types import TracebackType

    from django.contrib.auth.base_user import AbstractBaseUser
    from django.utils.functional import Promise

    from sse_notify.content import HasAddress

logger = logging.getLogger("sse_notify")


class Progress:
    """One run of long work, told to one user: ``with Progress(user, "Export", total=300) as progress:``, or ``async with``.

    Callable from several threads. The end of the block ends it as done. An exception ends it as failed, with a text that tells nothing
    of it (raise :class:`ProgressFailed` to tell why), is logged and goes on. :class:`Cancelled`, which :meth:`check` raises, ends it as
    cancelled and goes no further.

    Inside a transaction of the caller's, live updates go out at once; what is written goes with the transaction: nobody else sees it
    before the commit, and a rollback undoes it. So have the block around the transactions, not inside of one.

    Args:
        user: who is told, and may cancel it.
        title: one line of text, at most 255 characters.
        total: how much there is to do, in any unit; ``None``: nobody knows. Can be set later.
        key: names the work: begun again under its key, it takes the row over, and a run that still goes on is asked to end. "": a key
            of its own.
        body, category, icon, actions: as for :func:`sse_notify.notify`.
        url: where a click leads; :meth:`finish` can give another, of the result.
        data: a dict, for scripts; ``progress`` is added to it.
        cancellable: whether the user gets a button. The work then has to look at :attr:`cancelled`, or to call :meth:`check`.
        stalls_after: seconds of silence, at least 1, after which the work is shown as stalled, until it is heard of again.
        clock: the time in seconds, for tests.

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
        #: The notification's collapse key.
        self.key = key or f"progress:{uuid.uuid4().hex}"
        data = _check_data(data)
        content = check(
            title,
            body,
            {
                "key": self.key,
                "url": url,
                "category": category,
                "icon": icon,
                "actions": actions,
                "data": {**data, "progress": estimate.WIDEST},  # by which its size is checked
                "silent": True,  # the user has just begun it; its end is news
            },
        )
        del content.columns["data"]["progress"]
        self._title = title
        self._reporter = Reporter(
            user,
            content,
            _check_total(total),
            cancellable=bool(cancellable),
            stalls_after=check_number("stalls_after", stalls_after, least=1),
            clock=clock,
        )

    # --- what the work says ---

    @property
    def id(self) -> int | None:
        """The notification's id; ``None`` before the block."""
        return self._reporter.pk

    @property
    def total(self) -> float | None:
        """How much there is to do; ``None``: nobody knows. What is set goes out with the next call."""
        return self._reporter.total

    @total.setter
    def total(self, total: float | None) -> None:
        self._reporter.set(total=_check_total(total))

    @async_unsafe("Use 'await progress.aupdate()' in async code.")
    def update(
        self, done: float | None = None, *, stage: str | None = None, message: str | None = None
    ) -> None:
        """Say how far the work is. After its end, this does nothing.

        Args:
            done: how much of ``total`` is done; ``None``: as much as before.
            stage: what is being done, at most 255 characters; ``None``: as before.
            message: more of it, at most 1,000 characters; ``None``: as before.

        Raises:
            TypeError, ValueError: an argument is wrong; the message names it, and nothing is said.
            RuntimeError: the block has not begun.
        """
        self._inside.set(done=done, stage=stage, message=message)
        self._report()

    @async_unsafe("Use 'await progress.aadvance()' in async code.")
    def advance(self, n: float = 1) -> None:
        """Say that ``n`` more is done. Errors as for :meth:`update`."""
        self._inside.set(more=n)
        self._report()

    @async_unsafe("Use 'await progress.afinish()' in async code.")
    def finish(self, message: str = "", *, url: str | Promise | HasAddress = "") -> None:
        """End the work as done, before the block does. A second end does nothing.

        Args:
            message: what the user reads, at most 1,000 characters; "": what was said last.
            url: where a click leads from now on, as of the result; "": as before.

        Raises:
            TypeError, ValueError: an argument is wrong; the message names it, and the work has not ended.
            RuntimeError: the block has not begun.
            django.db.Error: the database refuses.
        """
        message = check_text("message", message, MESSAGE_LENGTH)
        columns = {"url": check(self._title, "", {"url": url}).columns["url"]} if url else {}
        self._inside.end(estimate.DONE, message, **columns)

    @async_unsafe("Use 'await progress.afail()' in async code.")
    def fail(self, message: str) -> None:
        """End the work as failed, with a text for the user; the block goes on. Errors as for :meth:`finish`."""
        self._inside.end(estimate.FAILED, check_text("message", message, MESSAGE_LENGTH))

    # --- what the work hears ---

    @property
    def cancelled(self) -> bool:
        """Whether the work is asked to end: by its user, or by a later run under its key. At most half a second old.

        It asks the database as seldom as that, and is a sign of life. In async code it is what the last method found that was awaited.
        """
        if not _is_async():
            self._report(listen=True)
        return self._reporter.is_asked_to_end

    @async_unsafe("Use 'await progress.acheck()' in async code.")
    def check(self) -> None:
        """Go on, unless the work is asked to end.

        Raises:
            Cancelled: it is; the block ends quietly with it.
        """
        self._report(listen=True)
        self._raise_if_asked()

    # --- async twins ---

    async def aupdate(
        self, done: float | None = None, *, stage: str | None = None, message: str | None = None
    ) -> None:
        """Do what :meth:`update` does, from async code."""
        self._inside.set(done=done, stage=stage, message=message)
        await self._areport()

    async def aadvance(self, n: float = 1) -> None:
        """Do what :meth:`advance` does, from async code."""
        self._inside.set(more=n)
        await self._areport()

    async def acheck(self) -> None:
        """Do what :meth:`check` does, from async code."""
        await self._areport(listen=True)
        self._raise_if_asked()

    async def afinish(self, message: str = "", *, url: str | Promise | HasAddress = "") -> None:
        """Do what :meth:`finish` does, from async code."""
        await sync_to_async(self.finish)(message, url=url)

    async def afail(self, message: str) -> None:
        """Do what :meth:`fail` does, from async code."""
        await sync_to_async(self.fail)(message)

    # --- the block ---

    @async_unsafe("Use 'async with Progress(...)' in async code.")
    def __enter__(self) -> Self:
        if self._reporter.pk is not None:
            raise RuntimeError("a Progress is one run of the work: make another one for the next")
        self._reporter.begin()
        return self

    @async_unsafe("Use 'async with Progress(...)' in async code.")
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None:
            self._reporter.close(estimate.DONE)
            return False
        if isinstance(error, Exception) and not isinstance(error, (Cancelled, ProgressFailed)):
            logger.error("progress=%s state=failed error=%r", self.key, error, exc_info=error)
        try:
            self._reporter.close(*_ending(error))
        except Error:  # what ended the work is what the caller has to know
            logger.exception("progress=%s state=unwritten", self.key)
        return isinstance(error, Cancelled) and error.progress in (None, self)

    async def __aenter__(self) -> Self:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return await sync_to_async(self.__exit__)(kind, error, trace)

    # --- inside ---

    @property
    def _inside(self) -> Reporter:
        if self._reporter.pk is None:
            raise RuntimeError("the work has not begun: use 'with progress:'")
        return self._reporter

    def _report(self, *, listen: bool = False) -> None:
        self._reporter.send()
        self._reporter.write(listen=listen)

    async def _areport(self, *, listen: bool = False) -> None:
        self._reporter.send()
        if self._reporter.is_due(listen=listen):  # most calls need no thread
            await sync_to_async(self._reporter.write)(listen=listen)

    def _raise_if_asked(self) -> None:
        if self._reporter.is_asked_to_end:
            raise Cancelled(progress=self)


def _ending(error: BaseException) -> tuple[str, str]:
    """Return how the work ends with this exception, and what its user reads."""
    if isinstance(error, (Cancelled, asyncio.CancelledError)):
        return estimate.CANCELLED, ""
    told = estimate.clean(str(error), MESSAGE_LENGTH) if isinstance(error, ProgressFailed) else ""
    return estimate.FAILED, told or _("Something went wrong.")


def _check_total(total: Any) -> float | None:
    return None if total is None else check_number("total", total)


def _check_data(data: Any) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise TypeError(f"data: a dict is needed, not {type(data).__name__}")
    if "progress" in data:
        raise ValueError("data: 'progress' is what the work says itself")
    return data


def _is_async() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
