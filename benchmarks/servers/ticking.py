"""A ticker inside the server: so many events a second, each at its time, for every contestant alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def tick(publish: Callable[[int], Awaitable[None] | None], rate: int, count: int) -> None:
    """Call ``publish`` with the numbers from 0 to ``count`` - 1, ``rate`` times a second.

    What is late is made up for at once, so a server that cannot keep up has as much to do as one that can.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(count):
        # Not a wait for anything: this is the load.
        await asyncio.sleep(max(0.0, start + number / rate - loop.time()))
        published = publish(number)
        if published is not None:
            await published


_tasks: set[asyncio.Task[None]] = set()


def begin(publish: Callable[[int], Awaitable[None] | None], rate: int, count: int) -> None:
    """Do it in the background: the request that asked for it is over by then."""
    task = asyncio.get_running_loop().create_task(tick(publish, rate, count))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
