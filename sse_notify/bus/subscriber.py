"""Receive the messages of other processes, and ask them which users are connected.

    listen()       for as long as a hub has streams

    ask()          this process' sender thread                       hubs of the other processes
    waits ───────► opens a channel, sends a PresenceQuery ─────────► publisher.answer()
      ▲                                                                │
      └─ answers ─ receives until the time is over ◄───────────────────┘

Nobody knows how many processes there are: one that died says nothing, one that started just now is
on no list. So a question takes all the time that it was given. After the first, the pub/sub layer
keeps one more connection for as long as the process lives, and its task wakes ten times a second.

Deliberate oddities:

1. ``receive()`` runs without a timeout, as two of the layers lose messages when it is cancelled.
2. When ``receive()`` fails after a while of silence, it is called again before anything is logged.
   redis-py 8 gives up on an answer after as many seconds as channels-redis has Redis wait for a
   message, so on that layer every quiet site would report incidents.
3. Joining is not cancelled but undone. A channel whose creation was cancelled has no name to leave
   by, and would be sent to for a day; and while it connects, the Redis client may swallow a
   cancellation and listen for ever.
4. A cancellation that has an effect must have its time: the pub/sub layer ends its subscription
   when ``receive()`` is cancelled, and a second cancellation meanwhile would leave the subscription
   there for as long as the process lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from sse_notify.bus import publisher
from sse_notify.bus.messages import PresenceQuery
from sse_notify.bus.publisher import Callback
from sse_notify.conf import get_settings
from sse_notify.telemetry import Incident

#: Seconds of silence after which an error of the layer may be its own timeout.
QUIET_SECONDS = 1.0
#: Seconds between two joins of the group: membership expires, and an emptied Redis has forgotten it.
REJOIN_SECONDS = 60.0
#: Seconds that leaving the group may take.
LEAVE_SECONDS = 10.0
#: A cancellation that had no effect is repeated after so many checks, so many seconds apart. Not
#: one long wait: an event loop that was blocked has not given the task its time either.
CANCEL_CHECKS = 10
CANCEL_SECONDS = 1.0
#: A group that nobody is in.
HEALTH_GROUP = "sse_notify.health"

logger = logging.getLogger("sse_notify")

T = TypeVar("T")
Answers = list[dict[str, int]]

_asking = Incident("layer_answers")


async def listen(callback: Callback, ready: asyncio.Event) -> None:
    """Call ``callback`` with every message of the other processes, until :func:`stop` is called.

    What ``callback`` raises is logged, and the next message follows. ``ready`` is set when the
    group was joined, or could not be: whoever waits for it must not wait for a layer that is down.
    """
    layer = publisher.remote_layer()
    if layer is None:
        ready.set()
        return
    membership = Membership(layer)
    try:
        await _receive_all(membership, callback, ready)
    except asyncio.CancelledError:
        membership.leave_soon()
        raise


def stop(task: asyncio.Task[Any], checks: int = 0) -> None:
    """Cancel a task that uses a layer until it is over (oddities 3, 4). Call it once for a task."""
    if not task.done():
        if checks % CANCEL_CHECKS == 0:
            task.cancel()
        asyncio.get_running_loop().call_later(CANCEL_SECONDS, stop, task, checks + 1)


async def _receive_all(membership: Membership, callback: Callback, ready: asyncio.Event) -> None:
    incident = Incident("layer_receive")
    pause = 0.5
    while True:
        rejoin: asyncio.Task[None] | None = None
        joined_at = math.inf
        try:
            await membership.join()
            joined_at = time.monotonic()
            ready.set()
            rejoin = asyncio.create_task(_rejoin(membership))
            while True:
                message = await membership.receive()
                incident.worked()
                pause = 0.5
                publisher.deliver(message, callback)
        except Exception as error:  # Whatever a layer raises: the poll does without it.
            if time.monotonic() - joined_at > QUIET_SECONDS:
                continue  # Oddity 2: if something is out of order, joining again shows it.
            incident.failed(error)
            ready.set()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 10.0)
        finally:
            if rejoin is not None:
                rejoin.cancel()


async def _rejoin(membership: Membership) -> None:
    incident = Incident("layer_join")
    while True:
        await asyncio.sleep(rejoin_seconds(membership.layer))
        try:
            await membership.join()
            incident.worked()
        except Exception as error:  # The next round tries again.
            incident.failed(error)


def rejoin_seconds(layer: Any) -> float:
    """Return the seconds between two joins: after a failed one there is time before the expiry."""
    # In seconds. The pub/sub layer, where a membership is a subscription, has none.
    expiry = getattr(layer, "group_expiry", None)
    return REJOIN_SECONDS if expiry is None else min(REJOIN_SECONDS, expiry / 3)


class Membership:
    """One channel of ``layer`` in the group.

    It is kept over failures, as a channel that is left behind would stay in the group.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._channel: str | None = None
        self._joining: asyncio.Task[None] | None = None
        self._released = False

    async def join(self) -> None:
        """Join the group, or join it again. If cancelled, it goes on in the background (oddity 3)."""
        self._joining = asyncio.create_task(self._join())
        # Nobody else retrieves its exception if this here is cancelled.
        self._joining.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._joining)

    async def _join(self) -> None:
        if self._channel is None:
            self._channel = await self.layer.new_channel("sse_notify")
        await self.layer.group_add(get_settings().GROUP, self._channel)

    async def receive(self) -> Any:
        """Return the next message."""
        try:
            return await self.layer.receive(self._channel)
        except asyncio.CancelledError:
            self._released = True  # Oddity 4.
            raise

    def leave_soon(self) -> None:
        """Leave the group in the background."""
        task = asyncio.get_running_loop().create_task(self._leave())
        _leaving.add(task)
        task.add_done_callback(_leaving.discard)

    async def _leave(self) -> None:
        with contextlib.suppress(Exception):  # A layer that is down forgets by itself.
            async with asyncio.timeout(LEAVE_SECONDS):
                if self._joining is not None:
                    await asyncio.wait({self._joining})
                if self._channel is None:
                    return
                if not self._released:
                    # Cancelling ``receive()`` is the only way to unsubscribe from the pub/sub layer.
                    receiving = asyncio.create_task(self._drop_all())
                    await asyncio.sleep(0)
                    stop(receiving)
                    await asyncio.wait({receiving})
                await self.layer.group_discard(get_settings().GROUP, self._channel)

    async def _drop_all(self) -> None:
        while True:  # A waiting message would end one ``receive()`` before it can be cancelled.
            await self.receive()


#: Tasks that leave the group: the event loop alone would not keep them until they are done.
_leaving: set[asyncio.Task[None]] = set()


# --- questions ------------------------------------------------------------------------------------


def ask(seconds: float) -> Future[Answers]:
    """Ask every other process which users are connected to it. Callable from any thread.

    Args:
        seconds: how long to wait for answers; 0: nobody is asked.

    Returns:
        The number of streams by user's key, of each event loop that answered in time. Without a
        layer that connects processes, or while it is away, there are none, at once.
    """
    answers: Answers = []
    work = _within(seconds, _collect(answers), answers)
    return asyncio.run_coroutine_threadsafe(work, publisher.senders_loop())


def ping(seconds: float) -> Future[bool]:
    """Return whether the layer that connects processes answers in time. Callable from any thread."""
    work = _within(seconds, _ping(), default=False)
    return asyncio.run_coroutine_threadsafe(work, publisher.senders_loop())


async def _within(seconds: float, work: Coroutine[Any, Any, T], default: T) -> T:
    """Return what ``work`` returns, or ``default`` if it takes longer than ``seconds``.

    It is cancelled then, and nobody waits for it, as a layer may take long to react.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        stop(task)
    return task.result() if done else default


async def _ping() -> bool:
    layer = publisher.remote_layer()
    try:
        if layer is not None:
            await layer.group_send(HEALTH_GROUP, {"type": "sse_notify.ping"})
    except Exception:  # Whatever the layer raises.
        return False
    return layer is not None


async def _collect(answers: Answers) -> Answers:
    """Send the question and add what is answered to ``answers``, until cancelled or in vain."""
    layer, loop = publisher.remote_layer(), asyncio.get_running_loop()
    if layer is None:
        return answers
    try:
        # Redis' core layer receives on names with "!" on one event loop alone, which is a hub's.
        channel = (await layer.new_channel("sse_notify.answers")).replace("!", ".")
        await publisher.send(layer, PresenceQuery(channel))
        _asking.worked()
        while True:
            since = loop.time()
            try:
                message = await layer.receive(channel)
            except Exception:
                if loop.time() - since < QUIET_SECONDS:
                    raise
                continue  # Oddity 2.
            _add(answers, message)
    except Exception as error:  # Whatever the layer raises.
        _asking.failed(error)
        return answers


def _add(answers: Answers, message: dict[str, Any]) -> None:
    try:
        answers.append({str(key): int(number) for key, number in message["users"].items()})
    except Exception:  # Nothing from outside is believed.
        logger.exception("An answer of another process cannot be read.")
