"""A real haproxy: ``HAPROXY``, the system's, or Debian's package unpacked into ``.cache``.

``python -m tests.support.haproxy`` makes sure that there is one, and prints where. It fails for nobody: a test that needs haproxy says
what to install.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.docs.pages import DOCS, blocks
from tests.support import debian
from tests.support.processes import Process, free_port, listens
from tests.support.requirements import missing

_UNPACKED = debian.CACHE / "haproxy"

_CONFIGURATION = """
global
    maxconn 200
{defaults}
frontend site
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    server one 127.0.0.1:{server}
"""


def find() -> Path | None:
    """Return haproxy's binary, ``None`` if there is none."""
    names = (os.environ.get("HAPROXY"), "haproxy", "/usr/sbin/haproxy")
    for name in filter(None, (*names, str(_UNPACKED / "usr" / "sbin" / "haproxy"))):
        if path := shutil.which(name):
            return Path(path)
    return None


def keep_streams(defaults: str) -> str:
    """Return the section without the option that ends a stream when its client has left."""
    kept = defaults.replace("    option abortonclose\n", "")
    assert kept != defaults
    return kept


class Haproxy:
    """A haproxy in front of one server, with HTTP/1.1 on both sides.

    Args:
        folder: for its configuration and log.
        server: the server's port, on the loopback interface.
        edit: makes of the section of ``docs/deploy.md`` what a test wants in its place.
    """

    def __init__(self, folder: Path, server: int, *, edit: Callable[[str], str] = str) -> None:
        """Prepare it; :meth:`start` starts it."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "haproxy.cfg"
        (defaults,) = [
            block.code for block in blocks(DOCS / "deploy.md") if block.mark == "haproxy"
        ]
        configuration.write_text(
            _CONFIGURATION.format(port=self.port, server=server, defaults=edit(defaults))
        )
        binary = find() or missing("haproxy", "apt install haproxy, or any haproxy in PATH")
        self.process = Process(
            [binary, "-db", "-f", configuration],
            log=folder / "haproxy.log",
            env=debian.environment(_UNPACKED),
        )

    def start(self) -> Haproxy:
        """Start it; return when it accepts connections."""
        self.process.start(ready=lambda: listens(self.port))
        return self

    def stop(self) -> None:
        """End it."""
        self.process.stop(timeout=5)


def main() -> int:
    """Fetch a haproxy if the machine has none, where that can be done; print where it is."""
    debian.fetch(_UNPACKED, "haproxy", until=find)
    print(f"haproxy: {find() or 'none; install it for the tests that need it'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
