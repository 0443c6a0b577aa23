"""Tools for a project's tests: capture notifications, and read a stream without a server.

::

    def test_the_author_is_notified_of_a_comment(self):
        with capture_notifications() as sent:
            comment(post)
        self.assertEqual(sent.to(post.author).titles, ["New comment"])

    async def test_it_arrives(self):
        async with open_stream(author) as stream:
            await anotify(author, "Hello")
            event = await stream.next("notification")
        self.assertEqual(event.data["title"], "Hello")

Both work in a ``TestCase``, which never commits. ``capture_notifications`` reads from the database.
A stream finds new notifications by polling, within a second. To send them to it at once, use
``captureOnCommitCallbacks(execute=True)``.

With pytest, the fixture ``sent_notifications`` is what ``capture_notifications`` gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.test import RequestFactory

from sse_notify.log.sequence import database
from sse_notify.models import Notification
from sse_notify.models.querysets import NotificationQuerySet, User
from sse_notify.sse.format import Received, parse
from sse_notify.views.stream import make_stream, read_request


class Captured(Sequence[Notification]):
    """The notifications sent since the capture began: new rows, and repeats under a ``key``.

    In the block, it is read from the database whenever it is used: inside async code use
    ``[each async for each in sent]``. After the block, it no longer changes.
    """

    def __init__(self, found: list[Notification] | None = None) -> None:
        self._found = found
        if found is None:
            self._before = {row.pk: (row.count, row.created_at) for row in _rows()}

    @property
    def titles(self) -> list[str]:
        """The titles, oldest first."""
        return [row.title for row in self]

    def to(self, user: User) -> Captured:
        """Return the notifications that ``user`` received, including broadcasts."""
        rows = _rows().with_states(user).filter(pk__in=[row.pk for row in self])
        received = set(rows.values_list("pk", flat=True))
        return Captured([row for row in self if row.pk in received])

    def _load(self) -> list[Notification]:
        if self._found is not None:
            return self._found
        found = []
        for row in _rows().order_by("created_at", "pk"):
            before = self._before.get(row.pk)
            # A recall changes the row too, but sends no notification.
            is_sent = before is None or row.recalled_at is None
            if is_sent and before != (row.count, row.created_at):
                found.append(row)
        return found

    def __len__(self) -> int:
        return len(self._load())

    def __getitem__(self, index: Any) -> Any:
        return self._load()[index]

    def __iter__(self) -> Iterator[Notification]:
        return iter(self._load())

    async def __aiter__(self) -> AsyncIterator[Notification]:
        for row in await sync_to_async(self._load)():
            yield row

    def __eq__(self, other: object) -> bool:
        return self._load() == list(other) if isinstance(other, Iterable) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __repr__(self) -> str:
        return f"Captured({self._load()!r})"


class capture_notifications:  # noqa: N801  (a context manager)
    """Capture all notifications that are sent inside the block. Use ``with`` or ``async with``.

    They are there at once, and stay after the block. They include no notification that was rolled
    back, no repeat of an ``idempotency_key``, and no event of ``publish()``, which writes no row.
    If the block raises, nothing is captured.
    """

    def __enter__(self) -> Captured:
        self._sent = Captured()
        return self._sent

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        # After an error, the transaction may be broken.
        self._sent._found = self._sent._load() if kind is None else []

    async def __aenter__(self) -> Captured:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        await sync_to_async(self.__exit__)(kind)


def _rows() -> NotificationQuerySet[Notification]:
    return Notification.objects.using(database())


class open_stream:  # noqa: N801  (a context manager)
    """Open a stream for ``user``, with the real handshake, replay and hub, but without a server.

    The block begins when the stream has joined its hub, so it receives everything sent inside the
    block.

    Args:
        user: the subscriber.
        topics: more topics to ask for.
        cursor: the client's last event id. Later events are replayed. ``None``: no replay.
        timeout: the most seconds that :meth:`next` waits. It only guards against a hang; an event
            that arrives is returned at once.

    Raises:
        HandshakeRefused: the stream is refused, as over HTTP. Raised on entering the block.
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
        # Run it in the thread of ``sync_to_async``, which sees the test's transaction.
        self._stream = await sync_to_async(lambda: make_stream(read_request(self._request)))()
        try:
            async with asyncio.timeout(10):  # a guard against a hang
                await self._stream.join()
        except BaseException:
            self._stream.close()
            raise
        self._pump = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._stream.close()
        self._pump.cancel()
        await asyncio.wait([self._pump])

    async def next(self, event: str = "") -> Received:
        """Return the next event, or the next one named ``event``, and drop the events before it.

        Raises:
            TimeoutError: no such event arrived in time.
            EOFError: the stream has ended.
        """
        async with asyncio.timeout(self._timeout):
            while received := await self._received.get():
                if event in ("", received.event):
                    return received
        self._received.put_nowait(None)
        raise EOFError("The stream has ended.")

    async def _read(self) -> None:
        try:
            while (chunk := await self._stream.read()) is not None:
                for received in parse(chunk):
                    self._received.put_nowait(received)
        finally:
            self._received.put_nowait(None)
