"""Ask the other processes which users are connected, and check that the channel layer answers.

    ask()          this process' sender thread                       hubs of the other processes
    waits ───────► opens a channel, sends a PresenceQuery ─────────► fanout.answer()
      ▲                                                                │
      └─ answers ─ receives until the time is over ◄───────────────────┘

Nobody knows how many processes there are: one that died says nothing, one that started just now is
on no list. So a call takes all the time that it was given.

Answers arrive on the layer that messages are sent over. After the first question, the pub/sub layer
keeps one more connection for as long as the process lives, and its task wakes ten times a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from sse_notify.bus import publisher, subscriber
from sse_notify.bus.messages import PresenceQuery
from sse_notify.telemetry import Incident

if TYPE_CHECKING:
    from concurrent.futures import Future

#: A group that nobody is in.
HEALTH_GROUP = "sse_notify.health"

logger = logging.getLogger("sse_notify")

T = TypeVar("T")
Answers = list[dict[str, int]]

_incident = Incident("layer_answers")


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
        subscriber.stop(task)
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
        _incident.worked()
        while True:
            since = loop.time()
            try:
                message = await layer.receive(channel)
            except Exception:
                if loop.time() - since < subscriber.QUIET_SECONDS:
                    raise
                continue  # Oddity 2 of the module ``listening``.
            _add(answers, message)
    except Exception as error:  # Whatever the layer raises.
        _incident.failed(error)
        return answers


def _add(answers: Answers, message: dict[str, Any]) -> None:
    try:
        answers.append({str(key): int(number) for key, number in message["users"].items()})
    except Exception:  # Nothing from outside is believed.
        logger.exception("An answer of another process cannot be read.")
