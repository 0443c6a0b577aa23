"""A real nginx: ``NGINX``, the system's, or Debian's package unpacked into ``.cache``.

``python -m tests.support.nginx`` makes sure that there is one, and prints where. It fails for nobody: a test that needs nginx says what
to install.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support import ROOT, debian
from tests.support.processes import Process, free_port, listens
from tests.support.requirements import missing

_UNPACKED = debian.CACHE / "nginx"
_SITE = ROOT / "deploy" / "nginx.conf"

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
    for name in filter(
        None,
        (
            os.environ.get("NGINX"),
            "nginx",
            "/usr/sbin/nginx",
            str(_UNPACKED / "usr" / "sbin" / "nginx"),
        ),
    ):
        if path := shutil.which(name):
            return Path(path)
    return None


class Nginx:
    """An nginx with the configuration of ``deploy/``, in front of some servers.

    Args:
        folder: for its configuration, log and temporary files.
        ports: the servers', on the loopback interface.
        certificate: the files of a certificate and of its key; without them it speaks plain HTTP/1.1.
        edit: makes of the configuration what a test wants in its place.
    """

    def __init__(
        self,
        folder: Path,
        ports: list[int],
        *,
        certificate: tuple[Path, Path] | None = None,
        edit: Callable[[str], str] = str,
    ) -> None:
        """Prepare it; :meth:`start` starts it."""
        self.port = free_port()
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        #: Where it sends visitors of plain HTTP on to HTTPS.
        self.redirecting = f"http://127.0.0.1:{(redirecting := free_port())}"
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "nginx.conf"
        # As root, its workers would change to a user who may not read the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        #: The access log.
        self.log = folder / "access.log"
        site = edit(_deployed(self.port, redirecting, ports, certificate, self.log))
        configuration.write_text(_FRAME.format(folder=folder, user=user, site=site))
        binary = find() or missing("nginx", "apt install nginx-light, or any nginx in PATH")
        self.process = Process(
            [binary, "-c", configuration, "-p", folder, "-e", "stderr"], log=folder / "nginx.log"
        )

    def start(self) -> Nginx:
        """Start it; return when it accepts connections."""
        self.process.start(ready=lambda: listens(self.port))
        return self

    def stop(self) -> None:
        """End it."""
        self.process.stop(timeout=5)


def _deployed(
    port: int,
    redirecting: int,
    servers: list[int],
    certificate: tuple[Path, Path] | None,
    log: Path,
) -> str:
    """Return ``deploy/nginx.conf`` with these ports and files in the place of its own."""
    lines = "\n".join(f"    server 127.0.0.1:{server} max_fails=0;" for server in servers)
    tls = " ssl http2" if certificate else ""
    in_place = {
        r"(?:    server 127\.0\.0\.1:\d+ max_fails=0;\n)+": lines + "\n",
        r"(?<=access_log )/var/log/nginx/mysite.log": str(log),
        r"listen 80;": f"listen 127.0.0.1:{redirecting};",
        r"listen 443 ssl http2;": f"listen 127.0.0.1:{port}{tls} backlog=4096;",
        r"ssl_certificate [^;]+;": f"ssl_certificate {certificate[0]};" if certificate else "",
        r"ssl_certificate_key [^;]+;": f"ssl_certificate_key {certificate[1]};"
        if certificate
        else "",
    }
    site = _SITE.read_text()
    for pattern, text in in_place.items():
        site, replaced = re.subn(pattern, text, site)
        assert replaced, f"{_SITE.name} has a {pattern}"
    return site


def main() -> int:
    """Fetch an nginx if the machine has none, where that can be done; print where it is."""
    debian.fetch(_UNPACKED, "nginx-light", until=find)
    print(f"nginx: {find() or 'none; install it for the tests that need it'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
