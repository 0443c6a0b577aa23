"""The doorbell: a batch of the log to every hub, in this process and in the others. The only importer of ``channels``.

    publisher's thread                sender's thread, one a process          other processes' loops
    ring() ── deque ───────────────►  layer.group_send, in order  ─────────►  listening ─► hub
       └── call_soon_threadsafe ─► hubs of this process

Hubs of this process are rung directly, the others through the layer. A layer may drop any message: the log is the truth, the
message only makes it fast. So a publisher never waits for the layer and never sees its errors; they are logged once for each
incident.

Deliberate oddities:

1. One thread with its own event loop sends for the whole process. ``async_to_sync(layer.group_send)`` makes a loop, and with it a
   new Redis connection, for every call.
2. What waits at the interpreter's end is flushed through ``threading._register_atexit``, not ``atexit``: the latter runs when
   thread pools are shut already, and resolving a host name needs one. A management command that notifies as its last act would
   otherwise be heard only at the next poll.
3. A message carries the sender's origin, so that the hubs of the sending process, which were rung already, skip it.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import astuple
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from django.db import connections, transaction

from sse_notify import log, messages
from sse_notify.conf import get_settings
from sse_notify.incidents import Incident
from sse_notify.messages import Message, Revocation, RollCall

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: Messages that may wait for the layer. Beyond them the oldest are dropped: hubs repair from the log.
BACKLOG = 1000
#: Seconds that one send may take before it counts as failed.
SEND_SECONDS = 5.0
#: Seconds that the end of the process waits for what is not sent yet.
FLUSH_SECONDS = 2.0

_TYPE = "sse_notify.ring"
_BOOT = uuid.uuid4().hex


Callback = Callable[[Message], None]


def announce_on_commit() -> None:
    """After the current transaction's commit, number what is pending and ring every hub; at once if there is none.

    Call it for each thing that is sent: of the calls in one transaction, the first that no rollback undid announces for all.
    A failure is logged and not raised: the rows are committed, and the hubs' next poll finds them.
    """
    using = log.database()
    connection = connections[using]
    announcement = _announcements.get(connection)
    # One that a rollback took with it has not run: the next transaction can have it.
    if announcement is None or announcement.has_run:
        announcement = _announcements[connection] = _Announcement()
    transaction.on_commit(announcement.run, using=using, robust=True)


class _Announcement:
    """What one transaction runs after its commit, as often as it was registered: the first time counts."""

    has_run = False

    def run(self) -> None:
        """Announce what the transaction sent."""
        if not self.has_run:
            self.has_run = True
            announce()


#: The last announcement that each connection registered.
_announcements: WeakKeyDictionary[BaseDatabaseWrapper, _Announcement] = WeakKeyDictionary()


def announce() -> None:
    """Number what is pending and ring every hub.

    Raises:
        django.db.Error: the database refuses; the hubs' next poll tries again.
    """
    for batch in log.sequence():
        ring(batch)


def ring(message: Message) -> int:
    """Tell every hub. Callable from any thread and from any event loop; returns at once and never raises for the layer.

    Returns:
        How many hubs of this process were told.
    """
    told = _ring_here(message)
    if remote_layer() is not None and not (isinstance(message, RollCall) and not message.channel):
        for part in _split(message):
            _sender.put(part)
    return told


def reply(call: RollCall, answer: dict[str, Any]) -> None:
    """Answer a roll call, whichever process it came from. Callable as :func:`ring` is."""
    for part in messages.parts_of(answer):
        if call.here is not None:
            call.here(part)
        else:
            _sender.put({"type": _TYPE, "to": call.channel, "call": call.id, "answer": part})


def remote_layer() -> Any | None:
    """Return the channel layer if it connects processes; ``None`` if there is none or it is the in-memory one."""
    layer = get_channel_layer(get_settings().LAYER)
    return None if layer is None or isinstance(layer, InMemoryChannelLayer) else layer


def another_layer() -> Any:
    """Return a new layer beside :func:`remote_layer`: those of Redis' core layer receive on one event loop alone."""
    return channel_layers.make_backend(get_settings().LAYER)


async def close_layer(layer: Any) -> None:
    """Close the connections of one that :func:`another_layer` gave; it can be used again."""
    # ``flush()`` is what closes the pub/sub layer's connections; the core layer's would empty the database.
    is_pubsub = type(layer).__module__ == "channels_redis.pubsub"
    close = layer.flush if is_pubsub else getattr(layer, "close_pools", None)
    if close is not None:
        await close()


def senders_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of the thread that sends, which is started if need be."""
    return _sender.running_loop()


# --- hubs of this process ------------------------------------------------------------------------------------------------------

_hubs: dict[Callback, asyncio.AbstractEventLoop] = {}


def attach(callback: Callback) -> None:
    """Have ``callback`` called on the running loop with every message that this process rings."""
    _hubs[callback] = asyncio.get_running_loop()


def detach(callback: Callback) -> None:
    """Undo :func:`attach`."""
    _hubs.pop(callback, None)


def _ring_here(message: Message) -> int:
    told = 0
    for callback, loop in list(_hubs.items()):
        try:
            loop.call_soon_threadsafe(callback, message)
            told += 1
        except RuntimeError:  # the loop is closed, and with it the hub
            detach(callback)
    return told


# --- other processes: sending --------------------------------------------------------------------------------------------------


class _Sender:
    """The thread that sends, made when it is first needed and anew in a forked child."""

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[dict[str, Any]] = deque(maxlen=BACKLOG)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._idle = threading.Event()
        self._idle.set()
        self._started = threading.Event()

    def put(self, message: dict[str, Any]) -> None:
        with self._lock:
            _append(self._waiting, message)
            self._idle.clear()
        loop = self.running_loop()
        assert self._wake is not None
        loop.call_soon_threadsafe(self._wake.set)

    def running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="sse_notify-sender", daemon=True
                )
                self._thread.start()
                getattr(threading, "_register_atexit", atexit.register)(self.flush)  # oddity 2
        self._started.wait()
        assert self._loop is not None
        return self._loop

    def flush(self) -> None:
        """Wait until all is sent, but not for long."""
        if self._thread is not None and self._thread.is_alive():
            self._idle.wait(FLUSH_SECONDS)

    def _run(self) -> None:
        asyncio.run(self._send_all())

    async def _send_all(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._started.set()
        incident = Incident("layer_send")
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                with self._lock:
                    message = self._waiting.popleft()
                await self._send(message, incident)
            with self._lock:
                if not self._waiting:
                    self._idle.set()

    async def _send(self, message: dict[str, Any], incident: Incident) -> None:
        layer = remote_layer()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                if layer is not None and "to" in message:
                    await layer.send(
                        message["to"],
                        {**message, "answer": messages.pack_answer(message["answer"])},
                    )
                elif layer is not None:
                    await layer.group_send(get_settings().GROUP, message)
            incident.worked()
        except (
            Exception
        ) as error:  # a layer that is down must not reach the publisher; the log has the event
            incident.failed(error)


_sender = _Sender()


def _origin() -> str:
    # The pid tells a forked child from its parent, which share the random part.
    return f"{_BOOT}-{os.getpid()}"


def _append(waiting: deque[dict[str, Any]], message: dict[str, Any]) -> None:
    """Put ``message`` last; a thousand users that are saved one by one are one message, as events must not be pushed out."""
    if waiting and "revocation" in message and "revocation" in waiting[-1]:
        both = Revocation(*waiting[-1]["revocation"]).joined_with(
            Revocation(*message["revocation"])
        )
        if both is not None:
            waiting[-1] = {**message, "revocation": list(astuple(both))}
            return
    waiting.append(message)


def _split(message: Message) -> list[dict[str, Any]]:
    """Return ``message`` as layer messages."""
    return [{"type": _TYPE, "origin": _origin(), **part} for part in messages.pack(message)]


def hear(message: dict[str, Any]) -> Message | None:
    """Return what another process said; ``None`` if this process said it, whose hubs were rung already (oddity 3)."""
    return None if message.get("origin") == _origin() else messages.unpack(message)
