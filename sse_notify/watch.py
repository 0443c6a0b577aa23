"""Whether the client of one request is still there: heard from the handshake on, for as long as its stream lives.

A handshake may wait for a thread while a thousand others are before it. Its client may give up meanwhile, and most servers say so only
to whoever calls ``receive()``; so that is called ahead, and what came is kept for the application, should it be the one to answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

T = TypeVar("T")

Message = MutableMapping[str, Any]


class ClientLeft(Exception):
    """Raised when a client is gone before it was answered."""


class Watch:
    """Reads what the server says of one client, in one task, which starts with the first question that needs it.

    Args:
        receive: the request's, as ASGI has it.
    """

    __slots__ = ("_ahead", "_arrived", "_on_leave", "_receive", "_serving", "_task", "left")

    def __init__(self, receive: Callable[[], Awaitable[Message]]) -> None:
        self._receive = receive
        self._ahead: list[
            Message
        ] = []  # one message as a rule; an empty deque takes ten times the memory
        self._arrived: asyncio.Future[None] | None = None
        self._on_leave: Callable[[], Any] | None = None
        self._serving = False
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
        """Have ``on_leave`` called when the client leaves; what else it sends from now on is dropped."""
        self._serving = True
        self._ahead.clear()
        self._start(on_leave)

    async def receive(self) -> Message:
        """Return the next message, for an application that answers itself; what was read ahead comes first."""
        while not self._ahead and self._task is not None and not self._task.done():
            # Not for the end of the task alone: it reads on.
            self._arrived = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._task, self._arrived}, return_when=asyncio.FIRST_COMPLETED)
        if self._ahead:
            return self._ahead.pop(0)
        if not self.left:
            message = await self._receive()
            if message["type"] != "http.disconnect":
                return message
            self.left = (
                True  # some servers say it once, and the stream that a view still makes must know
            )
        return {"type": "http.disconnect"}

    def end(self) -> None:
        """Stop reading."""
        self._on_leave = None
        if self._task is not None:
            self._task.cancel()

    def _start(self, on_leave: Callable[[], Any]) -> None:
        self._on_leave = on_leave
        if self._task is None or (self._task.done() and not self.left):
            self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            while (message := await self._receive())["type"] != "http.disconnect":
                if self._serving:
                    continue
                self._ahead.append(message)
                if self._arrived is not None and not self._arrived.done():
                    self._arrived.set_result(None)
                if message.get("more_body"):  # a body, which whoever answers takes at its own pace
                    return
        except OSError:  # as some servers say it
            pass
        self.left = True
        if self._on_leave is not None:
            self._on_leave()
