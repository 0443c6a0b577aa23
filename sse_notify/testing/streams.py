"""Read a stream in process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from asgiref.sync import sync_to_async
from django.test import RequestFactory

from sse_notify.sse.format import Received, parse
from sse_notify.views.stream import make_stream, read_request

if TYPE_CHECKING:
    from sse_notify.models.querysets import User

#: Seconds that opening a stream may take: a guard against a hang.
JOIN_SECONDS = 10.0


class open_stream:  # noqa: N801  (a context manager, named as it is used)
    """Open a stream of ``user``: the real handshake, replay, hub and wire, without a server.

    The block begins when the stream has joined, so whatever it sends arrives.

    Args:
        user: whose stream.
        topics: further topics to ask for.
        cursor: the last id that the client has. What was sent since is replayed. ``None``: only
            what is sent from now on.
        timeout: seconds that :meth:`next` waits at most. It guards against a hang; an event that
            arrives is returned at once.

    Raises:
        HandshakeRefused: on entering, as over HTTP.
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

    async def __aexit__(self, *failure: object) -> None:
        self._stream.close()
        self._pump.cancel()
        await asyncio.wait([self._pump])

    async def next(self, event: str = "") -> Received:
        """Return the next event, or the next one named ``event``. The events before it are dropped.

        Raises:
            TimeoutError: no such event arrived in time.
            EOFError: the stream has ended.
        """
        async with asyncio.timeout(self._timeout):
            while True:
                received = await self._received.get()
                if received is None:
                    self._received.put_nowait(None)
                    raise EOFError("The stream has ended.")
                if event in ("", received.event):
                    return received

    async def _read(self) -> None:
        try:
            while (chunk := await self._stream.read()) is not None:
                for received in parse(chunk):
                    self._received.put_nowait(received)
        finally:
            self._received.put_nowait(None)
