"""Live updates without Redis: the server polls the database for the worker's progress.

With a channel layer that connects processes, the worker's own updates reach the page, and this
module does nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.dispatch import receiver

from demo_project.tasks.models import Job, State, progress_of
from demo_project.tasks.topics import topic_of
from sse_notify import publish
from sse_notify.presence import listeners
from sse_notify.signals import stream_opened

#: Seconds between two polls.
LOOK_SECONDS = 0.5

watched: set[int] = set()
"""The users whose jobs somebody watches, or watched until now."""
_running: list[asyncio.Task[None]] = []


@receiver(stream_opened)
def somebody_came(user_id: Any, topics: tuple[str, ...], **kwargs: Any) -> None:
    """Poll while somebody watches jobs."""
    if (
        "InMemory" in settings.CHANNEL_LAYERS["default"]["BACKEND"]
        and user_id is not None
        and topic_of(user_id) in topics
    ):
        watched.add(user_id)
        if not _running or _running[0].done():
            _running[:] = [asyncio.get_running_loop().create_task(_look())]


async def _look() -> None:
    told: dict[str, Any] = {}
    while watched:
        for owner, key, progress in await sync_to_async(running)(list(watched)):
            if told.get(key) != progress:
                told[key] = progress
                publish(topic_of(owner), {"key": key, **progress}, event="progress")
        await asyncio.sleep(LOOK_SECONDS)
        watched.difference_update([owner for owner in watched if not listeners(topic_of(owner))])


def running(owners: list[int]) -> list[tuple[int, str, dict[str, Any]]]:
    """Return the running jobs of these users: owner, key, progress."""
    jobs = list(Job.objects.filter(owner__in=owners, state=State.RUNNING).defer("result"))
    found = progress_of(jobs)
    return [(job.owner_id, job.key, found[job.key]) for job in jobs if job.key in found]
