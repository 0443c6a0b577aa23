"""The end of a process, as one hub sees it: every stream is told, who does not take it is cut, and then somebody is told."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_notify.stream import Stream

logger = logging.getLogger("sse_notify")

#: Seconds that a server may take to pass on what the last streams wrote.
FLUSH_SECONDS = 0.05
#: Seconds that every client has at least to take its ``bye``.
CUT_SECONDS = 1.0


class Farewell:
    """Ends the streams of one hub. All methods are to be called on its loop.

    Args:
        streams: the hub's streams, as they come and go.
        seconds: the clients are to come back spread over as many. A client that does not take its ``bye`` is cut after half of them; the
            rest is the server's own.
    """

    def __init__(self, streams: set[Stream], seconds: float) -> None:
        self._streams = streams
        self._seconds = seconds
        self._since = monotonic()
        self._told = self._cut = 0
        self._done: list[Callable[[], None]] = []
        asyncio.get_running_loop().call_later(max(seconds / 2, CUT_SECONDS), self._cut_the_rest)

    def begin(self, done: Callable[[], None] | None) -> None:
        """Tell every stream; call ``done`` when none is left and what they were told is on its way."""
        if done is not None:
            self._done.append(done)
        for stream in list(self._streams):
            self.tell(stream)
        self.check()

    def tell(self, stream: Stream) -> None:
        """End one stream with ``bye``."""
        self._told += 1
        stream.end("drain", int(random.uniform(0, self._seconds) * 1000))

    def check(self) -> None:
        """See whether all are gone; to be called when one went."""
        if self._streams:
            return
        if self._told:
            fields = {
                "streams": self._told,
                "cut": self._cut,
                "seconds": round(monotonic() - self._since, 1),
            }
            logger.info(
                "drained streams=%(streams)d cut=%(cut)d seconds=%(seconds).1f",
                fields,
                extra=fields,
            )
            self._told = 0
        done, self._done = self._done, []
        for call in done:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, call)

    def _cut_the_rest(self) -> None:
        for stream in list(self._streams):
            self._cut += 1
            stream.abort("drain")
