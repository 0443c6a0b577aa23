"""Ask the other processes which users are connected, and check that the channel layer answers.

    ask()          this process' sender thread                       hubs of the other processes
    waits ───────► opens a channel, sends a PresenceQuery ─────────► fanout.answer()
      ▲                                                                │
      └─ answers ─ receives until the time is over ◄───────────────────┘

Nobody knows how many processes there are: one that died says nothing, one that started just now is
on no list. So a call takes all the time that it was given.

Deliberate oddities:

1. Answers are received on a layer of their own, as Redis' core layer refuses to receive on two
   event loops.
2. That layer is kept and only its connections are closed, as each new pub/sub layer would stay
   referenced by the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from channels.layers import channel_layers

from sse_notify import fanout, listening
from sse_notify.conf import get_settings
from sse_notify.incidents import Incident
from sse_notify.messages import PresenceQuery

if TYPE_CHECKING:
    from concurrent.futures import Future

logger = logging.getLogger("sse_notify")

T = TypeVar("T")

_incident = Incident("layer_answers")


def ask(seconds: float) -> Future[list[dict[str, int]]]:
    """Ask every other process which users are connected to it. Callable from any thread.

    Args:
        seconds: how long to wait for answers; 0: nobody is asked.

    Returns:
        The number of streams by user's key, of each hub that answered in time. Without a layer that
        connects processes, or while it is away, there are none, at once.
    """
    return _run(_ask(seconds))


def echo(seconds: float) -> Future[bool]:
    """Send a message to ourselves over the layer. Callable from any thread.

    Returns:
        Whether it came back within ``seconds``.
    """
    return _run(_within(seconds, _send_to_ourselves()))


def _run(work: Coroutine[Any, Any, T]) -> Future[T]:
    return asyncio.run_coroutine_threadsafe(work, fanout.senders_loop())


async def _ask(seconds: float) -> list[dict[str, int]]:
    answers: list[dict[str, int]] = []
    if seconds and fanout.remote_layer() is not None:
        await _within(seconds, _collect(answers))
    return answers


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> bool:
    """Run ``work`` for at most ``seconds`` and return whether it succeeded.

    Nobody waits for ``work`` when it is cancelled, as a layer may take long to react.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        listening.stop(task)
    if not done:
        return False
    if (error := task.exception()) is not None:
        _incident.failed(error)
    return error is None


async def _collect(answers: list[dict[str, int]]) -> None:
    loop = asyncio.get_running_loop()
    async with _channel() as (layer, channel):
        await fanout.send(layer, PresenceQuery(channel))
        _incident.worked()
        while True:
            since = loop.time()
            try:
                message = await layer.receive(channel)
            except Exception:
                if loop.time() - since < listening.QUIET_SECONDS:
                    raise
                continue  # Oddity 2 of the module ``listening``.
            try:
                answers.append({str(key): int(n) for key, n in message["users"].items()})
            except Exception:  # Nothing from outside is believed.
                logger.exception("An answer of another process cannot be read.")


async def _send_to_ourselves() -> None:
    async with _channel() as (layer, channel):
        await layer.send(channel, {"type": "sse_notify.echo"})
        await layer.receive(channel)
        _incident.worked()


class _Layer:
    """A layer for answers, beside ``shared``."""

    def __init__(self) -> None:
        self.layer: Any = channel_layers.make_backend(get_settings().LAYER)
        self.lock = asyncio.Lock()
        self.users = 0

    async def close(self) -> None:
        """Close its connections; it can be used again."""
        # ``flush()`` closes the pub/sub layer's connections; the core layer's would empty the database.
        is_pubsub = type(self.layer).__module__ == "channels_redis.pubsub"
        close = self.layer.flush if is_pubsub else getattr(self.layer, "close_pools", None)
        if close is not None:
            with suppress(Exception):  # A layer that is away has no connections.
                await close()


#: By the layer that the hubs share: in tests it changes with the settings.
_layers: WeakKeyDictionary[Any, _Layer] = WeakKeyDictionary()


@asynccontextmanager
async def _channel() -> AsyncIterator[tuple[Any, str]]:
    """Open a channel for answers, and close the connections when nobody uses them any more."""
    own = _layers.setdefault(fanout.remote_layer(), _Layer())
    own.users += 1
    try:
        async with own.lock:  # Wait until the connections of the user before are closed.
            channel = await own.layer.new_channel("sse_notify.answers")
        yield own.layer, channel
    finally:
        own.users -= 1
        async with own.lock:
            if not own.users:
                await own.close()
