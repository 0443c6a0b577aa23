"""A process of its own that notifies while a fault happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support import GUARD
from tests.support.processes import Process
from tests.support.site import Site

# Until its file of the same name with ".stop" is there, it notifies everybody and one user in turn.
PUBLISHER = """
import json, sys, time
from pathlib import Path
from django.contrib.auth.models import User
from sse_notify import broadcast, notify

users = list(User.objects.filter(username__startswith="person"))
stop = Path({stop!r})
number = 0
while not stop.exists():
    number += 1
    broadcast(f"To all {{number}}")
    notify(users[number % len(users)], f"To one {{number}}")
    time.sleep({pause})
"""


@contextlib.asynccontextmanager
async def publishing(site: Site, folder: Path, *, pause: float = 0.05) -> AsyncIterator[Process]:
    """Have a process of its own notify all through the block."""
    stop = folder / "publisher.stop"
    process = site.start_script(PUBLISHER.format(stop=str(stop), pause=pause))
    try:
        yield process
    finally:
        stop.touch()
        status = await asyncio.to_thread(process.wait, GUARD)
    assert status == 0, process.tail()
