"""Publishes prices while somebody watches, and does nothing at all while nobody does.

One process publishes for all: with several, this would be a job of its own.
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
    """Start what is watched now. This is called on the event loop, so a task can be started right here."""
    for rate in RATES:
        if topic_of(rate) in topics and (rate not in running or running[rate].done()):
            running[rate] = asyncio.get_running_loop().create_task(_publish(rate))


async def _publish(rate: int) -> None:
    """Publish what has moved, so many times a second: a slow ticker skips prices in between, and is as fresh as a fast one."""
    seen = 0
    while listeners(topic_of(rate)):
        market.catch_up()
        publish(
            topic_of(rate), {"moves": market.moves, "prices": market.since(seen)}, event="prices"
        )
        seen = market.moves
        await asyncio.sleep(1 / rate)


def flood(rate: int, events: int) -> None:
    """Publish more than a stream may have waiting. Called on the event loop, no stream is written to meanwhile."""
    for _ in range(events):
        market.move()
        publish(topic_of(rate), {"moves": market.moves, "prices": market.since(0)}, event="prices")
