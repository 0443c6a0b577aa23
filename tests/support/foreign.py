"""Other people's readers of event streams, each as a process of its own, which some of them never end by themselves.

``python -m tests.support.foreign NAME URL HEADERS LAST_ID`` reads with one of Python's, ``tests/js/foreign.mjs`` with one of Node's. Both
print a line of JSON for each event, and ``{"refused": status}`` if the server refuses.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import sysconfig
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from tests.support import GUARD, ROOT
from tests.support.node import need_modules, node

PYTHON = ("sseclient", "sseclient-py", "httpx-sse", "aiosseclient")
NODE = (
    "eventsource",
    "eventsource-client",
    "eventsource-parser",
    "event-source-polyfill",
    "fetch-event-source",
)
#: Those that connect again by themselves when a connection breaks; sseclient does so only when the stream ends.
RECONNECTING = tuple(name for name in NODE if name != "eventsource-parser")


class Reader:
    """A reader in another process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        #: Every event so far, in order.
        self.seen: list[dict[str, Any]] = []

    async def line(self) -> dict[str, Any]:
        """Return what it says next."""
        assert self._process.stdout is not None
        async with asyncio.timeout(2 * GUARD):
            text = await self._process.stdout.readline()
        assert text, f"the reader ended after {self.seen}"
        found: dict[str, Any] = json.loads(text)
        return found

    async def until(self, event: str, number: int = 1) -> dict[str, Any]:
        """Return the event with this name that comes next, or the one after some others of its name."""
        while True:
            self.seen.append(found := await self.line())
            number -= found.get("event") == event
            if not number:
                return found

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the events of a name so far."""
        return [each for each in self.seen if each["event"] == event]


@asynccontextmanager
async def reading(
    name: str, url: str, *, cookies: Mapping[str, str] | None = None, last_id: str = ""
) -> AsyncIterator[Reader]:
    """Read a stream with the reader of a name; leaving the block kills it."""
    headers = {"Cookie": "; ".join(f"{key}={value}" for key, value in (cookies or {}).items())}
    program = [sys.executable, "-m", "tests.support.foreign"]
    if name in NODE:
        need_modules()
        program = [str(node()), "tests/js/foreign.mjs"]
    process = await asyncio.create_subprocess_exec(
        *program, name, url, json.dumps(headers), last_id, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Reader(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


# --- in the process ---


def _say(event: Any) -> None:
    fields = {"event": event.event, "data": event.data, "id": event.id or None}
    print(json.dumps(fields), file=sys.__stdout__, flush=True)


def _refused(status: int) -> None:
    print(json.dumps({"refused": status}), file=sys.__stdout__, flush=True)


def _sseclient(url: str, headers: dict[str, str], last_id: str) -> None:
    import requests

    # Its module has the name of sseclient-py's package, which Python prefers.
    path = Path(sysconfig.get_path("purelib")) / "sseclient.py"
    spec = importlib.util.spec_from_file_location("sseclient_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        with redirect_stdout(sys.stderr):  # it prints why it connects again
            for event in module.SSEClient(url, last_id=last_id or None, retry=100, headers=headers):
                _say(event)
    except requests.HTTPError as error:
        if error.response is not None:
            _refused(error.response.status_code)


def _sseclient_py(url: str, headers: dict[str, str], last_id: str) -> None:
    import requests
    import sseclient

    if last_id:
        headers["Last-Event-ID"] = last_id
    response = requests.get(url, headers=headers, stream=True, timeout=GUARD)
    if response.status_code != 200:
        return _refused(response.status_code)
    for event in sseclient.SSEClient(iter(response)).events():
        _say(event)
    return None


def _httpx_sse(url: str, headers: dict[str, str], last_id: str) -> None:
    import httpx
    from httpx_sse import connect_sse

    if last_id:
        headers["Last-Event-ID"] = last_id
    with (
        httpx.Client(timeout=None, trust_env=False) as client,
        connect_sse(client, "GET", url, headers=headers) as source,
    ):
        if source.response.status_code != 200:
            return _refused(source.response.status_code)
        for event in source.iter_sse():
            _say(event)
    return None


def _aiosseclient(url: str, headers: dict[str, str], last_id: str) -> None:
    import aiohttp
    from aiosseclient import aiosseclient

    async def read() -> None:
        events = aiosseclient(url, last_id or None, headers=headers, raise_for_status=True)
        async with aclosing(events):
            async for event in events:
                _say(event)

    try:
        asyncio.run(read())
    except aiohttp.ClientResponseError as error:
        _refused(error.status)


if __name__ == "__main__":
    readers = dict(zip(PYTHON, (_sseclient, _sseclient_py, _httpx_sse, _aiosseclient), strict=True))
    readers[sys.argv[1]](sys.argv[2], json.loads(sys.argv[3]), sys.argv[4])
