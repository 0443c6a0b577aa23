"""A real nginx: ``NGINX``, the system's, or Debian's package unpacked into ``.cache``.

``python -m tests.support.nginx`` makes sure that there is one, and prints where. It fails for nobody: a test that needs nginx says what
to install.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT
from tests.support.processes import Process, free_port, listens
from tests.support.requirements import missing

_UNPACKED = ROOT / ".cache" / "nginx"
_PAGE = ROOT / "docs" / "how-to" / "production.md"

_FRAME = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
{user}
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


def find() -> Path | None:
    """Return nginx' binary, ``None`` if there is none."""
    for name in filter(None, (os.environ.get("NGINX"), "nginx", "/usr/sbin/nginx", str(_UNPACKED / "usr" / "sbin" / "nginx"))):
        if path := shutil.which(name):
            return Path(path)
    return None


class Nginx:
    """An nginx with the configuration that the documentation shows, in front of some servers.

    Args:
        folder: for its configuration, log and temporary files.
        ports: the servers', on the loopback interface.
    """

    def __init__(self, folder: Path, ports: list[int]) -> None:
        """Prepare it; :meth:`start` starts it."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "nginx.conf"
        # As root, its workers would change to a user who may not read the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        configuration.write_text(_FRAME.format(folder=folder, user=user, site=documented(self.port, ports)))
        binary = find() or missing("nginx", "apt install nginx-light, or any nginx in PATH")
        self.process = Process([binary, "-c", configuration, "-p", folder, "-e", "stderr"], log=folder / "nginx.log")

    def start(self) -> Nginx:
        """Start it; return when it accepts connections."""
        self.process.start(ready=lambda: listens(self.port))
        return self

    def stop(self) -> None:
        """End it."""
        self.process.stop(timeout=5)


def documented(port: int, servers: list[int]) -> str:
    """Return the configuration of docs/how-to/production.md, for these ports."""
    blocks = re.findall(r"^```nginx\n(.*?)^```", _PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1, "the page shows one configuration"
    site: str = blocks[0]
    lines = "\n".join(f"    server 127.0.0.1:{server} max_fails=0;" for server in servers)
    site, replaced = re.subn(r"(?:    server 127\.0\.0\.1:\d+ max_fails=0;\n)+", lines + "\n", site)
    assert replaced == 1, "the page names the servers"
    site, replaced = re.subn(r"listen [^;]+;.*", f"listen 127.0.0.1:{port} backlog=4096;", site)
    assert replaced == 1, "the page says where to listen"
    return site


def _unpack() -> None:
    """Fetch Debian's packages and unpack them, if the lists of packages name them. It needs no rights."""
    folder = _UNPACKED / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    names = ["nginx-light", "nginx", "nginx-common"]
    known = [
        name for name in names if subprocess.run(["apt-cache", "show", name], capture_output=True, check=False).returncode == 0
    ]
    if known:
        subprocess.run(["apt-get", "download", *known], cwd=folder, check=False, capture_output=True)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, _UNPACKED], check=False, capture_output=True)


def main() -> int:
    """Fetch an nginx if the machine has none, where that can be done; print where it is."""
    if find() is None and shutil.which("apt-get"):
        _unpack()
        if find() is None and os.geteuid() == 0:  # a machine whose lists were never fetched
            subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
            _unpack()
    print(f"nginx: {find() or 'none; install it for the tests that need it'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
