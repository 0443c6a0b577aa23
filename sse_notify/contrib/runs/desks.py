"""The desk of an event loop: it tells the loop's readers of runs what was appended.

Each event loop has one desk while it has readers. It hears of parts through the hub, and looks in
the database at each poll, as a channel layer may lose messages.
"""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import Any, cast

from django.db.models import Max

from sse_notify.bus import publisher
from sse_notify.conf import get_settings
from sse_notify.contrib.runs import storing
from sse_notify.contrib.runs.blocks import told
from sse_notify.telemetry import Incident
from sse_notify.topics import RUNS

#: Seconds between two checks of readers who are not the owner.
RECHECK_SECONDS = 60.0

#: Whether readers of this process reach the database.
database = Incident("database_run_readers")


class Desk:
    """The readers of runs on one event loop. Call all methods there."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._readers: dict[int, set[Any]] = {}
        self._task: asyncio.Task[None] | None = None
        self._checked_at = monotonic()

    def join(self, stream: Any) -> None:
        """Give ``stream`` what is told of its run."""
        self._readers.setdefault(stream.run_id, set()).add(stream)
        if self._task is None:
            self._hub.listen(self, [RUNS])
            self._task = asyncio.create_task(self._poll())

    def leave(self, stream: Any) -> None:
        """Undo :meth:`join`."""
        readers = self._readers.get(stream.run_id, set())
        readers.discard(stream)
        if not readers:
            self._readers.pop(stream.run_id, None)
        if not self._readers and self._task is not None:
            self._task.cancel()
            self._task = None
            self._hub.unlisten(self, [RUNS])

    def push_ephemeral(self, frame: bytes) -> None:
        """Pass on what a process tells."""
        for pk, first, last, blocks, is_end in told(frame):
            for stream in list(self._readers.get(pk, ())):
                stream.push(first, last, blocks, is_end=is_end)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(publisher.poll_interval() * random.uniform(0.9, 1.1))
            try:
                await self._look()
                await self._recheck()
                database.worked()
            except Exception as error:  # the streams stay open while the database is down
                database.failed(error)

    async def _look(self) -> None:
        asked = list(self._readers)
        found = await self._hub.run(_newest, asked)
        for pk in asked:  # others may have come meanwhile
            for stream in list(self._readers.get(pk, ())):
                if pk in found:
                    stream.look(found[pk])
                else:
                    stream.end("revoked", None)  # the run is gone

    async def _recheck(self) -> None:
        every = get_settings().RECHECK_INTERVAL or RECHECK_SECONDS
        if monotonic() - self._checked_at < every:
            return
        self._checked_at = monotonic()
        for stream in [each for streams in self._readers.values() for each in streams]:
            if stream.may_read is not None and not await self._hub.replay(stream.may_read):
                stream.end("revoked", None)


def desk_of(hub: Any) -> Desk:
    """Return the desk of a hub's loop."""
    for listener in hub.listeners(RUNS):
        return cast("Desk", listener)
    return Desk(hub)


def _newest(pks: list[int]) -> dict[int, int]:
    """Return the last number of each run that is there, and end those whose process was killed."""
    storing.stalled(pk__in=pks)
    there = storing.runs(pk__in=pks).values_list("pk", flat=True)
    parts = storing.parts_of(*pks).values_list("run_id")
    return dict.fromkeys(there, 0) | dict(parts.annotate(last=Max("last")))
