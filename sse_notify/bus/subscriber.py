"""Receive the messages of other processes, for as long as a hub has streams.

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
import math
import time
from typing import TYPE_CHECKING, Any

from sse_notify.bus import publisher
from sse_notify.conf import get_settings
from sse_notify.telemetry import Incident

if TYPE_CHECKING:
    from sse_notify.bus.publisher import Callback

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

    async def receive(self) -> dict[str, Any]:
        """Return the next message."""
        try:
            message: dict[str, Any] = await self.layer.receive(self._channel)
        except asyncio.CancelledError:
            self._released = True  # Oddity 4.
            raise
        return message

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
                    await self._unsubscribe()
                await self.layer.group_discard(get_settings().GROUP, self._channel)

    async def _unsubscribe(self) -> None:
        # Cancelling ``receive()`` is the only way to unsubscribe from the pub/sub layer.
        receiving = asyncio.create_task(self._drop_all())
        await asyncio.sleep(0)
        stop(receiving)
        await asyncio.wait({receiving})

    async def _drop_all(self) -> None:
        while True:  # A waiting message would end one ``receive()`` before it can be cancelled.
            await self.receive()


#: Tasks that leave the group: the event loop alone would not keep them until they are done.
_leaving: set[asyncio.Task[None]] = set()
