"""Send messages to every hub, in this process and in other processes.

    publisher's thread                sender's thread, one per process        other processes' loops
    ring() ── deque ───────────────►  layer.group_send, in order  ─────────►  listening ─► hub
       └── call_soon_threadsafe ─► hubs of this process

The hubs of this process are called directly, all others through the channel layer. The channel
layer may drop messages: the hubs also read the log, and a message only saves them the wait. So a
publisher never waits for the channel layer and never gets its errors, which are logged once per
incident.

Deliberate oddities:

1. One thread with its own event loop sends for the whole process.
   ``async_to_sync(layer.group_send)`` creates an event loop, and so a Redis connection, per call.
2. At the interpreter's exit, waiting messages are flushed by ``threading._register_atexit``.
   ``atexit`` runs when the thread pools are already shut down, and resolving a host name needs one.
   Without the flush, the last messages of a management command would arrive at the next poll.
3. A message carries its sender's origin. The sending process skips the message, because its hubs
   already have it.
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

#: Maximum number of waiting messages. Beyond it, the oldest are dropped; hubs read the log anyway.
BACKLOG = 1000
#: Timeout of one send, in seconds.
SEND_SECONDS = 5.0
#: Seconds that the process waits at its exit for messages that are not sent yet.
FLUSH_SECONDS = 2.0

logger = logging.getLogger("sse_notify")

_TYPE = "sse_notify.ring"
_BOOT = uuid.uuid4().hex

Callback = Callable[[Message], None]


def ring_on_commit(message: Message, using: str) -> None:
    """Send ``message`` to every hub after the commit of the current transaction of ``using``.

    If there is no transaction, send it at once, without opening a database connection.
    """
    if transaction.get_connection(using).in_atomic_block:
        transaction.on_commit(partial(ring, message), using=using, robust=True)
    else:
        ring(message)


def ring(message: Message) -> None:
    """Send ``message`` to every hub. Call it from any thread or event loop.

    It returns at once and does not raise errors of the channel layer.
    """
    for callback, loop in list(_hubs.items()):
        try:
            loop.call_soon_threadsafe(_call, callback, message)
        except RuntimeError:  # The event loop is closed, so the hub is gone.
            detach(callback)
    if remote_layer() is not None:
        for part in messages.split(message):
            _sender.put(part)


async def send(layer: Any, message: Message) -> None:
    """Send ``message`` to the hubs of other processes through ``layer``.

    Raises:
        Exception: the channel layer raised it.
    """
    packed = {"type": _TYPE, "origin": origin(), **messages.pack(message)}
    await layer.group_send(get_settings().GROUP, packed)


def answer(query: PresenceQuery, users: Mapping[str, int]) -> None:
    """Answer ``query`` with the number of streams per user's primary key.

    Call it from any thread or event loop. An answer that cannot be sent is dropped, because the
    asking process waits only briefly.
    """
    layer = remote_layer()
    if layer is not None:
        sending = layer.send(query.reply_channel, {"type": _TYPE, "users": dict(users)})
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(sending, SEND_SECONDS), senders_loop())


def remote_layer() -> Any | None:
    """Return the channel layer if it connects processes; ``None`` if there is none or in memory."""
    layer = get_channel_layer(get_settings().LAYER)
    return None if layer is None or isinstance(layer, InMemoryChannelLayer) else layer


def senders_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of the sender's thread. Start the thread if necessary."""
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
    """The sender's thread. It starts at the first use, and again in a forked child."""

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
                getattr(threading, "_register_atexit", atexit.register)(self.flush)  # oddity 2
            return self._loop

    def flush(self) -> None:
        """Wait until all messages are sent, at most ``FLUSH_SECONDS``."""
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
            except Exception as error:  # A channel layer that is down must not stop publishers.
                self._incident.failed(error)


_sender = _Sender()


def origin() -> str:
    """Return an id of this process, unique among those that share a channel layer or database."""
    # A forked child shares the random part with its parent, but not the pid.
    return f"{_BOOT}-{os.getpid()}"


def _append(waiting: deque[Message], message: Message) -> None:
    """Append ``message`` to the queue.

    Consecutive revocations are joined, so that saving a thousand users one by one does not push
    events out of the queue.
    """
    joined = messages.join(waiting[-1], message) if waiting else None
    if joined is None:
        waiting.append(message)
    else:
        waiting[-1] = joined


def deliver(message: dict[str, Any], callback: Callback) -> None:
    """Call ``callback`` with a message of another process; skip those of this one (oddity 3).

    Errors are logged, not raised: they are bugs in this package, not failures of the channel layer.
    """
    if message.get("origin") == origin():
        return
    try:
        received = messages.unpack(message)
    except Exception:  # Do not trust data from outside.
        logger.exception("A message of the channel layer cannot be read.")
        return
    if received is not None:
        _call(callback, received)


def _call(callback: Callback, message: Message) -> None:
    try:
        callback(message)
    except Exception:
        logger.exception("%s cannot be handled.", type(message).__name__)
