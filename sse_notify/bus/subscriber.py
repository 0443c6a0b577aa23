"""Receive messages of other processes, as long as a hub has streams.

Deliberate oddities:

1. ``receive()`` runs without a timeout, because two channel layers lose messages when it is
   cancelled.
2. When ``receive()`` fails after some silence, it is called again before an error is logged.
   channels-redis lets Redis wait for a message exactly as long as redis-py 8 waits for the reply,
   so with this channel layer every quiet site would log errors.
3. Joining the group is not cancelled; the process leaves it afterwards. If the creation of a
   channel is cancelled, its name is unknown, so the channel cannot leave the group and gets
   messages for a day. Also, the Redis client may swallow a cancellation while it connects, and then
   receive forever.
4. A cancellation that works needs time: the pub/sub layer unsubscribes when ``receive()`` is
   cancelled. A second cancellation during that would keep the subscription until the process ends.
5. A message that the channel layer cannot decode makes ``receive()`` fail, too, for example while
   processes with another ``serializer_format`` run. Hundreds may wait, with good ones between. So
   there is only a pause if joining failed, or if nothing else is received.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from typing import Any

from sse_notify.bus import publisher, signing
from sse_notify.bus.publisher import Callback
from sse_notify.telemetry import Incident

#: Seconds of silence after which an error of the channel layer may be its own timeout.
QUIET_SECONDS = 1.0
#: Failures of ``receive()`` in a row before there is a pause after each.
MAX_UNREAD = 1000
#: Seconds between two joins of the group: membership expires, and flushing Redis deletes it.
REJOIN_SECONDS = 60.0
#: Timeout for leaving the group, in seconds.
LEAVE_SECONDS = 10.0
#: A cancellation without effect is repeated after this many checks, which are ``CANCEL_SECONDS``
#: apart. One long wait would also count the time in which a blocked event loop runs no task.
CANCEL_CHECKS = 10
CANCEL_SECONDS = 1.0

logger = logging.getLogger("sse_notify")


async def listen(callback: Callback, ready: asyncio.Event) -> None:
    """Call ``callback`` with every message of other processes, until :func:`stop` is called.

    Errors of ``callback`` are logged, and the next message follows. ``ready`` is set when joining
    the group has succeeded or failed, so that callers do not wait for a channel layer that is down.
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
    """Cancel a task of a channel layer until it ends (oddities 3, 4). Call it once per task."""
    if not task.done():
        if checks % CANCEL_CHECKS == 0:
            task.cancel()
        asyncio.get_running_loop().call_later(CANCEL_SECONDS, stop, task, checks + 1)


async def _receive_all(membership: Membership, callback: Callback, ready: asyncio.Event) -> None:
    incident = Incident("layer_receive")
    pause = 0.5
    unread = 0
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
                pause, unread = 0.5, 0
                publisher.deliver(message, callback)
        except Exception as error:  # Channel layers raise any exception. Polling continues.
            if time.monotonic() - joined_at > QUIET_SECONDS:
                continue  # Oddity 2: if the channel layer is down, the next join fails.
            incident.failed(error)
            ready.set()
            unread += joined_at < math.inf
            if joined_at == math.inf or unread > MAX_UNREAD:  # oddity 5
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
        except Exception as error:  # The next iteration tries again.
            incident.failed(error)


def rejoin_seconds(layer: Any) -> float:
    """Return the seconds between two joins, so that a failed join can be repeated before expiry."""
    # In seconds. The pub/sub layer has no expiry: a membership is a subscription.
    expiry = getattr(layer, "group_expiry", None)
    return REJOIN_SECONDS if expiry is None else min(REJOIN_SECONDS, expiry / 3)


class Membership:
    """One channel of ``layer`` in the group.

    The channel is kept after failures, because an abandoned channel would stay in the group.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._channel: str | None = None
        self._joining: asyncio.Task[None] | None = None
        self._released = False

    async def join(self) -> None:
        """Join or rejoin the group. If cancelled, it continues in the background (oddity 3)."""
        self._joining = asyncio.create_task(self._join())
        # Retrieve the exception, because no other code does if this method is cancelled.
        self._joining.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._joining)

    async def _join(self) -> None:
        if self._channel is None:
            self._channel = await self.layer.new_channel("sse_notify")
        for group in signing.groups():
            await self.layer.group_add(group, self._channel)

    async def receive(self) -> Any:
        """Return the next message."""
        try:
            return await self.layer.receive(self._channel)
        except asyncio.CancelledError:
            self._released = True  # oddity 4
            raise

    def leave_soon(self) -> None:
        """Leave the group in the background."""
        task = asyncio.get_running_loop().create_task(self._leave())
        _leaving.add(task)
        task.add_done_callback(_leaving.discard)

    async def _leave(self) -> None:
        with contextlib.suppress(Exception):  # If the channel layer is down, membership expires.
            async with asyncio.timeout(LEAVE_SECONDS):
                if self._joining is not None:
                    await asyncio.wait({self._joining})
                if self._channel is None:
                    return
                if not self._released:
                    # Only cancelling ``receive()`` unsubscribes from the pub/sub layer.
                    receiving = asyncio.create_task(self._drop_all())
                    await asyncio.sleep(0)
                    stop(receiving)
                    await asyncio.wait({receiving})
                for group in signing.groups():
                    await self.layer.group_discard(group, self._channel)

    async def _drop_all(self) -> None:
        with contextlib.suppress(Exception):  # the layer is down: nothing to unsubscribe from
            while (
                True
            ):  # A waiting message would end a single ``receive()`` before its cancellation.
                await self.receive()


#: Tasks that leave the group. The event loop keeps only weak references to tasks.
_leaving: set[asyncio.Task[None]] = set()
