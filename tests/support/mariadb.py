"""A real MariaDB server: the system's, or Debian's package unpacked into ``.cache``.

``python -m tests.support.mariadb COMMAND ...`` starts a server, runs the command with ``DATABASE_URL`` naming a fresh database of it,
ends the server, and exits with the command's status. Without a command it makes sure that there is a server, and prints where.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import pymysql

from tests.support import GUARD, debian
from tests.support.postgres import run_beside
from tests.support.processes import Process, ProcessFailed, free_port
from tests.support.requirements import missing

_UNPACKED = debian.CACHE / "mariadb"
# The statements that mariadb-install-db runs, and a few time zones: "Japan" is the one that still is as it was.
_TABLES = (
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
    "mysql_test_data_timezone.sql",
)

# Nothing that is written here has to survive a crash of the machine; a crash of the server it does survive.
_OPTIONS = {
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-doublewrite": "0",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "32M",
    "max-connections": "200",
    "character-set-server": "utf8mb4",
    "bind-address": "127.0.0.1",
    "skip-grant-tables": "1",  # whoever reaches the port is root
    "skip-name-resolve": "1",
    "performance-schema": "0",
}


def find() -> Path | None:
    """Return the server's binary, ``None`` if there is none."""
    folders = ["/usr/sbin", str(_UNPACKED / "usr" / "sbin")]
    found = shutil.which("mariadbd", path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
    return None if found is None else Path(found).resolve()


class MariadbServer:
    """A MariaDB server with its data in a temporary folder, on a port of its own that it keeps over restarts."""

    def __init__(self) -> None:
        """Make the data folder; :meth:`start` starts the server, :meth:`close` ends it and removes the folder."""
        binary = find() or missing("a MariaDB server", "apt install mariadb-server-core")
        self.port = free_port()
        self._numbers = count(1)
        self._folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
        usr = binary.parents[1]
        # It reads no configuration of the machine, and root may run it if told so.
        options = {
            "datadir": self._folder / "data",
            "basedir": usr,
            "lc-messages-dir": usr / "share" / "mysql",
            "user": getpass.getuser(),
            **_OPTIONS,
        }
        command = [
            str(binary),
            "--no-defaults",
            *(f"--{name}={at}" for name, at in options.items()),
        ]
        env = debian.environment(_UNPACKED) if binary.is_relative_to(_UNPACKED) else {}
        self._install(command, env, usr / "share" / "mysql")
        self._process = Process(
            [*command, f"--port={self.port}", f"--socket={self._folder / 'socket'}"],
            log=self._folder / "mariadb.log",
            cwd=self._folder,
            env=env,
        )

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        return self._process.is_running

    def url(self, database: str = "mysql") -> str:
        """Return the address of a database, as ``DATABASE_URL`` wants it."""
        return f"mysql://root@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server; return when it answers queries. Nothing happens if it runs."""
        self._process.start(ready=self._answers)

    def stop(self) -> None:
        """End the server. What was committed is there after the next start."""
        self._process.stop()

    def create_database(self, name: str | None = None) -> str:
        """Create a database and return its name, a number if none is given; :meth:`url` has its address."""
        name = name or f"test_{next(self._numbers)}"
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return name

    def close(self) -> None:
        """End the server and remove everything it wrote."""
        self._process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def output(self) -> str:
        """Return the server's log."""
        return self._process.output()

    def _connect(self) -> Any:
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", connect_timeout=5)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _install(self, command: list[str], env: dict[str, str], shared: Path) -> None:
        (self._folder / "data").mkdir()
        tables = [(shared / name).read_text() for name in _TABLES]
        done = subprocess.run(
            [*command, "--bootstrap"],
            input="\n".join(["CREATE DATABASE mysql;", "USE mysql;", *tables]),
            env={**os.environ, **env},
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=GUARD,
        )
        if done.returncode != 0:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise ProcessFailed(f"the database was not made:\n{done.stdout}{done.stderr}")


def main(command: list[str]) -> int:
    """Fetch a server if the machine has none, where that can be done; run ``command`` beside it, or print where it is."""
    debian.fetch(_UNPACKED, "mariadb-server-core", until=find)
    if command:
        return run_beside(MariadbServer(), command)
    print(f"mariadb: {find() or 'none; install it for the tests that need it'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
