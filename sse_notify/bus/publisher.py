"""Send messages to every hub, in this process and in the others.

    publisher's thread                sender's thread, one a process          other processes' loops
    ring() ── deque ───────────────►  layer.group_send, in order  ─────────►  listening ─► hub
       └── call_soon_threadsafe ─► hubs of this process

Hubs of this process are called directly, the others through the layer. A layer may drop any
message: the log is the truth, the message only makes it fast. So a publisher never waits for the
layer and never sees its errors; they are logged once for each incident.

Deliberate oddities:

1. One thread with its own event loop sends for the whole process.
   ``async_to_sync(layer.group_send)`` makes a loop, and with it a Redis connection, for every call.
2. What waits at the interpreter's end is flushed through ``threading._register_atexit``, not
   ``atexit``: the latter runs when thread pools are shut already, and resolving a host name needs
   one. Otherwise what a management command sends last would arrive at the next poll.
3. A message carries the sender's origin, so that the sending process, whose hubs have it already,
   skips it.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.db import transaction

from sse_notify.bus import messages
from sse_notify.bus.messages import Message, PresenceQuery
from sse_notify.conf import get_settings
from sse_notify.telemetry import Incident

#: Messages that may wait for the layer. Beyond them the oldest are dropped, as hubs read the log.
BACKLOG = 1000
#: Seconds that one send may take before it counts as failed.
SEND_SECONDS = 5.0
#: Seconds that the end of the process waits for what is not sent yet.
FLUSH_SECONDS = 2.0

logger = logging.getLogger("sse_notify")

_TYPE = "sse_notify.ring"
_BOOT = uuid.uuid4().hex

Callback = Callable[[Message], None]


def ring_on_commit(message: Message, using: str) -> None:
    """Send ``message`` to every hub after the commit of the current transaction of ``using``.

    If there is no transaction, send it at once, without opening a connection.
    """
    if transaction.get_connection(using).in_atomic_block:
        transaction.on_commit(partial(ring, message), using=using, robust=True)
    else:
        ring(message)


def ring(message: Message) -> None:
    """Send ``message`` to every hub. Callable from any thread and from any event loop.

    Returns at once and never raises for the layer.
    """
    for callback, loop in list(_hubs.items()):
        try:
            loop.call_soon_threadsafe(_call, callback, message)
        except RuntimeError:  # The loop is closed, and with it the hub.
            detach(callback)
    if remote_layer() is not None:
        for part in messages.split(message):
            _sender.put(part)


async def send(layer: Any, message: Message) -> None:
    """Send ``message`` to the hubs of other processes over ``layer``.

    Raises:
        Exception: whatever the layer raises.
    """
    packed = {"type": _TYPE, "origin": origin(), **messages.pack(message)}
    await layer.group_send(get_settings().GROUP, packed)


def answer(query: PresenceQuery, users: Mapping[str, int]) -> None:
    """Answer ``query`` with the number of streams by user's key. Callable as :func:`ring` is.

    An answer that cannot be sent is dropped: nobody waits for it for long.
    """
    layer = remote_layer()
    if layer is not None:
        sending = layer.send(query.reply_channel, {"type": _TYPE, "users": dict(users)})
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(sending, SEND_SECONDS), senders_loop())


def remote_layer() -> Any | None:
    """Return the channel layer if it connects processes; ``None`` if it is in memory."""
    layer = get_channel_layer(get_settings().LAYER)
    return None if layer is None or isinstance(layer, InMemoryChannelLayer) else layer


def senders_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of the thread that sends; it is started if need be."""
    return _sender.running_loop()


# --- hubs of this process -------------------------------------------------------------------------

_hubs: dict[Callback, asyncio.AbstractEventLoop] = {}


def attach(callback: Callback) -> None:
    """Call ``callback`` on the running loop with every message that this process sends."""
    _hubs[callback] = asyncio.get_running_loop()


def detach(callback: Callback) -> None:
    """Undo :func:`attach`."""
    _hubs.pop(callback, None)


# --- other processes ------------------------------------------------------------------------------


class _Sender:
    """The thread that sends, started when it is first needed and anew in a forked child."""

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Message] = deque(maxlen=BACKLOG)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._incident = Incident("layer_send")
        self._is_idle = threading.Event()
        self._is_idle.set()

    def put(self, message: Message) -> None:
        loop = self.running_loop()
        with self._lock:
            _append(self._waiting, message)
            if self._is_idle.is_set():
                self._is_idle.clear()
                asyncio.run_coroutine_threadsafe(self._send_all(), loop)

    def running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                run = self._loop.run_forever
                threading.Thread(target=run, name="sse_notify-sender", daemon=True).start()
                getattr(threading, "_register_atexit", atexit.register)(self.flush)  # Oddity 2.
            return self._loop

    def flush(self) -> None:
        """Wait until all is sent, but not for long."""
        self._is_idle.wait(FLUSH_SECONDS)

    async def _send_all(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_idle.set()
                    return
                message = self._waiting.popleft()
            try:
                layer = remote_layer()
                if layer is not None:
                    async with asyncio.timeout(SEND_SECONDS):
                        await send(layer, message)
                self._incident.worked()
            except Exception as error:  # A layer that is down is not the publisher's business.
                self._incident.failed(error)


_sender = _Sender()


def origin() -> str:
    """Return what identifies this process among all that share the layer or the database."""
    # The pid tells a forked child from its parent, which share the random part.
    return f"{_BOOT}-{os.getpid()}"


def _append(waiting: deque[Message], message: Message) -> None:
    """Append ``message``.

    Revocations in a row are joined: a thousand users that are saved one by one must not push events
    out of the queue.
    """
    joined = messages.join(waiting[-1], message) if waiting else None
    if joined is None:
        waiting.append(message)
    else:
        waiting[-1] = joined


def deliver(message: dict[str, Any], callback: Callback) -> None:
    """Call ``callback`` with what another process sent; skip what this process sent (oddity 3).

    What fails is logged: it is a defect of ours, and the layer is not to blame.
    """
    if message.get("origin") == origin():
        return
    try:
        received = messages.unpack(message)
    except Exception:  # Nothing from outside is believed.
        logger.exception("A message of the channel layer cannot be read.")
        return
    if received is not None:
        _call(callback, received)


def _call(callback: Callback, message: Message) -> None:
    try:
        callback(message)
    except Exception:
        logger.exception("%s cannot be handled.", type(message).__name__)
