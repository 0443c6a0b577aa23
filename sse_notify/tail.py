"""Following a stream without a browser or a server: the handshake, a hub and the stream itself, in this process.

As ``user`` it is exactly what that user's browser gets: the same permissions, the same cursor's verdict, the same end. By topics
alone it is an operator's view, which nothing is asked for.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, QueryDict

from sse_notify import hubs, log, threads
from sse_notify.access.decisions import Granted, open_now
from sse_notify.access.openings import Opening
from sse_notify.conf import get_settings
from sse_notify.handshake import make_stream, read_request
from sse_notify.log import Reader
from sse_notify.stream import Stream
from sse_notify.topics import find, is_own

if TYPE_CHECKING:
    from sse_notify.querysets import User


@dataclass(kw_only=True, slots=True)
class Tail:
    """What to follow: a user's stream, or topics, or both.

    Iterate over :meth:`chunks`; when they end, :attr:`reason` says why.
    """

    user: User | None = None
    """Whose stream; ``None`` for topics alone."""
    topics: tuple[str, ...] = ()
    """Topics: the project's own, and without a user this package's as well: ``everyone``, ``staff``, ``group:3``, ``user:5``."""
    cursor: int | None = None
    """After which number of the log to begin; ``None``: with what comes from now on. Moves on with what was read."""
    reason: str = ""
    """Why the stream has ended: "logout", "revoked", "slow"."""

    def check(self) -> None:
        """Check what can be checked before it begins. One query.

        Raises:
            ValueError: there is neither user nor topic, or the cursor is outside the log.
            UnknownTopic: a topic is nobody's.
        """
        if self.user is None and not self.topics:
            raise ValueError("user, topics: one of the two is needed")
        for name in self.topics:
            if self.user is not None or not is_own(name):
                find(name)
        position = log.position()
        if (
            self.user is None
            and self.cursor is not None
            and not position.floor <= self.cursor <= position.head
        ):
            raise ValueError(f"cursor: the log goes from {position.floor} to {position.head}")

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the stream's chunks, of complete blocks each; on from the cursor when its lifetime is over.

        Raises:
            HandshakeRefused: the user may not have this stream.
            django.db.Error: the database is away as it begins; later the stream waits for it.
        """
        while self.reason in ("", "lifetime"):
            stream = await threads.streams(self._open)
            try:
                while (chunk := await stream.read()) is not None:
                    yield chunk
                    self.cursor = stream.cursor
            finally:
                stream.close()
            self.reason = stream.reason

    def _open(self) -> Stream:
        if self.user is not None:
            subscriber = read_request(self._request())
            return make_stream(subscriber, open_now(subscriber))
        head = log.head()
        stream = Stream(
            feed=hubs.current,
            run=threads.streams,
            page=get_settings().REPLAY_PAGE,
            buffer_bytes=get_settings().BUFFER_BYTES,
            lifetime=math.inf,
        )
        cursor = head if self.cursor is None else self.cursor
        reader = Reader(topics=tuple(name for name in self.topics if is_own(name)))
        opening = Opening(cursor=cursor, head=head, prelude=b"")
        granted = Granted(user=None, reader=reader, opening=opening)
        stream.begin(granted, tuple(name for name in self.topics if not is_own(name)))
        return stream

    def _request(self) -> HttpRequest:
        request = HttpRequest()
        query = QueryDict(mutable=True)
        query.setlist("topic", list(self.topics))
        query["cursor"] = "" if self.cursor is None else str(self.cursor)
        request.GET = query  # type: ignore[assignment]  # the stubs want one that cannot be changed
        user: Any = self.user
        request.user = user
        return request
