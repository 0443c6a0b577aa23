"""Reading what a client missed, page by page, off the loop; the log may be away for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from django import db

from sse_notify import tracing
from sse_notify.incidents import Incident

if TYPE_CHECKING:
    from sse_notify.log import Entry, Reader
    from sse_notify.protocols import Feed, Source
    from sse_notify.stream import Stream
    from sse_notify.threads import Run

#: Seconds between two tries while the database is away.
RETRY_SECONDS = 1.0

_database = Incident("database_replay")


class Page(NamedTuple):
    """A part of the log: ``entries`` blocks in one ``chunk``, complete up to the number ``cursor``."""

    chunk: bytes
    entries: int
    cursor: int


class Replay:
    """The log as one client reads it.

    Args:
        source: reads the log.
        run: runs ``source`` off the loop.
        limit: notifications that one query reads.
    """

    __slots__ = ("_limit", "_run", "_source")

    def __init__(self, source: Source, run: Run, limit: int) -> None:
        self._source = source
        self._run = run
        self._limit = limit

    async def read(self, after: int, up_to: int, *, reader: Reader) -> Page | None:
        """Return the next page in between for ``reader``; ``None`` if the database is away, after a pause."""
        try:
            entries, complete = await self._run(self._read, after, up_to, reader)
        except db.Error as error:
            await _pause(error)
            return None
        _database.worked()
        return Page(b"".join([entry.frame for entry in entries]), len(entries), complete)

    def _read(self, after: int, up_to: int, reader: Reader) -> tuple[list[Entry], int]:
        # In the thread that queries, so that the spans of a database driver are inside this one.
        with tracing.span("replay", after=after, up_to=up_to) as span:
            entries, complete = self._source(after, up_to, reader=reader, limit=self._limit)
            span.set_attribute("sse_notify.events", len(entries))
        return entries, complete


async def join(feed: Feed, stream: Stream) -> int | None:
    """Have ``stream`` join ``feed`` and return the cursor of that moment; ``None`` if the database is away, after a pause."""
    try:
        return await feed.join(stream)
    except db.Error as error:
        await _pause(error)
        return None


async def _pause(error: db.Error) -> None:
    _database.failed(error)
    await asyncio.sleep(RETRY_SECONDS)
