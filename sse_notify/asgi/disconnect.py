"""Whether the client of one request is still there: asked from the handshake on, for as long as its stream lives.

A handshake may wait for a thread while a thousand others are before it. Its client may give up meanwhile, and most servers say so only
to whoever calls ``receive()``; so that is called from then on, and what else the client sends is dropped.

Some clients go without a word: a phone without a network acknowledges nothing, and TCP gives up on it after a quarter of an hour.
``TCP_USER_TIMEOUT`` (RFC 5482) makes it less, and ends the connection of a client that takes nothing as well, even on a server that
holds no writer back. ASGI shows an application no socket. Two servers' ``send`` leads to it all the same: uvicorn's and daphne's. With
others, and behind a proxy, which has clients of its own, it stays as it is: the stream ends when a write blocks, or at its maximum age.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, TypeVar

# Linux has it, others do not.
_OPTION: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)

T = TypeVar("T")

Message = MutableMapping[str, Any]


class ClientLeft(Exception):
    """Raised when a client is gone before it was answered."""


class Watch:
    """Reads what the server says of one client, in one task, which starts with the first question that needs it.

    Args:
        receive: the request's, as ASGI has it.
    """

    __slots__ = ("_on_leave", "_receive", "_task", "left")

    def __init__(self, receive: Callable[[], Awaitable[Message]]) -> None:
        self._receive = receive
        self._on_leave: Callable[[], Any] | None = None
        self._task: asyncio.Task[None] | None = None
        #: Whether the client is known to be gone.
        self.left = False

    async def unless_left(self, work: Awaitable[T]) -> T:
        """Return what ``work`` returns. When the client leaves or the caller is cancelled, it is cancelled.

        Raises:
            ClientLeft: the client left first.
        """
        future = asyncio.ensure_future(work)
        self._start(future.cancel)
        try:
            return await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.left or (task is not None and task.cancelling()):
                raise
            raise ClientLeft from None
        finally:
            self._on_leave = None

    def serving(self, on_leave: Callable[[], Any]) -> None:
        """Have ``on_leave`` called when the client leaves; what else it sends is dropped."""
        self._start(on_leave)

    async def receive(self) -> Message:
        """Return the next message, for an application that answers itself."""
        if self.left:  # some servers say it once, and the stream that a view still makes must know
            return {"type": "http.disconnect"}
        message = await self._receive()
        self.left = message["type"] == "http.disconnect"
        return message

    def end(self) -> None:
        """Stop reading."""
        self._on_leave = None
        if self._task is not None:
            self._task.cancel()

    def _start(self, on_leave: Callable[[], Any]) -> None:
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


def give_up_after(seconds: float, send: Any) -> bool:
    """Have the connection behind an ASGI ``send`` end when what is sent is not acknowledged for ``seconds``; 0: as before.

    Returns:
        Whether the connection was found and changed.
    """
    if _OPTION is None:
        return False
    # These are no documented attributes; whatever they turn out to be, the stream works without.
    with contextlib.suppress(Exception):
        number = _file_behind(send)
        if number is not None and number >= 0:
            with socket.socket(fileno=os.dup(number)) as found:
                if found.family in (socket.AF_INET, socket.AF_INET6):
                    found.setsockopt(socket.IPPROTO_TCP, _OPTION, int(seconds * 1000))
                    return True
    return False


def _file_behind(send: Any) -> int | None:
    if isinstance(send, partial):  # daphne: Server.handle_reply for one request
        return int(send.args[0].channel.transport.getHandle().fileno())
    transport = getattr(
        getattr(send, "__self__", None), "transport", None
    )  # uvicorn: RequestResponseCycle.send
    return None if transport is None else int(transport.get_extra_info("socket").fileno())
