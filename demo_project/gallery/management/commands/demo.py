"""``manage.py demo``: set the demo up and serve it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

_HOST = "127.0.0.1"
_BANNER = """
sse_notify demo, ready:

    http://localhost:{port}/
    http://127.0.0.1:{port}/   the same, with a login of its own: be two people in one browser

From a second terminal:

    .venv/bin/python manage.py demo_notify --user alice "Hello from the terminal"

Ctrl-C stops it.
"""


class Command(BaseCommand):
    """Serves the demo on this machine only, with the server recommended for production."""

    help = "Set the demo up if need be, and serve it with uvicorn."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the option for the port."""
        parser.add_argument(
            "--port", type=int, default=int(os.environ.get("PORT") or 8000), help="8000, or $PORT"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Bind the port first, so that the address is only printed if it can be served."""
        with _listen(options["port"]) as listener:
            call_command("setup_demo", stdout=self.stdout)
            connections.close_all()
            port = listener.getsockname()[1]
            self.stdout.write(_BANNER.format(port=port))
            self.stdout.flush()
            config = uvicorn.Config(
                "demo_project.asgi:application",
                log_level="warning",
                lifespan="off",
                # Streams end at shutdown by themselves; this is for pages that never finish.
                timeout_graceful_shutdown=5,  # seconds
            )
            server = uvicorn.Server(config)
            # After a clean shutdown uvicorn raises Ctrl-C again for its parent.
            with _worker(), contextlib.suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
        if not server.started:
            raise CommandError("The server did not start.")


@contextlib.contextmanager
def _worker() -> Iterator[None]:
    """Run the jobs of the page "Background tasks", and answers of the chat, in a separate process."""
    # Its own session, so that Ctrl-C reaches it only through here, after the streams have ended.
    worker = subprocess.Popen(  # noqa: S603  (this very site)
        [
            sys.executable,
            settings.BASE_DIR / "manage.py",
            "demo_worker",
            "--follow",
            str(os.getpid()),
        ],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port), backlog=2048)
    except OSError as error:
        raise CommandError(
            f"Port {port} cannot be used ({error.strerror}). Try another: PORT={port + 1} make demo"
        ) from error
