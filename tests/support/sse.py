"""Clients that read an event stream: one async, one on a bare socket that reads only when it is told to.

Every wait ends with the event that it waits for; a guard turns a hang into a failure that shows what did arrive.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import h11
import httpx
from httpx_sse import EventSource, ServerSentEvent

from tests.support import GUARD

#: Made once: httpx makes one for each client, which takes longer than most tests' requests.
TLS = ssl.create_default_context()

#: What the reader of a stream waits for: an event's name, or a function of the event.
Wanted = str | Callable[[ServerSentEvent], bool] | None


class StreamEnded(Exception):
    """Raised when a stream ended while an event was awaited. The message names the events that came."""


class Events:
    """One open event stream.

    ::

        async with listen(site_url + "/notifications/stream/", cookies=cookies) as events:
            hello = await events.next("hello")
            first, second = await events.take(2, "notification")
            assert first.json()["title"] == "One"
    """

    def __init__(self, response: httpx.Response) -> None:
        """Read the events of ``response``, whose head has arrived."""
        self.response = response
        #: Every event so far, in order, those that were skipped included.
        self.seen: list[ServerSentEvent] = []
        self._events = EventSource(response).aiter_sse()

    async def next(self, wanted: Wanted = None, *, guard: float = GUARD) -> ServerSentEvent:
        """Return the next event that is ``wanted``; others are skipped and kept in :attr:`seen`.

        Args:
            wanted: an event's name, or a function that says yes; any event if there is none.
            guard: seconds after which the wait counts as a hang.

        Raises:
            StreamEnded: the stream ended before.
            TimeoutError: the guard ran out.
        """
        try:
            async with asyncio.timeout(guard):
                async for event in self._events:
                    self.seen.append(event)
                    if _is_wanted(event, wanted):
                        return event
        except TimeoutError:
            raise TimeoutError(f"no {wanted} within {guard} s; came: {self._summary()}") from None
        except httpx.RemoteProtocolError as error:
            raise StreamEnded(f"cut ({error}); came: {self._summary()}") from error
        raise StreamEnded(f"ended; came: {self._summary()}")

    async def take(
        self, number: int, wanted: Wanted = "notification", *, guard: float = GUARD
    ) -> list[ServerSentEvent]:
        """Return the next ``number`` events that are ``wanted``."""
        return [await self.next(wanted, guard=guard) for _ in range(number)]

    async def rest(self, *, guard: float = GUARD) -> list[ServerSentEvent]:
        """Return what still comes until the server ends the stream."""
        before = len(self.seen)
        try:
            while True:
                await self.next(guard=guard)
        except StreamEnded:
            return self.seen[before:]

    def _summary(self) -> str:
        return ", ".join(f"{event.event} {event.data[:60]}" for event in self.seen) or "nothing"


@asynccontextmanager
async def listen(
    url: str,
    *,
    cookies: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    cursor: int | str | None = None,
) -> AsyncIterator[Events]:
    """Open a stream; leaving the block cuts the connection.

    Args:
        url: the stream's address.
        cookies: the session's.
        headers: more headers.
        params: the query, in place of the address's own.
        cursor: sent as ``Last-Event-ID``, as a browser does on its own retry.

    Raises:
        httpx.HTTPStatusError: the answer is not 200.
    """
    sent = {"Accept": "text/event-stream", "Cache-Control": "no-store", **(headers or {})}
    if cursor is not None:
        sent["Last-Event-ID"] = str(cursor)
    # httpx takes them in place of the address's own query, an empty list too.
    query: list[tuple[str, str | int | float | bool | None]] = [
        *(params.items() if isinstance(params, Mapping) else params)
    ]
    timeout = httpx.Timeout(GUARD, read=None)
    async with (
        httpx.AsyncClient(
            cookies=dict(cookies or {}), timeout=timeout, trust_env=False, verify=TLS
        ) as client,
        client.stream("GET", url, headers=sent, params=query or None) as response,
    ):
        if response.status_code != 200:
            await response.aread()
        response.raise_for_status()
        yield Events(response)


class RawStream:
    """A stream on a bare, blocking socket: for slow and rude clients, and for the bytes themselves.

    Nothing is read but what the calls ask for, so a test that stops calling is a client that stops reading.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        """Connect and send the request; :meth:`head` reads the answer's head.

        Args:
            url: the stream's address, query included.
            headers: more headers, ``Cookie`` among them.
            receive_buffer: bytes that the kernel may hold for this client; small for one that shall block its server soon.
        """
        parts = urlsplit(url)
        self._http = h11.Connection(h11.CLIENT)
        self._socket = socket.socket()
        self._socket.settimeout(GUARD)
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.connect((parts.hostname, parts.port))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = {"Host": parts.netloc, "Accept": "text/event-stream", **(headers or {})}
        request = h11.Request(method="GET", target=target, headers=list(lines.items()))
        self._socket.sendall(self._http.send(request) or b"")
        self._socket.sendall(self._http.send(h11.EndOfMessage()) or b"")
        self._unread = b""
        self._ended = False

    def head(self) -> tuple[int, dict[str, str]]:
        """Return the status and the headers, their names in lower case."""
        while not isinstance(event := self._next(), h11.Response):
            assert isinstance(event, h11.InformationalResponse), event
        return event.status_code, {name.decode(): value.decode() for name, value in event.headers}

    def block(self) -> bytes:
        """Return the next block, up to and with its blank line; ``b""`` or what is left of one when the stream has ended."""
        while b"\n\n" not in self._unread:
            event = self._next()
            if not isinstance(event, h11.Data):
                rest, self._unread = self._unread, b""
                return rest
            self._unread += bytes(event.data)
        block, separator, self._unread = self._unread.partition(b"\n\n")
        return block + separator

    def rest(self) -> bytes:
        """Return every byte of the body until the server ends the stream."""
        body, self._unread = self._unread, b""
        while isinstance(event := self._next(), h11.Data):
            body += bytes(event.data)
        return body

    def close(self) -> None:
        """Close the connection in good order."""
        self._socket.close()

    def reset(self) -> None:
        """Cut the connection with a reset (RST), as a crashed client's machine does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def __enter__(self) -> RawStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _next(self) -> Any:
        if self._ended:  # the connection may stay open for another request
            return h11.EndOfMessage()
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(self._socket.recv(65536))
        self._ended = isinstance(event, h11.EndOfMessage)
        return event


def _is_wanted(event: ServerSentEvent, wanted: Wanted) -> bool:
    if wanted is None:
        return True
    return event.event == wanted if isinstance(wanted, str) else wanted(event)
