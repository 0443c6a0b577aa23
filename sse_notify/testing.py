"""For a project's own tests: see what was notified, and read a stream, without a server.

::

    def test_the_author_hears_of_a_comment(self):
        with capture_notifications() as sent:
            comment(post)
        self.assertEqual([n.title for n in sent.to(post.author)], ["New comment"])

    async def test_it_arrives(self):
        async with open_stream(author) as stream:
            await anotify(author, "Hello")
            event = await stream.next("notification")
        self.assertEqual(event.data["title"], "Hello")

Both work in a ``TestCase``, where nothing ever commits: what is captured is read from the database, and a stream's poll, which in
production finds what a publisher that died has left, finds there what no commit announces. ``captureOnCommitCallbacks(execute=True)``
announces at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from asgiref.sync import sync_to_async
from django.db.models import Max
from django.test import RequestFactory

from sse_notify import log
from sse_notify.handshake import make_stream, read_request
from sse_notify.models import Notification
from sse_notify.parsing import Received, parse

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from sse_notify.querysets import NotificationQuerySet, User


#: Seconds that opening a stream may take: a guard against a hang.
JOIN_SECONDS = 10.0


class Captured(list[Notification]):
    """What was notified, oldest first: new rows, and rows that were sent again under their ``key``."""

    def to(self, user: User) -> list[Notification]:
        """Return what ``user`` got of it, broadcasts included."""
        visible = (
            _rows()
            .with_states(user)
            .filter(pk__in=[row.pk for row in self])
            .values_list("pk", flat=True)
        )
        theirs = set(visible)
        return [row for row in self if row.pk in theirs]


class capture_notifications:  # noqa: N801  (a context manager, named as it is used)
    """Capture what is notified inside the block, by whatever code, in whatever thread: ``with``, or ``async with`` in async tests.

    The list is filled when the block ends. What was rolled back is not in it, as it was never sent; nor is a repeat of an
    ``idempotency_key``, nor anything that ``publish()`` sends, which leaves no row.
    """

    def __init__(self) -> None:
        self._sent = Captured()
        self._last = 0
        self._before: dict[int, tuple[int, datetime]] = {}

    def __enter__(self) -> Captured:
        self._last = _rows().aggregate(last=Max("pk"))["last"] or 0
        self._before = {
            row.pk: (row.count, row.created_at)
            for row in _rows().exclude(key=None).only("count", "created_at")
        }
        return self._sent

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:  # the transaction may be broken, and the test has failed anyway
            return
        new = list(_rows().filter(pk__gt=self._last))
        keyed = _rows().exclude(key=None).filter(pk__lte=self._last, recalled_at=None)
        # A recall begins the count anew.
        again = [row for row in keyed if (row.count, row.created_at) != self._before.get(row.pk)]
        self._sent[:] = sorted([*new, *again], key=lambda row: (row.created_at, row.pk))

    async def __aenter__(self) -> Captured:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await sync_to_async(self.__exit__)(kind, error, trace)


class open_stream:  # noqa: N801  (a context manager, named as it is used)
    """Open the stream of ``user`` in this process: the real handshake, replay, hub and wire, without a server.

    Inside the block the stream is joined: what is sent from its first line on arrives.

    Args:
        user: whose stream.
        topics: further topics to ask for.
        cursor: the last id that the client has; what was sent since is replayed. ``None``: only what is sent from now on.
        timeout: seconds that :meth:`next` waits at most: a guard against a hang, which no event that arrives uses up.

    Raises:
        HandshakeRefused: on entering, as a client would be refused.
    """

    def __init__(
        self,
        user: User,
        *,
        topics: Iterable[str] = (),
        cursor: int | None = None,
        timeout: float = 10.0,
    ) -> None:
        query = {"topic": list(topics), "cursor": "" if cursor is None else str(cursor)}
        self._request = RequestFactory().get("/", query)
        self._request.user = user  # type: ignore[assignment]  # the stubs know one user model only
        self._timeout = timeout
        self._received: asyncio.Queue[Received | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        # In Django's thread for queries: there the handshake sees whether the test runs inside a transaction.
        self._stream = await sync_to_async(lambda: make_stream(read_request(self._request)))()
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await self._stream.join()
        except BaseException:
            self._stream.close()
            raise
        self._pump = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        self._pump.cancel()
        await asyncio.wait([self._pump])

    async def next(self, event: str = "") -> Received:
        """Return the next event, or the next of the name ``event``; those before it are dropped.

        Raises:
            TimeoutError: none came in time.
            EOFError: the stream has ended.
        """
        async with asyncio.timeout(self._timeout):
            while True:
                received = await self._received.get()
                if received is None:
                    self._received.put_nowait(None)
                    raise EOFError("the stream has ended")
                if event in ("", received.event):
                    return received

    async def _read(self) -> None:
        try:
            while (chunk := await self._stream.read()) is not None:
                for received in parse(chunk):
                    self._received.put_nowait(received)
        finally:
            self._received.put_nowait(None)


def _rows() -> NotificationQuerySet:
    return Notification.objects.using(log.database())
