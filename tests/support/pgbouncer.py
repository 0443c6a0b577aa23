"""A real PgBouncer: ``PGBOUNCER``, the system's, or Debian's package unpacked into ``.cache``.

``python -m tests.support.pgbouncer`` makes sure that there is one, and prints where. It fails for nobody: a test that needs it says what
to install.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.support import debian
from tests.support.postgres import _unprivileged_user
from tests.support.processes import Process, free_port, listens
from tests.support.requirements import missing

_UNPACKED = debian.CACHE / "pgbouncer"

_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any

pool_mode = {mode}
ignore_startup_parameters = extra_float_digits
"""


def find() -> Path | None:
    """Return PgBouncer's binary, ``None`` if there is none."""
    names = (os.environ.get("PGBOUNCER"), "pgbouncer", "/usr/sbin/pgbouncer")
    for name in filter(None, (*names, str(_UNPACKED / "usr" / "sbin" / "pgbouncer"))):
        if path := shutil.which(name):
            return Path(path)
    return None


class PgBouncer:
    """A PgBouncer in front of one PostgreSQL.

    Args:
        folder: for its configuration and log; as root, everybody must be able to reach it.
        server: the server's port, on the loopback interface.
        mode: "transaction" or "session".
    """

    def __init__(self, folder: Path, server: int, mode: str) -> None:
        """Prepare it; :meth:`start` starts it."""
        self.port = free_port()
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(_CONFIGURATION.format(port=self.port, server=server, mode=mode))
        binary = find() or missing("PgBouncer", "apt install pgbouncer")
        self.process = Process(
            [binary, configuration],
            log=folder / "pgbouncer.log",
            env=debian.environment(_UNPACKED),
            user=_unprivileged_user(),  # it refuses root
        )

    def start(self) -> PgBouncer:
        """Start it; return when it accepts connections."""
        self.process.start(ready=lambda: listens(self.port))
        return self

    def stop(self) -> None:
        """End it."""
        self.process.stop(timeout=5)


def main() -> int:
    """Fetch PgBouncer if the machine has none, where that can be done; print where it is."""
    debian.fetch(_UNPACKED, "pgbouncer", until=find)
    print(f"PgBouncer: {find() or 'none; install it for the tests that need it'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
