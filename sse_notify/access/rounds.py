"""The pace at which all open streams are decided again, though nothing rings for them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

from sse_notify.bus import publisher
from sse_notify.conf import get_settings

#: Seconds of a round while a layer connects the processes; and between two decisions that ask the project's topics without one.
ROUND_SECONDS = 60.0


async def rounds(
    count: Callable[[], int], poll_interval: Callable[[], float]
) -> AsyncIterator[int]:
    """Yield at each step how many streams are due, so that every one is within ``RECHECK_INTERVAL``.

    Args:
        count: returns how many there are.
        poll_interval: returns the seconds of a round while no layer connects the processes.
    """
    due = random.random()
    while True:
        seconds = get_settings().RECHECK_INTERVAL
        if seconds is None:
            seconds = ROUND_SECONDS if publisher.remote_layer() is not None else poll_interval()
        step = min(seconds, max(seconds / 12, 1.0))
        await asyncio.sleep(step * random.uniform(0.9, 1.1))
        due = min(due + count() * step / seconds, count())
        yield int(due)
        due %= 1


def topics_interval() -> float:
    """Return the seconds after which a round asks the project's topics again."""
    return get_settings().RECHECK_INTERVAL or ROUND_SECONDS
