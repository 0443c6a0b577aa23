"""Ask other processes which users are connected, and the channel layer whether it answers.

    ask()          this process' sender thread                       hubs of the other processes
    waits ───────► opens a channel, sends a PresenceQuery ─────────► publisher.answer()
      ▲                                                                │
      └─ answers ─ receives until the timeout ◄────────────────────────┘

The number of processes is unknown: a process that died does not answer, and a new one is on no
list. So :func:`ask` always waits for its whole timeout. After the first call, the pub/sub layer
keeps one more connection until the process ends, and its task wakes ten times per second.

A channel is a connection in PostgreSQL. So calls share a query: a page that many open at once, and
that shows who is connected, must not use up the connections.
"""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import Future
from typing import Any

from sse_notify.bus import publisher, signing
from sse_notify.bus.messages import PresenceQuery, pack
from sse_notify.bus.subscriber import QUIET_SECONDS, stop
from sse_notify.telemetry import Incident

#: Minimum seconds between two presence queries.
GATHER_SECONDS = 0.05
#: Maximum number of answers to one presence query.
MAX_ANSWERS = 1000

Answers = list[dict[str, int]]

_asking = Incident("layer_answers")


def ask(seconds: float) -> Future[Answers]:
    """Ask every other process which users are connected to it. Call it from any thread.

    Args:
        seconds: how long to wait for answers; 0: do not ask.

    Returns:
        For each event loop that answered in time, the number of streams per user's primary key. If
        no channel layer connects processes, or it is down, the result is empty, without waiting.
    """
    return asyncio.run_coroutine_threadsafe(_ask(seconds), publisher.senders_loop())


def ping(seconds: float) -> Future[bool]:
    """Return whether the channel layer answers within ``seconds``. Call it from any thread."""
    return asyncio.run_coroutine_threadsafe(_ping(seconds), publisher.senders_loop())


async def _ping(seconds: float) -> bool:
    layer = publisher.remote_layer()
    if layer is None:
        return False
    sent = layer.group_send(signing.health_group(), {"type": "sse_notify.ping"})
    task = asyncio.get_running_loop().create_task(sent)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        stop(task)  # not awaited: a channel layer may react slowly
    return task.done() and not task.cancelled() and task.exception() is None


async def _ask(seconds: float) -> Answers:
    query = _Query.waiting
    if query is None or not query.calls or query.task.get_loop() is not asyncio.get_running_loop():
        query = _Query.waiting = _Query()
    query.calls += 1
    try:
        await asyncio.wait({query.task}, timeout=seconds)
    finally:
        query.calls -= 1
        if not query.calls:
            stop(query.task)  # not awaited, as in _ping()
    return list(query.answers)


class _Query:
    """A query, and the answers to it. All calls share it that come before it is sent."""

    waiting: _Query | None = None  #: The query that is not sent yet.
    sent_at = -math.inf  #: When the last one was sent.

    def __init__(self) -> None:
        self.answers: Answers = []
        self.calls = 0
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        layer, loop = publisher.remote_layer(), asyncio.get_running_loop()
        if layer is None:
            return
        try:
            await asyncio.sleep(_Query.sent_at + GATHER_SECONDS - loop.time())
            # Redis' core layer receives on names with "!" in one event loop only, which is a hub's.
            channel = (await layer.new_channel("sse_notify.answers")).replace("!", ".")
            _Query.waiting, _Query.sent_at = None, loop.time()
            # Before the query is sent: only cancelling ``receive()`` closes the channel.
            receiving = loop.create_task(self._receive(layer, channel))
            try:
                await publisher.send(layer, [pack(PresenceQuery(channel))])
                _asking.worked()
                await receiving
            finally:
                stop(receiving)
        except Exception as error:  # Channel layers raise any exception.
            _asking.failed(error)

    async def _receive(self, layer: Any, channel: str) -> None:
        while True:
            since = time.monotonic()
            try:
                message = await layer.receive(channel)
            except Exception as error:
                if time.monotonic() - since < QUIET_SECONDS:
                    _asking.failed(error)
                    return
                continue  # the layer's own timeout: see `sse_notify.bus.subscriber`, oddity 2
            self.answers += signing.verify(channel, message, _users)
            del self.answers[MAX_ANSWERS:]


def _users(packed: Any) -> dict[str, int]:
    """Return the number of streams per user's primary key, as another process has packed it."""
    match packed:
        case dict(users) if all(type(number) is int and number > 0 for number in users.values()):
            return users
    raise ValueError("An answer has another form.")
