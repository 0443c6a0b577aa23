"""Whether the log was pruned, or cut short, beneath the open streams of one hub: then their clients are told by ``reset`` to start over.

A handshake refuses a cursor below the floor. But a page that is open may show what is gone, and a replay that is under way reads
past what it never saw. So the hub looks at the floor with every poll, and when it has come to rest, as pruning takes many batches, it
tells each stream once. One that joins later with a cursor from before is told as it joins. No message of the layer is needed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from sse_notify import counters

if TYPE_CHECKING:
    from sse_notify.log import Position
    from sse_notify.stream import Stream

#: Streams that are told in one second, and seconds that all of them take at most: each client has its list to fetch.
STREAMS_PER_SECOND = 200
SPREAD_SECONDS = 10.0


class Floor:
    """The floor of the log as one hub's streams know it. All methods are to be called on the hub's loop."""

    def __init__(self) -> None:
        self._told = self._seen = 0

    def start(self, position: Position) -> int:
        """Begin with the floor as it is, as no stream has joined yet, and return the head."""
        self._told = self._seen = position.floor
        return position.head

    def joined(self, stream: Stream) -> None:
        """Look at a stream that has joined: its handshake may be older than what the others were told."""
        if stream.cursor < self._told:
            # Once it knows its hub; a page that it reads by then is dropped and read again after the ``reset``.
            asyncio.get_running_loop().call_soon(_start_over, stream)

    def look(self, floor: int, streams: Collection[Stream]) -> None:
        """Compare ``floor``, read just now, with what ``streams`` know."""
        if floor < self._told:  # a restored backup
            self._told = floor
        elif floor > self._told and floor == self._seen:
            self._told = floor
            spread = min(SPREAD_SECONDS, len(streams) / STREAMS_PER_SECOND)
            loop = asyncio.get_running_loop()
            for stream in streams:
                loop.call_later(random.uniform(0, spread), partial(_start_over, stream))
        self._seen = floor

    def go_back(self, head: int, streams: Collection[Stream]) -> int:
        """Tell ``streams`` that the log is shorter than it was: a restored backup. No cursor means what it meant; return the new one."""
        counters.add("reset", "ahead", len(streams))
        for stream in list(streams):
            stream.reset("ahead", head)
        return head


def _start_over(stream: Stream) -> None:
    if stream.closed or stream.reason != "client":  # it is taking its leave
        return
    counters.add("reset", "expired")
    stream.reset("expired", stream.cursor)
    # What waited was dropped: on from the log, to where the hub is.
    stream.retopic(stream.reader, stream.topics[len(stream.reader.topics) :])
