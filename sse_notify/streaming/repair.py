"""Read from the log what a hub has missed, for the topics that its streams listen to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from operator import attrgetter
from typing import Any

from sse_notify.bus.messages import Entry
from sse_notify.concurrency.threadpool import Run
from sse_notify.log.reader import read_entries

PAGE = 500  # entries that one query reads


async def read_missing(
    run: Run, by_topic: Mapping[str, Collection[Any]], after: int, up_to: int
) -> tuple[list[Entry], int]:
    """Return the next entries after ``after``, in order, and the number up to which all are there.

    Args:
        run: runs a function that queries.
        by_topic: the open streams by topic. It may change meanwhile: a stream that begins during a
            query waits for the entries after the hub's cursor, so its topics are read, too.
        after: the hub's cursor.
        up_to: the last number to read.
    """
    entries: list[Entry] = []
    read: set[str] = set()
    while topics := by_topic.keys() - read:
        more, up_to = await run(read_entries, after, up_to, topics=topics, limit=PAGE)
        entries += more
        read |= topics
    found = {entry.seq: entry for entry in entries if entry.seq <= up_to}
    return sorted(found.values(), key=attrgetter("seq")), up_to
