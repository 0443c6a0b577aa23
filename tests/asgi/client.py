"""An ASGI server in miniature: calls an application with a scope and its own ``receive`` and ``send``."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import SyncToAsync, sync_to_async
from django.test import Client

#: Seconds after which a wait counts as a hang.
GUARD = 60.0


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go on until ``condition`` holds.

    For what the app tells nobody: how many handshakes wait, when a place is free again, which tasks are left. That a stream has joined
    its hub is a signal: see the fixture ``joined``.
    """
    async with asyncio.timeout(GUARD):
        while not condition():
            await asyncio.sleep(0)  # one turn of the loop, not a time


def threads() -> set[threading.Thread]:
    """Return the threads of this process but those that are made once and stay: this package's pools, asgiref's single one.

    Which test makes those depends on the order.
    """
    made_once = SyncToAsync.single_thread_executor._threads
    return {
        each
        for each in threading.enumerate()
        if not each.name.startswith("sse_notify-") and each not in made_once
    }


class Connection:
    """One HTTP exchange with an application."""

    def __init__(
        self,
        app: Any,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        root_path: str = "",
        leaves_once: bool = False,
    ) -> None:
        """Describe the request, and make it. With ``leaves_once`` the server says only once that the client has left, as some do."""
        self.sent: list[dict[str, Any]] = []
        self.body = b""
        self._news = asyncio.Event()
        self._leaves = asyncio.Event()
        self._requested = False
        self._leaves_once = leaves_once
        #: Whether the application was told that the client has left.
        self.told = False
        sent_headers = {"host": "testserver", "accept": "text/event-stream", **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": root_path,
            "headers": [(name.encode(), value.encode()) for name, value in sent_headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._leaves.wait()
        if self.told and self._leaves_once:
            await asyncio.Event().wait()
        self.told = True
        return {"type": "http.disconnect"}

    def go(self) -> None:
        """Disconnect, and wait for nothing."""
        self._leaves.set()

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self.body += message.get("body", b"")
        self._news.set()

    async def until(self, text: bytes) -> bytes:
        """Wait until the body holds ``text``; return the body."""
        async with asyncio.timeout(GUARD):
            while text not in self.body and not self.task.done():
                self._news.clear()
                waiter = asyncio.ensure_future(self._news.wait())
                await asyncio.wait({waiter, self.task}, return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
        if self.task.done() and not self.task.cancelled() and self.task.exception():
            raise self.task.exception()
        assert text in self.body, f"ended without {text!r}: {self.body!r}"
        return self.body

    async def leave(self) -> None:
        """Disconnect, and wait until the application has noticed."""
        self._leaves.set()
        async with asyncio.timeout(GUARD):
            await asyncio.wait({self.task})

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """Wait for the end; return status, headers and the body, which is JSON if it says so."""
        async with asyncio.timeout(GUARD):
            await self.task
        headers = self.headers
        body = (
            json.loads(self.body)
            if headers.get("content-type", "").startswith("application/json")
            else self.body
        )
        return self.status, headers, body

    @property
    def status(self) -> int:
        """The status."""
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        """The headers, their names in lower case."""
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}


@asynccontextmanager
async def connect(
    app: Any, path: str = "/notifications/stream/", **options: Any
) -> AsyncIterator[Connection]:
    """Make a request; whatever it left open is closed at the end of the block."""
    connection = Connection(app, path, **options)
    try:
        yield connection
    finally:
        await connection.leave()


async def cookies_of(user: Any) -> dict[str, str]:
    """Return the header that signs ``user`` in."""
    client = Client()
    await sync_to_async(client.force_login)(user)
    return {"cookie": f"sessionid={client.cookies['sessionid'].value}"}


def events(body: bytes) -> list[tuple[str, Any, str]]:
    """Return name, data and id of the blocks in ``body``."""
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.strip("\n").split("\n") if ": " in line)
        if "data" in fields:
            found.append(
                (fields.get("event", "message"), json.loads(fields["data"]), fields.get("id", ""))
            )
    return found
