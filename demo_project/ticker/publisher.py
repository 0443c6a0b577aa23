"""Publish prices, but only while somebody watches.

This is for a site with one process. With several, publish from a separate job.
"""

from __future__ import annotations

import asyncio
from typing import Any

from django.dispatch import receiver

from demo_project.ticker.market import Market
from demo_project.ticker.topics import RATES, topic_of
from sse_notify import publish
from sse_notify.presence import listeners
from sse_notify.signals import stream_opened

market = Market()
#: The last task of each rate.
running: dict[int, asyncio.Task[None]] = {}


@receiver(stream_opened)
def somebody_came(topics: tuple[str, ...], **kwargs: Any) -> None:
    """Start the rates that are watched. This runs on the event loop, so it can start tasks."""
    for rate in RATES:
        if topic_of(rate) in topics and (rate not in running or running[rate].done()):
            running[rate] = asyncio.get_running_loop().create_task(_publish(rate))


async def _publish(rate: int) -> None:
    """Publish the changed prices ``rate`` times a second.

    A slow ticker skips the prices in between, so its last price is as new as a fast ticker's.
    """
    seen = 0
    while listeners(topic_of(rate)):
        market.catch_up()
        publish(
            topic_of(rate), {"moves": market.moves, "prices": market.since(seen)}, event="prices"
        )
        seen = market.moves
        await asyncio.sleep(1 / rate)


def flood(rate: int, events: int) -> None:
    """Publish more than a stream buffers. On the event loop, no stream can write meanwhile."""
    for _ in range(events):
        market.move()
        publish(topic_of(rate), {"moves": market.moves, "prices": market.since(0)}, event="prices")
