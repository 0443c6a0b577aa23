"""Many clients in one event loop: each opens its stream, comes back with its cursor when it is cut, and keeps the ids that it got.

They do what a browser does, and little else, so that a thousand of them leave the machine to the server. What they should have got is
asked of the database afterwards, by :meth:`Crowd.verdict`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.chunks import Chunks, fields
from tests.support import GUARD
from tests.support.site import STREAM, Site

_SO_ATTACH_FILTER = 26

_PEOPLE = """
import json
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone
from datetime import timedelta

made = User.objects.bulk_create([User(username=f"{prefix}{{n}}", password="!") for n in range({number})])
expire, people, rows = timezone.now() + timedelta(days=1), [], []
for user in made:
    store = SessionStore()
    data = {{SESSION_KEY: str(user.pk), BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
            HASH_SESSION_KEY: user.get_session_auth_hash()}}
    key = store._get_new_session_key()
    rows.append(Session(session_key=key, session_data=store.encode(data), expire_date=expire))
    people.append([user.pk, key])
Session.objects.bulk_create(rows, batch_size=500)
print(json.dumps(people))
"""


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the site, with a session."""

    pk: int
    session: str


def people(site: Site, number: int, *, prefix: str = "person") -> list[Person]:
    """Return ``number`` new users of ``site``, each signed in."""
    return [
        Person(*row)
        for row in json.loads(
            site.script(_PEOPLE.format(number=number, prefix=prefix)).splitlines()[-1]
        )
    ]


@dataclass(slots=True)
class Verdict:
    """What the clients got beside what they should have got."""

    clients: int = 0
    delivered: int = 0
    lost: int = 0
    duplicated: int = 0
    disordered: int = 0
    foreign: int = 0
    opened: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every client got each of its events exactly once, in order, and nobody else's."""
        return not (self.lost or self.duplicated or self.disordered or self.foreign)


class Client:
    """One client, with a stream that it keeps open."""

    def __init__(self, crowd: Crowd, person: Person) -> None:
        self.person = person
        #: The last id, ``None`` before the first ``hello``.
        self.cursor: int | None = None
        self.began_at = 0
        #: The ids of notifications, in the order of arrival, repeats included.
        self.got: list[int] = []
        self.hellos = 0
        self.resets: list[str] = []
        self.byes: list[dict[str, Any]] = []
        self.refused: Counter[int] = Counter()
        self.is_open = False
        self.goal: int | None = None
        self.wait: float | None = None
        self._crowd = crowd
        self._transport: asyncio.WriteTransport | None = None

    def cut(self) -> None:
        """Lose the connection, as a phone in a tunnel does."""
        if self._transport is not None:
            self._transport.abort()

    def go_deaf(self) -> None:
        """Drop every packet that comes, acknowledgements included, with a filter on the socket (Linux; see socket(7))."""
        assert self._transport is not None
        drop = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K: keep 0 bytes
        buffer = ctypes.create_string_buffer(drop)
        program = struct.pack("HL", 1, ctypes.addressof(buffer))
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    async def live(self) -> None:
        """Open the stream again and again, until cancelled."""
        while not self._crowd.is_leaving:
            self.wait = None
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._connect()
            self._closed()
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        low, high = self._crowd.pause
        return random.uniform(low, high) if self.wait is None else self.wait

    async def _connect(self) -> None:
        reader, writer = await self._crowd.connect()
        self._transport = writer.transport
        try:
            lines = [
                f"GET {STREAM}{self._crowd.query} HTTP/1.1",
                f"Host: 127.0.0.1:{self._crowd.port}",
                "Accept: text/event-stream",
                f"Cookie: sessionid={self.person.session}",
            ]
            if self.cursor is not None:
                lines.append(f"Last-Event-ID: {self.cursor}")
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head.split(b" ", 2)[1])
            if status != 200:
                self.refused[status] += 1
                again = head.partition(b"\r\nretry-after:")[2].split(b"\r\n", 1)[0]
                self.wait = float(again) * random.uniform(0.2, 1.0) if again else None
                return
            chunks = Chunks(chunked=b"chunked" in head)
            while data := await self._read(reader):
                for block in chunks.feed(data):
                    self._take(block)
                if chunks.ended:
                    return
        finally:
            self._transport = None
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        if not self._crowd.seconds_per_byte:
            return await reader.read(65536)
        await asyncio.sleep(self._crowd.seconds_per_byte)
        return await reader.read(1)

    def _take(self, block: bytes) -> None:
        name, number, data = fields(block)
        if name == b"notification":
            assert number is not None
            self.got.append(number)
            if self._crowd.on_notification is not None:
                self._crowd.on_notification(self)
        elif name == b"hello":
            self._opened(number or 0)
        elif name == b"reset":
            self.resets.append(json.loads(data)["reason"])
        elif name == b"bye":
            self.byes.append(bye := json.loads(data))
            if bye["retry_after"] is not None:
                self.wait = bye["retry_after"] / 1000 * self._crowd.hurry
        if number is not None and (self.cursor is None or number > self.cursor):
            self.cursor = number
            if self.goal is not None and number >= self.goal:
                self.goal = None
                self._crowd.behind -= 1
        self._crowd.tell()

    def _closed(self) -> None:
        if self.is_open:
            self.is_open = False
            self._crowd.open -= 1
            self._crowd.tell()

    def _opened(self, cursor: int) -> None:
        self.hellos += 1
        if self.cursor is None:
            self.began_at = cursor
        if not self.is_open:
            self.is_open = True
            self._crowd.open += 1
            self._crowd.hellos[int(time.monotonic())] += 1


class Crowd:
    """Clients of one site. As a context manager it opens their streams, and leaves at the end.

    Args:
        port: where they connect.
        persons: one client each.
        pause: the seconds, from and to, that a client waits after a cut.
        hurry: what a server's ``retry_after`` is multiplied by, so that a test does not wait as long as a browser.
        query: the query of the stream's address, with its question mark.
    """

    def __init__(
        self,
        port: int,
        persons: Sequence[Person],
        *,
        pause: tuple[float, float] = (0.05, 0.5),
        hurry: float = 1.0,
        query: str = "",
    ) -> None:
        """Prepare the clients; they connect when the block is entered."""
        self.port = port
        self.pause = pause
        self.hurry = hurry
        self.query = query
        self.clients = [Client(self, person) for person in persons]
        #: Set for slow clients; may change while they read.
        self.seconds_per_byte = 0.0
        #: Called with the client when one came.
        self.on_notification: Callable[[Client], None] | None = None
        self.open = 0
        self.behind = 0
        self.is_leaving = False
        #: How many streams opened in each second of the monotonic clock.
        self.hellos: Counter[int] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    async def __aenter__(self) -> Crowd:
        self._tasks = [asyncio.create_task(client.live()) for client in self.clients]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_leaving = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection; slow clients have small buffers, so that the server feels it soon."""
        if not self.seconds_per_byte:
            return await asyncio.open_connection("127.0.0.1", self.port)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=connection, limit=2048)

    @property
    def newest(self) -> int:
        """The largest id that a client got, 0 if none got any."""
        return max((client.got[-1] for client in self.clients if client.got), default=0)

    async def gets(self, number: int) -> None:
        """Wait until a client got the notification with this number, or a later one."""
        await self.until(lambda: self.newest >= number, guard=GUARD, what=f"notification {number}")

    def tell(self) -> None:
        """Look at what is waited for; something changed."""
        for condition, future in self._waiting:
            if not future.done() and condition():
                future.set_result(None)

    async def until(self, condition: Callable[[], bool], *, guard: float, what: str) -> None:
        """Wait until ``condition()``, which is looked at with every event and must be cheap.

        Raises:
            TimeoutError: the guard ran out.
        """
        if condition():
            return
        entry = (condition, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(guard):
                await entry[1]
        except TimeoutError:
            raise TimeoutError(
                f"not within {guard} s: {what}; {self.open} open, {self.behind} behind"
            ) from None
        finally:
            self._waiting.remove(entry)

    async def all_open(self, *, guard: float = 120.0) -> None:
        """Wait until every client has a stream."""
        await self.until(lambda: self.open == len(self.clients), guard=guard, what="all are open")

    async def caught_up(self, log: Sequence[tuple[int, str]], *, guard: float = 120.0) -> None:
        """Wait until every client has the last of ``log`` that is for it."""
        last = {topic: seq for seq, topic in log}
        self.behind = 0
        for client in self.clients:
            goal = max(last.get("everyone", 0), last.get(f"user:{client.person.pk}", 0))
            client.goal = goal if goal > (client.cursor or 0) else None
            self.behind += client.goal is not None
        await self.until(lambda: self.behind == 0, guard=guard, what="all have caught up")

    def verdict(self, log: Sequence[tuple[int, str]], *, up_to: int | None = None) -> Verdict:
        """Compare what the clients got with what ``log`` holds for each.

        Args:
            log: the whole log.
            up_to: the number that all had caught up with; what came later may be under way. All of ``log`` if there is none.
        """
        by_topic: dict[str, list[int]] = {}
        for seq, topic in log:
            by_topic.setdefault(topic, []).append(seq)
        found = Verdict(clients=len(self.clients))
        for client in self.clients:
            mine = sorted(
                by_topic.get("everyone", []) + by_topic.get(f"user:{client.person.pk}", [])
            )
            wanted = [seq for seq in mine if seq > client.began_at]
            got = Counter(client.got)
            lost = [seq for seq in wanted if seq not in got and (up_to is None or seq <= up_to)]
            foreign = sorted(got.keys() - set(wanted))
            repeated = sum(got.values()) - len(got)
            found.delivered += len(got)
            found.lost += len(lost)
            found.foreign += len(foreign)
            found.duplicated += repeated
            found.disordered += client.got != sorted(client.got)
            found.opened += client.hellos
            if lost or foreign or repeated:
                found.examples.append(
                    f"user {client.person.pk}: lost {lost[:5]}, foreign {foreign[:5]}, {repeated} repeated"
                )
        return found
