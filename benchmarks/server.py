"""One server process: started on a socket that is listening already, looked at from outside, ended by its own id.

What is measured here is the server alone: its CPU clock, its memory and its open files, as the kernel counts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from benchmarks.client import Caller

#: Seconds in which a server has to be ready.
START_TIMEOUT = 60.0
#: Seconds that a server gets to end by itself after SIGTERM; its streams are closed by then.
STOP_TIMEOUT = 5.0

#: Pending connections; daphne sets its own, smaller one.
BACKLOG = 4096


class ServerProcess:
    """A running server."""

    def __init__(
        self, process: asyncio.subprocess.Process, address: tuple[str, int], caller: Caller
    ) -> None:
        self._process = process
        self._proc = Path("/proc", str(process.pid))
        # The kernel's clock for the CPU time of a whole process, its ended threads included, in nanoseconds: the process id,
        # inverted, and the kind of clock in the low bits, as clock_getcpuclockid(3) makes it.
        self._cpu_clock = (~process.pid << 3) | 2
        self.address = address
        self.caller = caller

    def cpu(self) -> int:
        """Return the CPU time used so far, in nanoseconds."""
        return time.clock_gettime_ns(self._cpu_clock)

    def threads(self) -> int:
        """Return how many threads the process has."""
        return self._status("Threads")

    def memory(self) -> int:
        """Return the resident memory, in bytes."""
        return self._status("VmRSS") * 1024

    def open_handles(self, path: Path) -> int:
        """Return how many file handles are open on ``path``: one for each SQLite connection."""
        handles = 0
        for handle in (self._proc / "fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                handles += os.readlink(handle) == str(path)
        return handles

    def _status(self, name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+)", (self._proc / "status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])


@contextlib.asynccontextmanager
async def running(
    app: str, *, server: str, core: int | None, environment: Mapping[str, str], ready: str
) -> AsyncIterator[ServerProcess]:
    """Run an application until the block ends.

    Args:
        app: the ASGI application as ``module:attribute``.
        server: "uvicorn" or "daphne".
        core: the processor that it is pinned to.
        environment: variables on top of this process's own.
        ready: a path that is asked for once; any answer says that the server is ready.

    Raises:
        ChildProcessError: it ended before it was ready.
        TimeoutError: it was not ready in time.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        address: tuple[str, int] = listener.getsockname()
        # Listening before the server starts: what connects meanwhile waits in the backlog, nothing has to be tried again.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(
                "-m",
                "benchmarks.servers.launch",
                "--server",
                server,
                "--app",
                app,
                "--fd",
                str(listener.fileno()),
            ),
            *(("--core", str(core)) if core is not None else ()),
            pass_fds=[listener.fileno()],
            env={**os.environ, **environment},
        )
    try:
        yield ServerProcess(process, address, await _wait_until_ready(process, address, ready))
    finally:
        await _stop(process)


async def _wait_until_ready(
    process: asyncio.subprocess.Process, address: tuple[str, int], path: str
) -> Caller:
    caller = Caller(address)
    ended = asyncio.ensure_future(process.wait())
    answered = asyncio.ensure_future(caller.post(path, {"stored": False, "first": 0, "count": 0}))
    try:
        async with asyncio.timeout(START_TIMEOUT):
            await asyncio.wait({ended, answered}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise ChildProcessError(
                f"the server ended with status {process.returncode} before it was ready"
            )
        await answered
    finally:
        ended.cancel()
        answered.cancel()
    return caller


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
