"""Asking every hub how it is, and hearing the answers, in any process: one without a hub, and one under WSGI, as well.

    caller                       sender's loop of this process                         every hub
    collect() ── waits ───────►  opens a channel of its own, rings a RollCall ──────►  answer(): its numbers
       ▲                                                                                   │
       └── what came in time ──  receive() ◄───────────── the layer, or this process ◄─────┘

Nobody knows how many hubs there are: a process that died says nothing, one that was started just now is on no list. So a call takes
all the time that it was given, unless no layer connects processes: the hubs of this process can be counted.

Deliberate oddities:

1. The answers come over a layer of their own: one of Redis' core layer refuses to receive on two event loops.
2. Its channel outlives the call for a while, so that whoever asks every second does not connect every second.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
import uuid
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sse_notify import counters, fanout, listening, messages
from sse_notify.admission import admission
from sse_notify.incidents import Incident
from sse_notify.messages import RollCall

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sse_notify.hub import Hub

#: Seconds that the channel for answers stays open after the last call.
LINGER_SECONDS = 5.0

HOST = socket.gethostname()
STARTED = time.time()

_numbers = itertools.count(1)
_ids: WeakKeyDictionary[Hub, int] = WeakKeyDictionary()


def answer(call: RollCall, hub: Hub) -> None:
    """Answer ``call`` with the numbers of ``hub``. To be called on the hub's loop: it neither queries nor waits."""
    if hub not in _ids:
        _ids[hub] = next(_numbers)
    users = Counter(
        str(stream.reader.user_id) for stream in hub.streams if stream.reader.user_id is not None
    )
    found = {
        "id": f"{HOST}:{os.getpid()}:{_ids[hub]}",
        "host": HOST,
        "pid": os.getpid(),
        "started": STARTED,
        "at": time.time(),
        "streams": len(hub.streams),
        "people": len(users),
        "anonymous": len(hub.streams) - users.total(),
        "cursor": hub.cursor,
        "draining": admission.draining,
        "counters": counters.snapshot(),
    }
    fanout.reply(call, {**found, "users": users} if call.users else found)


# --- asking --------------------------------------------------------------------------------------------------------------------


def collect(
    seconds: float, *, users: bool, everywhere: bool = True
) -> Future[list[dict[str, Any]]]:
    """Ask every hub. Callable from any thread and from any event loop.

    Args:
        seconds: how long answers of other processes are waited for.
        users: whether they are to name their users.
        everywhere: whether to ask other processes at all.

    Returns:
        The answers that came. It is done after little more than ``seconds``, and at once while no layer connects processes.
    """
    return asyncio.run_coroutine_threadsafe(
        _collect(seconds, users=users, everywhere=everywhere), fanout.senders_loop()
    )


class _Call:
    """The answers to one call. All methods are to be called on the sender's loop."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.answers: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def take(self, found: dict[str, Any]) -> None:
        self.answers.append(found)
        self._news.set()

    async def all_of(self, number: int) -> None:
        """Wait for the answers of ``number`` hubs."""
        while len({found["id"] for found in self.answers}) < number:
            await self._news.wait()
            self._news.clear()


async def _collect(seconds: float, *, users: bool, everywhere: bool) -> list[dict[str, Any]]:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    call = _Call()
    line = _line()
    line.calls[call.id] = call
    try:
        channel = await line.open(seconds) if everywhere else ""
        rung = RollCall(
            call.id, channel, users, here=lambda found: loop.call_soon_threadsafe(call.take, found)
        )
        here = fanout.ring(rung)
        if channel:
            await asyncio.sleep(end - loop.time())
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    await call.all_of(here)
    finally:
        del line.calls[call.id]
        line.close_soon()
    return call.answers


def echo(seconds: float) -> Future[bool]:
    """Say something to ourselves over the layer. Callable as :func:`collect` is.

    Returns:
        Whether it came back within ``seconds``.
    """
    return asyncio.run_coroutine_threadsafe(_echo(seconds), fanout.senders_loop())


async def _echo(seconds: float) -> bool:
    call = _Call()
    line = _line()
    line.calls[call.id] = call
    try:
        async with asyncio.timeout(seconds):
            channel = await line.open(seconds)
            if channel:
                fanout.reply(RollCall(call.id, channel), {"id": "echo"})
                await call.all_of(1)
            return bool(channel)
    except TimeoutError:
        return False
    finally:
        del line.calls[call.id]
        line.close_soon()


# --- hearing the answers of other processes --------------------------------------------------------------------------------------


class _Line:
    """The channel for answers, open while somebody waits for some. All methods are to be called on the sender's loop."""

    def __init__(self) -> None:
        #: The calls that wait, by id.
        self.calls: dict[str, _Call] = {}
        self._lock = asyncio.Lock()
        self._channel = ""
        self._shared: Any = None
        self._layer: Any = None
        self._hearing: asyncio.Task[None] | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._incident = Incident("layer_answers")

    async def open(self, seconds: float) -> str:
        """Return the channel's name; "" if no layer connects processes, or if it is away for ``seconds``."""
        if fanout.remote_layer() is None:
            return ""
        try:
            async with asyncio.timeout(seconds):
                async with self._lock:
                    if (
                        self._hearing is None
                        or self._hearing.done()
                        or self._shared is not fanout.remote_layer()
                    ):
                        await self._connect()
        except (
            Exception
        ) as error:  # whatever a layer raises: this process' own hubs answer all the same
            self._incident.failed(error)
            return ""
        self._incident.worked()
        return self._channel

    def close_soon(self) -> None:
        """Close the channel if nobody asks for a while."""
        if self._closing is not None:
            self._closing.cancel()
        self._closing = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close)

    async def _connect(self) -> None:
        if self._shared is not fanout.remote_layer():  # in tests, with other settings
            await self._hang_up()
            self._shared, self._layer = fanout.remote_layer(), fanout.another_layer()
        try:
            self._channel = await self._layer.new_channel("sse_notify.answers")
        except (
            BaseException
        ):  # the pub/sub layer would go on trying by itself, and say so each time
            await self._hang_up()
            raise
        self._hearing = asyncio.get_running_loop().create_task(
            self._hear(self._layer, self._channel)
        )

    async def _hear(self, layer: Any, channel: str) -> None:
        """Give each answer to the call that it is for, until cancelled or in vain."""
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            try:
                message = await layer.receive(channel)
            except Exception as error:
                if loop.time() - since > listening.QUIET_SECONDS:
                    continue  # a quiet channel of a Redis layer says so by an error; see ``listening``
                self._incident.failed(error)
                return  # the next call opens another
            if message.get("call") in self.calls:
                self.calls[message["call"]].take(messages.unpack_answer(message["answer"]))

    def _close(self) -> None:
        if not self.calls:
            _keep(self._disconnect())

    async def _disconnect(self) -> None:
        async with self._lock:
            if not self.calls:
                await self._hang_up()

    async def _hang_up(self) -> None:
        """Hear no more, and close the layer's connections."""
        if self._hearing is not None:
            listening.stop(self._hearing)
            await asyncio.wait({self._hearing})
        self._hearing = None
        if self._layer is not None:
            with suppress(Exception):  # one that is away has none
                await fanout.close_layer(self._layer)


_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()


def _line() -> _Line:
    """Return the line of the running loop: a forked child has a sender, and with it a loop, of its own."""
    return _lines.setdefault(asyncio.get_running_loop(), _Line())


_tasks: set[asyncio.Task[None]] = set()


def _keep(coroutine: Any) -> None:
    # So that the task is not collected before it is done.
    task = asyncio.get_running_loop().create_task(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
