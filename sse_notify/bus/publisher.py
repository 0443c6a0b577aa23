"""Send messages to every hub, in this process and in other processes.

    publisher's thread                sender's thread, one per process        other processes' loops
    ring() ── deque ───────────────►  layer.group_send, in order  ─────────►  subscriber ─► hub
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
4. Messages that wait while another is sent are joined into one, and one that is not full is sent
   after a pause. Redis' core layer drops what a receiver has beyond 100 messages, and ephemeral
   events are not in the log. So a receiver that is busy for a second loses none.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.db import transaction

from sse_notify.bus import messages, postgres, signing
from sse_notify.bus.backlog import BACKLOG_BYTES, Backlog
from sse_notify.bus.messages import Batch, Message, PresenceQuery
from sse_notify.bus.postgres import PostgresLayer
from sse_notify.concurrency import greenlets
from sse_notify.conf import get_settings
from sse_notify.sse.format import dumps
from sse_notify.telemetry import Incident, count

#: Timeout of one send, in seconds.
SEND_SECONDS = 5.0
#: Seconds between two messages of the channel layer that are not full.
PAUSE_SECONDS = 0.01
#: Seconds without a dropped message until the next one that is sent ends the incident.
QUIET_SECONDS = 60.0
#: Timeout for the start of the sender's thread, in seconds. Without a timeout, gevent refuses to
#: wait for another thread if no timer and no other greenlet runs.
START_SECONDS = 60.0
#: Seconds that the process waits at its exit for messages that are not sent yet.
FLUSH_SECONDS = 2.0

logger = logging.getLogger("sse_notify")

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
    layer = remote_layer()
    # With PostgreSQL, the transaction that numbered a batch has told the other processes.
    is_told = isinstance(message, Batch) and isinstance(layer, PostgresLayer)
    if layer is not None and not is_told:
        for part in messages.split(message):
            _sender.put(part)


async def send(layer: Any, parts: Iterable[str]) -> None:
    """Send packed messages to the hubs of other processes, as one message of ``layer``.

    Raises:
        Exception: the channel layer raised it.
    """
    signed = signing.sign(get_settings().GROUP, parts)
    await layer.group_send(signing.groups()[0], signed)


def answer(query: PresenceQuery, users: Mapping[str, int]) -> None:
    """Answer ``query`` with the number of streams per user's primary key.

    Call it from any thread or event loop. An answer that cannot be sent is dropped, because the
    asking process waits only briefly.
    """
    layer = remote_layer()
    if layer is not None:
        signed = signing.sign(query.reply_channel, [dumps(dict(users))])
        sending = layer.send(query.reply_channel, signed)
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(sending, SEND_SECONDS), senders_loop())


def remote_layer() -> Any | None:
    """Return the layer that connects processes, the project's or PostgreSQL's, if there is one."""
    conf = get_settings()
    if conf.DOORBELL != "postgresql":
        layer = get_channel_layer(conf.LAYER)
        if layer is not None and not isinstance(layer, InMemoryChannelLayer):
            return layer
    return postgres.layer() if postgres.is_chosen() else None


def hears() -> bool:
    """Return whether a layer may bring what other processes send. Behind a pooler, it cannot."""
    layer = remote_layer()
    return layer is not None and not (isinstance(layer, PostgresLayer) and layer.is_deaf)


def poll_interval() -> float:
    """Return the seconds between two polls of the log."""
    default = 5.0 if hears() else 1.0
    return get_settings().POLL_INTERVAL or default


def prepare() -> None:
    """Start the sender's loop if messages will need it: a process that exits starts no threads."""
    layer = remote_layer()
    if layer is not None and not isinstance(layer, PostgresLayer):
        senders_loop()


def flush() -> None:
    """Wait until all messages are sent, at most ``FLUSH_SECONDS``; log if that is too short."""
    _sender.flush()


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
        self._waiting = Backlog()
        self._loop: Future[asyncio.AbstractEventLoop] | None = None
        self._incident = Incident("layer_send")
        self._overflow = Incident("layer_backlog", quiet=QUIET_SECONDS)
        self._is_idle = threading.Event()
        self._is_idle.set()

    def put(self, message: Message) -> None:
        loop = self.running_loop()
        with self._lock:
            dropped = self._waiting.put(message)
            if self._is_idle.is_set():
                self._is_idle.clear()
                asyncio.run_coroutine_threadsafe(self._send_all(), loop)
        if dropped:
            count("unsent", number=dropped)
            self._overflow.failed(OverflowError(f"More than {BACKLOG_BYTES} bytes wait."))

    def running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = greenlets.start_loop("sse_notify-sender")
                with suppress(RuntimeError):  # the process exits, and flushes already
                    getattr(threading, "_register_atexit", atexit.register)(self.flush)  # oddity 2
            loop = self._loop
        return loop.result(START_SECONDS)  # without the lock: under gevent, others run meanwhile

    def flush(self) -> None:
        if not self._is_idle.wait(FLUSH_SECONDS):
            self._failed(TimeoutError("Messages wait at the exit."), len(self._waiting))

    async def _send_all(self) -> None:
        while (parts := self._take()) is not None:
            try:
                layer = remote_layer()
                if layer is not None:
                    async with asyncio.timeout(SEND_SECONDS):
                        await send(layer, parts)
                self._incident.worked()
                self._overflow.worked()
            # A channel layer that is down must not stop publishers. Nobody cancels this task.
            except (Exception, asyncio.CancelledError) as error:
                self._failed(error, len(parts))
            if sum(map(len, parts)) < messages.MESSAGE_BYTES:
                await asyncio.sleep(PAUSE_SECONDS)

    def _take(self) -> list[str] | None:
        """Remove the oldest messages and return them packed: what is sent together (oddity 4).

        If there is none, return ``None``: the sender is idle.
        """
        parts: list[str] = []
        total = 0
        while total < messages.MESSAGE_BYTES:
            with self._lock:
                if not self._waiting:
                    if not parts:
                        self._is_idle.set()
                        return None
                    break
                message = self._waiting.take()
            try:
                packed = messages.pack(message)
                packed.encode()
            except Exception as error:  # no UTF-8, or no text: it must not stop the next
                self._failed(error, 1)
                continue
            parts.append(packed)
            total += len(packed)
        return parts

    def _failed(self, error: BaseException, unsent: int) -> None:
        count("unsent", number=unsent)
        self._incident.failed(error)


_sender = _Sender()


def deliver(message: Any, callback: Callback) -> None:
    """Call ``callback`` with the messages of another process; skip those of this one (oddity 3).

    Errors are logged, not raised: they are not failures of the channel layer.
    """
    for received in signing.verify(get_settings().GROUP, message, messages.unpack):
        _call(callback, received)


def _call(callback: Callback, message: Message) -> None:
    try:
        callback(message)
    except Exception:
        logger.exception("%s cannot be handled.", type(message).__name__)
