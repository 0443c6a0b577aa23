"""Write answers in a process without a web server: ``manage.py demo_worker``."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import Error, close_old_connections

from demo_project.chat.answering import options, words
from demo_project.chat.models import RUNNING, WAITING, Message
from sse_notify.contrib.runs import Run, RunExists

if TYPE_CHECKING:
    import threading

logger = logging.getLogger(__name__)

#: Seconds between two queries for an answer.
LOOK_SECONDS = 0.5


def work(stop: threading.Event) -> None:
    """Write all answers that wait for a worker, several at once, until ``stop`` is set.

    Those that are not complete by then are cancelled: their runs end as ``interrupted``.
    """
    asyncio.run(_work(stop))


async def _work(stop: threading.Event) -> None:
    tasks: dict[int, asyncio.Task[None]] = {}
    while not stop.is_set():
        try:
            for answer in await sync_to_async(_waiting)():
                if answer.pk not in tasks:
                    tasks[answer.pk] = asyncio.create_task(write(answer))
        except Error as error:  # the database is down: try again
            logger.warning("No answer can be looked for: %s", error)
        await asyncio.sleep(LOOK_SECONDS)
        tasks = {pk: task for pk, task in tasks.items() if not task.done()}


def _waiting() -> list[Message]:
    close_old_connections()
    return list(Message.objects.filter(state=WAITING).select_related("conversation__owner"))


async def write(answer: Message) -> None:
    """Write one answer. If its user stops it, the model is stopped too."""
    said: Any = await sync_to_async(words)(answer)
    try:
        async with Run.open(**options(answer.conversation)) as run, aclosing(said):
            # From here on, no other worker can open a run under this key.
            waits = Message.objects.filter(pk=answer.pk, state=WAITING)
            if await waits.aupdate(state=RUNNING, run=run):
                async for word in said:
                    await run.awrite(word)
    except RunExists:
        pass  # another worker was quicker
    except Exception:  # the run has failed, and the page says so
        logger.exception("The answer %s failed.", answer.pk)
