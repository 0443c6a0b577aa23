"""One ASGI request: whether its client is connected, and the streams that were made for it.

A handshake may wait for a thread behind many others, and its client may disconnect meanwhile. Most
servers report that only through ``receive()``. So the exchange calls it during the handshake and
the stream, and drops what else the client sends.

Some clients disappear without a word: a phone without a network acknowledges nothing, and TCP gives
up only after about 15 minutes. ``TCP_USER_TIMEOUT`` (RFC 5482) shortens this. It also ends the
connection of a client that reads nothing, even on a server without backpressure. ASGI gives
applications no socket, but the ``send`` of uvicorn and of daphne leads to it. With other servers,
and behind a proxy, which connects to the clients itself, nothing changes: the stream ends when a
write blocks, or at its maximum age.

Nothing here needs loaded apps: `sse_notify.asgi.app` is imported before they are loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, TypeVar

from sse_notify.access.logins import Login
from sse_notify.streaming.base import BaseStream

# Only Linux has it.
_OPTION: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)

T = TypeVar("T")
MARK = "_sse_notify_event_stream"


def event_stream(view: T) -> T:
    """Mark a sync view that answers with an event stream: its handshake takes one thread hop.

    Decorators that use ``functools.wraps`` keep the mark. Without it, a view's stream is served as
    well, but the handshake runs through Django's async handler.
    """
    setattr(view, MARK, True)
    return view


class ClientLeft(Exception):
    """Raised when a client disconnects before the response."""


#: Protects the streams of all exchanges, which it takes a moment to add or take.
_lock = threading.Lock()


class Exchange:
    """Watch one client's connection, and pass a stream from its view to the wrapper that serves it.

    One task calls ``receive``; it starts when it is first needed. The view may run in another
    thread.

    Args:
        receive: the ASGI ``receive`` of the request.
        cookies: the request's ``Cookie`` header.
    """

    __slots__ = ("_context", "_made", "_on_leave", "_receive", "_task", "cookies", "is_over",
                 "joins", "left", "login", "loop", "stream")  # fmt: skip

    def __init__(self, receive: Callable[[], Awaitable[Any]], cookies: str) -> None:
        self._receive = receive
        self._on_leave: Callable[[], Any] | None = None
        self._task: asyncio.Task[None] | None = None
        # Without this exchange: what a context holds lives as long as its task.
        self._context: Context | None = copy_context()
        self._made: list[BaseStream] = []
        #: The server's event loop.
        self.loop = asyncio.get_running_loop()
        #: The ``Cookie`` header, for the view.
        self.cookies = cookies
        #: Whether the client is known to have disconnected.
        self.left = False
        #: The session and the user of a handshake, which are loaded together with others.
        self.login: Login | None = None
        #: Whether the stream joins its hub, which decides about it, before the response.
        self.joins = False
        #: Whether it is too late to serve a stream.
        self.is_over = False
        #: The stream that the response carries, once that is known.
        self.stream: BaseStream | None = None

    # --- the client ---

    async def unless_left(self, work: Awaitable[T]) -> T:
        """Return the result of ``work``; cancel it if the client or the caller gives up.

        Raises:
            ClientLeft: the client disconnected first.
        """
        future = asyncio.ensure_future(work)
        self.watch(future.cancel)
        try:
            return await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.left or (task is not None and task.cancelling()):
                raise
            raise ClientLeft from None
        finally:
            self._on_leave = None

    async def receive(self) -> Any:
        """Return the next message, for the wrapped application."""
        if self.left:  # some servers report it once, but a later stream must know, too
            return {"type": "http.disconnect"}
        message = await self._receive()
        self.left = message["type"] == "http.disconnect"
        return message

    def watch(self, on_leave: Callable[[], Any]) -> None:
        """Call ``on_leave`` when the client disconnects; drop what else it sends."""
        self._on_leave = on_leave
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._read(), context=self._context)
            self._context = None

    async def _read(self) -> None:
        try:  # not ``suppress()``, which lives as long as the stream
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except OSError:  # some servers report it like this
            pass
        self.left = True
        if self._on_leave is not None:
            self._on_leave()

    # --- the streams ---

    def offer(self, stream: BaseStream) -> None:
        """Add a stream that a response was made with; close it if it is too late to serve it."""
        with _lock:
            if not self.is_over:
                self._made.append(stream)
                return
        stream.close()

    def choose(self, stream: BaseStream | None) -> bool:
        """Choose the stream to serve: the one in the response. Return whether there is one.

        ``None``: a middleware put the body into another response, so the stream is not known. Then
        choose the one made last.
        """
        with _lock:
            if stream in self._made or (stream is None and self._made):
                self.stream = stream or self._made[-1]
            return self.stream is not None

    def take(self) -> BaseStream | None:
        """Return the chosen stream, which the caller must close; close all others, even later ones.

        Return ``None`` if no stream was chosen or the client has disconnected.
        """
        self.cookies, self.login = "", None
        with _lock:
            self.is_over = True
            made, self._made = self._made, []
            chosen, self.stream = None if self.left else self.stream, None
        for stream in made:
            if stream is not chosen:
                stream.close()
        return chosen

    def abandon(self) -> None:
        """Close all streams, even later ones; serve none."""
        stream = self.take()
        if stream is not None:
            stream.close()

    def end(self) -> None:
        """Stop receiving, and release everything."""
        self._on_leave = None
        if self._task is not None:
            self._task.cancel()
        self.abandon()


#: The exchange of the current request, if the wrapper serves it.
current_exchange: ContextVar[Exchange | None] = ContextVar("sse_notify.asgi.exchange", default=None)


def give_up_after(seconds: float, send: Any) -> bool:
    """End the connection behind ``send`` if sent data is not acknowledged for ``seconds``.

    ``0`` restores the system's default.

    Returns:
        Whether the connection was found and changed.
    """
    if _OPTION is None:
        return False
    # These attributes are not documented. Without them, the stream works without the timeout.
    with contextlib.suppress(Exception):
        if isinstance(send, partial):  # daphne: Server.handle_reply for one request
            behind = send.args[0].channel.transport.getHandle()
        else:  # uvicorn: RequestResponseCycle.send
            behind = send.__self__.transport.get_extra_info("socket")
        with socket.socket(fileno=os.dup(behind.fileno())) as found:
            if found.family in (socket.AF_INET, socket.AF_INET6):
                found.setsockopt(socket.IPPROTO_TCP, _OPTION, int(seconds * 1000))
                return True
    return False
