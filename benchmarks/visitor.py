"""Somebody who looks at one page all the time, in a process of its own: the streams keep the client busy."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: The moment a request began, on the monotonic clock; its seconds; and whether it succeeded.
Visit = tuple[float, float, bool]

#: Seconds after which a request has failed.
TIMEOUT = 60.0


class Visitor:
    """A running visitor."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def leave(self) -> list[Visit]:
        """Stop, and return the visits."""
        output, _ = await self._process.communicate(b"")  # which ends its input
        return [(began, seconds, succeeded) for began, seconds, succeeded in json.loads(output)]


@asynccontextmanager
async def visiting(address: tuple[str, int], path: str, spacing: float) -> AsyncIterator[Visitor]:
    """Request ``path`` every ``spacing`` seconds, one request after the other on one connection."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.visitor"),
        *("--port", str(address[1]), "--path", path, "--spacing", str(spacing)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Visitor(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--spacing", type=float, required=True, help="seconds between two requests")
    options = parser.parse_args()
    with contextlib.suppress(PermissionError):
        os.nice(-20)  # the streams' client has the same core, and must not delay what is measured
    json.dump(_look(options.port, options.path, options.spacing), sys.stdout)


def _look(port: int, path: str, spacing: float) -> list[Visit]:
    """Request the page until the standard input ends."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    visits: list[Visit] = []
    due = time.monotonic()
    while not ended.wait(max(0.0, due - time.monotonic())):
        began = time.monotonic()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            succeeded = response.status == 200
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens another
            succeeded = False
        visits.append((began, time.monotonic() - began, succeeded))
        due = max(due + spacing, time.monotonic())
    return visits


if __name__ == "__main__":
    main()
