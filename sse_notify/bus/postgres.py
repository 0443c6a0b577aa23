"""A channel layer in PostgreSQL, by ``LISTEN`` and ``NOTIFY``: many processes need no Redis.

    transaction that numbers rows   NOTIFY: the log has entries up to n ─┐
    sender's connection             NOTIFY: every other message ─────────┴─► listening connection

It has those methods of a channel layer that the bus uses. Each event loop with streams listens on
a connection of its own. PostgreSQL delivers the notifications of one transaction together and in
order, or none of them if it rolls back.

Deliberate oddities:

1. A batch of the log is not sent. The transaction that numbers it tells how long the log is, so
   that there is no second commit. The hubs read the entries.
2. A payload has at most 8,000 bytes. So a message is sent in parts, which begin with the number of
   parts that follow, and "." if it is the first. That makes them different, too: of equal payloads,
   PostgreSQL delivers one.
3. Behind PgBouncer in transaction mode, ``LISTEN`` succeeds and nothing arrives. A pooler tells its
   clients another process id than the server does.
4. Tests run in one process. There, only an explicit setting opens a connection that listens.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from typing import Any
from uuid import uuid4

from django.db import connections, router

from sse_notify.concurrency import threadpool
from sse_notify.conf import get_settings
from sse_notify.models import Notification

#: Maximum bytes of a message in one payload, after the number of parts.
PART_BYTES = 7900
#: Maximum number of parts that follow a first one: 16 MiB, as in `sse_notify.bus.signing`.
MAX_PARTS = 16 * 1024 * 1024 // PART_BYTES
#: Digits of the number of parts, and the marks after them.
DIGITS = 5
FIRST, NEXT = ".-"
#: Seconds after the last message until the sender's connection is closed.
IDLE_SECONDS = 1.0

#: A connection may be silent for hours, and must notice a dead peer. Seconds; the last in
#: milliseconds.
_OPTIONS = {
    "application_name": "sse_notify",
    "connect_timeout": 5,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_NOTIFY = """
SELECT pg_notify(%s, part) FROM unnest(%s::text[]) WITH ORDINALITY AS parts (part, place)
ORDER BY place
"""
#: PostgreSQL 14 and newer may end sessions that send nothing, as those that listen.
_STAY = """
SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'
"""


def is_usable() -> bool:
    """Return whether the log is in PostgreSQL, with psycopg 3 as the driver."""
    return _has_psycopg(router.db_for_write(Notification))


def is_chosen() -> bool:
    """Return whether the settings choose PostgreSQL if no channel layer connects processes."""
    chosen = get_settings().DOORBELL
    if chosen == "auto":
        return is_usable() and not threadpool.in_tests()  # oddity 4
    return chosen == "postgresql" and is_usable()


@cache
def layer() -> PostgresLayer:
    """Return the layer of this process."""
    return PostgresLayer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=layer.cache_clear)


@cache
def _has_psycopg(alias: str) -> bool:
    wrapper: Any = connections[alias]
    if wrapper.vendor != "postgresql":  # without DATABASES, Django's has no driver
        return False
    # psycopg2 has no such connection, and on Windows it needs another event loop than the usual.
    return hasattr(wrapper.Database, "AsyncConnection") and sys.platform != "win32"


def problem_of(connection: Any, pid: int) -> str:
    """Return why nothing would be heard on a connection like this one, or "" (oddity 3).

    Args:
        connection: psycopg's.
        pid: the process id of its server, as ``pg_backend_pid()`` returns it.
    """
    conf = get_settings()
    is_direct = connection.info.backend_pid == pid
    if is_direct or conf.DOORBELL_OPTIONS or conf.DOORBELL == "postgresql":
        return ""
    return (
        "The database is behind a connection pooler, which may not carry LISTEN. Set "
        "SSE_NOTIFY['DOORBELL_OPTIONS'] to the address of PostgreSQL itself. If the pooler keeps "
        "a server for each session, set SSE_NOTIFY['DOORBELL'] to 'postgresql' instead."
    )


class PostgresLayer:
    """The channel layer of this process. Use a channel in the event loop that has made it.

    Every method raises ``psycopg.Error`` if the database cannot be reached.
    """

    def __init__(self) -> None:
        #: Whether nothing would be heard, as a pooler was found between.
        self.is_deaf = False
        self._listeners: dict[str, _Listener] = {}
        self._sending = asyncio.Lock()
        self._connection: Any = None
        self._idle: asyncio.TimerHandle | None = None

    async def new_channel(self, prefix: str) -> str:
        """Listen on a new channel, and return its name."""
        channel = f"{prefix}.{uuid4().hex}"
        await self.group_add(channel, channel)
        return channel

    async def group_add(self, group: str, channel: str) -> None:
        """Let ``channel`` receive what is sent to ``group``. Reconnect if the connection is lost.

        Raises:
            ConnectionError: the database is behind a connection pooler.
        """
        listener = self._listeners.setdefault(channel, _Listener())
        try:
            await listener.listen(group)
            self.is_deaf = False
        except BaseException as error:
            self.is_deaf = self.is_deaf or isinstance(error, ConnectionError)
            await self.group_discard(group, channel)
            raise

    async def group_discard(self, group: str, channel: str) -> None:
        """Close the connection of ``channel``, which leaves all groups."""
        if (listener := self._listeners.pop(channel, None)) is not None:
            listener.close()

    async def receive(self, channel: str) -> dict[str, str]:
        """Return the next message. If this fails or is cancelled, the connection is closed."""
        try:
            return await self._listeners[channel].next()
        except BaseException:
            await self.group_discard("", channel)
            raise

    async def group_send(self, group: str, message: Mapping[str, str]) -> None:
        """Send ``message`` to ``group``. Call it in the sender's event loop."""
        async with self._sending:
            if self._idle is not None:
                self._idle.cancel()
            if self._connection is None or self._connection.closed:
                self._connection = await _connect()
            finish = self._connection.pgconn.finish
            try:
                await self._connection.execute(_NOTIFY, [_name(group), _parts(message)])
            except BaseException:
                finish()
                raise
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, finish)

    send = group_send

    def send_at_commit(self, group: str, message: Mapping[str, str], using: str) -> None:
        """Send ``message`` with the commit of the current transaction of ``using``."""
        with connections[using].cursor() as cursor:
            cursor.execute(_NOTIFY, [_name(group), _parts(message)])


class _Listener:
    """A connection that listens, and what has arrived on it."""

    def __init__(self) -> None:
        self._connection: Any = None
        self._names: set[str] = set()
        self._parts: list[str] = []
        self._following = 0
        self._messages: deque[dict[str, str]] = deque()

    async def listen(self, group: str) -> None:
        if self._connection is None or self._connection.closed:
            self._names.clear()
            self._connection = await _connect()
            found = await self._connection.execute("SELECT pg_backend_pid()")
            (pid,) = await found.fetchone()
            if problem := problem_of(self._connection, pid):
                raise ConnectionError(problem)
            await self._connection.execute(_STAY)
        # While next() waits, the connection takes no other statement.
        if (name := _name(group)) not in self._names:
            await self._connection.execute(f'LISTEN "{name}"')
            self._names.add(name)

    async def next(self) -> dict[str, str]:
        while not self._messages:
            async for notification in self._connection.notifies(stop_after=1):
                self._take(notification.payload)
        return self._messages.popleft()

    def _take(self, payload: str) -> None:
        """Add a part (oddity 2). What others have sent is no valid message, and dropped later."""
        number, mark, text = payload[:DIGITS], payload[DIGITS : DIGITS + 1], payload[DIGITS + 1 :]
        following = int(number) if number.isdecimal() else 0
        if mark == FIRST or following + 1 != self._following or following > MAX_PARTS:
            self._parts.clear()
        self._parts.append(text)
        self._following = following
        if following == 0:
            self._messages.append({"signed": "".join(self._parts)})
            self._parts.clear()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.pgconn.finish()  # at once: the event loop may end


async def _connect() -> Any:
    """Return a new connection to the log's database, outside Django's."""
    wrapper: Any = connections[router.db_for_write(Notification)]
    given = {**wrapper.get_connection_params(), **get_settings().DOORBELL_OPTIONS}
    for name in ("context", "cursor_factory"):  # Django's types, which are not async
        given.pop(name, None)
    given["autocommit"] = True
    return await wrapper.Database.AsyncConnection.connect(**_OPTIONS | given)


def _name(group: str) -> str:
    """Return the name of a group in PostgreSQL, which has at most 63 bytes."""
    return f"sse_notify.{sha256(group.encode()).hexdigest()[:32]}"


def _parts(message: Mapping[str, str]) -> list[str]:
    """Return the payloads of a message."""
    parts = list(_cut(message.get("signed", "").encode()))
    last = len(parts) - 1
    return [
        f"{last - place:0{DIGITS}}{NEXT if place else FIRST}{part}"
        for place, part in enumerate(parts)
    ]


def _cut(text: bytes) -> Iterator[str]:
    """Yield ``text`` in parts of at most ``PART_BYTES``, cut between characters."""
    start = 0
    while start < len(text) or start == 0:
        end = start + PART_BYTES
        while end < len(text) and text[end] & 0xC0 == 0x80:
            end -= 1
        yield text[start:end].decode()
        start = end
