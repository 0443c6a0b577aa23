"""The test project's own topics, found by autodiscovery."""

from __future__ import annotations

import asyncio
from typing import Any

from django.contrib.auth.models import User

from sse_notify import topic


@topic("wall", public=True)
def can_watch_wall(user: Any) -> bool:
    """Let everybody in, anonymous visitors too."""
    return True


@topic("progress")
def can_watch_progress(user: Any) -> bool:
    """Let signed-in users in, to a topic that has the name of an event of the package."""
    return True


@topic("room.<int:number>")
def can_watch_room(user: Any, number: int) -> bool:
    """Let signed-in users into the even rooms."""
    return number % 2 == 0


@topic("later.<int:ms>")
async def can_watch_later(user: Any, ms: int) -> bool:
    """Let users in after a while, who are looked up then."""
    await asyncio.sleep(ms / 1000)
    return await User.objects.filter(pk=user.pk).aexists()
