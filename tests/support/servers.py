"""The application on a real server, as its own process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Literal, get_args

from tests.support import GUARD
from tests.support.forks import Forked
from tests.support.processes import free_port, listens

#: What the application can be run on. ``wsgi`` is granian's WSGI side; ``runserver`` is daphne's, without autoreload.
Kind = Literal["uvicorn", "daphne", "hypercorn", "granian", "wsgi", "runserver"]

KINDS: tuple[Kind, ...] = get_args(Kind)
ASGI_KINDS: tuple[Kind, ...] = ("uvicorn", "daphne", "hypercorn", "granian")

ASGI_APPLICATION = "tests.project.asgi:application"
WSGI_APPLICATION = "tests.project.wsgi:application"


def command(kind: Kind, app: str, port: int) -> list[str]:
    """Return Python's arguments that serve ``app`` on ``port`` of the loopback interface, in one process."""
    where = str(port)
    arguments = {
        "uvicorn": ["uvicorn", app, "--host", "127.0.0.1", "--port", where, "--backlog", "4096"],
        # Twisted lets 50 connections wait to be accepted; of a thousand the rest would come back with the kernel's retries, up to 31 s later.
        "daphne": ["daphne", "-e", f"tcp:{where}:interface=127.0.0.1:backlog=4096", app],
        # Without a worker process of its own, so that signals reach the application.
        "hypercorn": [
            "hypercorn",
            "-w",
            "0",
            "--bind",
            f"127.0.0.1:{where}",
            "--backlog",
            "4096",
            app,
        ],
        "granian": [
            "granian",
            "--interface",
            "asginl",
            "--host",
            "127.0.0.1",
            "--port",
            where,
            "--backlog",
            "4096",
            app,
        ],
        "wsgi": [
            "granian",
            "--interface",
            "wsgi",
            "--host",
            "127.0.0.1",
            "--port",
            where,
            "--blocking-threads",
            "4",
            app,
        ],
        "runserver": ["django", "runserver", "--noreload", f"127.0.0.1:{where}"],
    }
    return ["-m", *arguments[kind]]


class Server:
    """A server process with the application, on a port that it keeps over restarts."""

    def __init__(
        self,
        *,
        log: Path,
        kind: Kind = "uvicorn",
        app: str | None = None,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a server; :meth:`start` starts it.

        Args:
            log: the file that gets what it prints.
            kind: what to run it on.
            app: "module:attribute"; the project of ``tests.project`` if there is none.
            port: a free one if there is none.
            env: added to this process's environment.
        """
        self.kind = kind
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        app = app or (WSGI_APPLICATION if kind == "wsgi" else ASGI_APPLICATION)
        self.process = Forked(
            command(kind, app, self.port),
            log=log,
            env={"DJANGO_SETTINGS_MODULE": "tests.project.settings", **(env or {})},
        )

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        return self.process.is_running

    def start(self) -> Server:
        """Start the server; return when it accepts connections."""
        self.process.start(ready=lambda: listens(self.port))
        return self

    def stop(self, number: Signals = SIGTERM, *, timeout: float = GUARD) -> int | None:
        """End the server with a signal; return its exit status. What hangs for ``timeout`` seconds is killed."""
        return self.process.stop(number, timeout=timeout)

    def kill(self) -> None:
        """End the server at once; it gets no chance to say goodbye."""
        self.process.kill()

    def restart(self) -> None:
        """Stop and start, on the same port."""
        self.stop()
        self.start()

    def output(self) -> str:
        """Return what the server has printed."""
        return self.process.output()
