"""A process of its own that notifies while a fault happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import GUARD
from tests.support.processes import Process
from tests.support.site import Site

# Until the file "publisher.stop" is there, it notifies everybody and one user in turn. Each notification has its time, counted from the first:
# a time that was missed is made up.
PUBLISHER = """
import json, time
from pathlib import Path
from django.contrib.auth.models import User
from sse_notify import broadcast, notify

users = list(User.objects.filter(username__startswith="person"))
stop = Path({stop!r})
number, begun = 0, time.monotonic()
while not stop.exists():
    number += 1
    if number % 2:
        broadcast(f"To all {{number}}")
    else:
        notify(users[number // 2 % len(users)], f"To one {{number}}")
    time.sleep(max(0, begun + number / {rate} - time.monotonic()))
Path({told!r}).write_text(json.dumps([number, time.monotonic() - begun]))
"""


@dataclass(slots=True)
class Publishing:
    """A publisher at work."""

    process: Process
    sent: int = 0
    """Notifications, known when it has ended."""
    seconds: float = 0.0
    """That it took, known when it has ended."""

    @property
    def rate(self) -> float:
        """Notifications a second, as they were sent."""
        return self.sent / self.seconds


@contextlib.asynccontextmanager
async def publishing(site: Site, folder: Path, *, rate: float = 20.0) -> AsyncIterator[Publishing]:
    """Have a process of its own notify all through the block, ``rate`` times a second: half of them everybody, half one user."""
    # In a file, as its output is a log, too, in which a fault is told of after the end.
    stop, told = folder / "publisher.stop", folder / "publisher.told"
    found = Publishing(
        site.start_script(PUBLISHER.format(stop=str(stop), told=str(told), rate=rate))
    )
    try:
        yield found
    finally:
        stop.touch()
        status = await asyncio.to_thread(found.process.wait, GUARD)
    assert status == 0, found.process.tail()
    found.sent, found.seconds = json.loads(told.read_text())
