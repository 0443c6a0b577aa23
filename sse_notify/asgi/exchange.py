"""One request beside Django: whether its client is still there, and the streams that were made for it.

A handshake may wait for a thread while a thousand others are before it. Its client may give up meanwhile, and most servers say so only
to whoever calls ``receive()``; so that is called from then on, and what else the client sends is dropped.

Some clients go without a word: a phone without a network acknowledges nothing, and TCP gives up on it after a quarter of an hour.
``TCP_USER_TIMEOUT`` (RFC 5482) makes it less, and ends the connection of a client that takes nothing as well, even on a server that
holds no writer back. ASGI shows an application no socket. Two servers' ``send`` leads to it all the same: uvicorn's and daphne's. With
others, and behind a proxy, which has clients of its own, it stays as it is: the stream ends when a write blocks, or at its maximum age.

Nothing here needs the apps to be loaded: `sse_notify.asgi.app` is imported before they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from sse_notify.streaming.base import BaseStream

# Linux has it, others do not.
_OPTION: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)

T = TypeVar("T")
ViewT = TypeVar("ViewT", bound=Callable[..., Any])
MARK = "_sse_notify_event_stream"


def event_stream(view: ViewT) -> ViewT:
    """Mark a sync view that answers with an event stream: its handshake then runs in one thread hop.

    Decorators that use ``functools.wraps`` keep the mark. A stream from a view without it is served as well, after a handshake through
    Django's async handler.
    """
    setattr(view, MARK, True)
    return view


class ClientLeft(Exception):
    """Raised when a client is gone before it was answered."""


class Exchange:
    """Reads what the server says of one client, and passes a stream from the view that made it to the wrapper that serves it.

    One task reads; it starts with the first question that needs it. The view's side may be another thread's.

    Args:
        receive: the request's, as ASGI has it.
        cookies: the request's ``Cookie`` header.
    """

    __slots__ = ("_lock", "_made", "_on_leave", "_receive", "_task", "cookies", "is_over", "joins", "left", "stream")  # fmt: skip

    def __init__(self, receive: Callable[[], Awaitable[Any]], cookies: str) -> None:
        self._receive = receive
        self._on_leave: Callable[[], Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock = threading.Lock()
        self._made: list[BaseStream] = []
        self.cookies = cookies
        #: Whether the client is known to be gone.
        self.left = False
        #: Whether the stream joins its hub, which decides about it, before the request is answered.
        self.joins = False
        #: Whether nobody waits for a stream any more.
        self.is_over = False
        #: The stream that the response carries, once that is known.
        self.stream: BaseStream | None = None

    # --- the client ---

    async def unless_left(self, work: Awaitable[T]) -> T:
        """Return what ``work`` returns. When the client leaves or the caller is cancelled, it is cancelled.

        Raises:
            ClientLeft: the client left first.
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
        """Return the next message, for an application that answers itself."""
        if self.left:  # some servers say it once, and the stream that a view still makes must know
            return {"type": "http.disconnect"}
        message = await self._receive()
        self.left = message["type"] == "http.disconnect"
        return message

    def watch(self, on_leave: Callable[[], Any]) -> None:
        """Have ``on_leave`` called when the client leaves; what else it sends is dropped."""
        self._on_leave = on_leave
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except OSError:  # as some servers say it
            pass
        self.left = True
        if self._on_leave is not None:
            self._on_leave()

    # --- the streams ---

    def offer(self, stream: BaseStream) -> None:
        """Take in a stream that a response was made with; if nobody waits for it any more, it is closed."""
        with self._lock:
            if not self.is_over:
                self._made.append(stream)
                return
        stream.close()

    def choose(self, stream: BaseStream | None) -> bool:
        """Have ``stream`` served, as the response that carries it is the answer. Return whether there is one.

        ``None``: a middleware has put another response around the body, which does not say; then the last that was made.
        """
        with self._lock:
            if stream in self._made or (stream is None and self._made):
                self.stream = stream or self._made[-1]
            return self.stream is not None

    def take(self) -> BaseStream | None:
        """Return the stream that was chosen, which from then on is the caller's, and close all others, and what still comes.

        ``None``: there is none, or nobody to serve it to.
        """
        with self._lock:
            self.is_over = True
            made, self._made = self._made, []
            chosen, self.stream = None if self.left else self.stream, None
        for stream in made:
            if stream is not chosen:
                stream.close()
        return chosen

    def abandon(self) -> None:
        """Close all streams, and what still comes: nothing is served."""
        stream = self.take()
        if stream is not None:
            stream.close()

    def end(self) -> None:
        """Stop reading, and let go of everything."""
        self._on_leave = None
        if self._task is not None:
            self._task.cancel()
        self.abandon()


#: Where a response finds the wrapper that its request came through.
current_exchange: ContextVar[Exchange | None] = ContextVar("sse_notify.asgi.exchange", default=None)


def give_up_after(seconds: float, send: Any) -> bool:
    """Have the connection behind an ASGI ``send`` end when what is sent is not acknowledged for ``seconds``; 0: as before.

    Returns:
        Whether the connection was found and changed.
    """
    if _OPTION is None:
        return False
    # These are no documented attributes; whatever they turn out to be, the stream works without.
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
