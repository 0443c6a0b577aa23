"""Limit the streams of this process. They count from the handshake on, in any thread.

Some proxies keep a stream open after its client has left, until a heartbeat fails to reach it. A
user who opens page after page would soon have as many such ghosts as the limit allows. So a new
stream beyond a user's limit replaces an older one, if both pages have told their names:

1. its own page's oldest stream, which nobody reads any more: the client is told not to come back;
2. else the oldest one whose page was not replaced before. A ghost stays away. A real page comes
   back, replaces another, and is known to be real from then on.

So each page gives way once. Pages that are really too many end with one refusal for each in excess.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

from django.http import JsonResponse

from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused
from sse_notify.telemetry import count

#: Seconds after which a client that was refused for lack of capacity may retry.
RETRY_AFTER = 5
#: Replaced pages that a process remembers, the newest.
REMEMBERED = 10_000


class Admission:
    """The number of open streams, in total and per user. Thread-safe."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector, which may run anywhere, calls ``release`` for streams
        # that were never served.
        self._lock = threading.RLock()
        self._users: Counter[Any] = Counter()
        # Of each user, the streams that were replaced, until they are closed.
        self._leaving: dict[Any, set[Any]] = {}
        # Of each user, the open streams whose pages have names, oldest first.
        self._pages: dict[Any, dict[Any, None]] = {}
        # The user and the name of each page that was replaced.
        self._replaced: dict[tuple[Any, str], None] = {}
        self.total = 0
        #: Whether the process is shutting down.
        self.draining = False

    def check(self, *, waiting: int = 0) -> None:
        """Check whether the process accepts another stream, before its handshake costs anything.

        Args:
            waiting: handshakes in progress. At most ``MAX_STREAMS`` may wait: the process could not
                serve more.

        Raises:
            HandshakeRefused: 503 while the process shuts down, is full, or has too many handshakes
                waiting.
        """
        most = get_settings().MAX_STREAMS
        if self.draining:
            raise _no_room("draining", "The server is restarting.")
        if self.total >= most:
            raise _no_room("full", "The server has no room for more streams.")
        if waiting >= most:
            raise _no_room("busy", "Too many clients are connecting at once.")

    def admit(self, stream: Any) -> None:
        """Count one more stream for its user; visitors have no limit of their own.

        It may replace another stream of the user, which then ends with ``bye``.

        Raises:
            HandshakeRefused: 503 while the process shuts down or is full, 429 if the user has too
                many streams. The stream is not counted then.
        """
        with self._lock:
            self.check()
            most = get_settings().MAX_STREAMS_PER_USER
            if stream.user_id is not None and self._users[stream.user_id] >= most:
                self._replace(stream.user_id, stream.subscriber.page, most)
            self.total += 1
            self._users[stream.user_id] += 1

    def enlist(self, stream: Any) -> None:
        """Let newer streams of its user replace ``stream``, an open one, if its page has a name."""
        with self._lock:
            if stream.user_id is not None and stream.subscriber.page:
                self._pages.setdefault(stream.user_id, {})[stream] = None

    def release(self, stream: Any) -> None:
        """Undo :meth:`admit` and :meth:`enlist`."""
        with self._lock:
            self.total -= 1
            leaving = self._leaving.get(stream.user_id, set())
            if stream not in leaving:
                self._forget(stream)
            elif len(leaving) > 1:
                leaving.remove(stream)
            else:
                del self._leaving[stream.user_id]

    def _replace(self, user_id: Any, page: str, most: int) -> None:
        """End a stream of a user for a new one of ``page``, and no longer count it for the user.

        At most ``most`` may be leaving: one whose client reads nothing takes its time.
        """
        old, retry = None, None
        for stream in self._pages.get(user_id, ()) if page else ():
            name = stream.subscriber.page
            if name == page:
                old, retry = stream, None
                break
            if old is None and (user_id, name) not in self._replaced:
                old, retry = stream, random.randint(*get_settings().RETRY_MS)
        if old is None or len(self._leaving.get(user_id, ())) >= most:
            raise _no_room("too_many_streams", "You have too many open streams.", status=429)
        if retry is not None:
            self._replaced[user_id, old.subscriber.page] = None
            if len(self._replaced) > REMEMBERED:
                del self._replaced[next(iter(self._replaced))]
        self._forget(old)
        self._leaving.setdefault(user_id, set()).add(old)
        old.end_soon("replaced", retry)

    def _forget(self, stream: Any) -> None:
        self._users[stream.user_id] -= 1
        if not self._users[stream.user_id]:
            del self._users[stream.user_id]
        pages = self._pages.get(stream.user_id, {})
        pages.pop(stream, None)
        if not pages:
            self._pages.pop(stream.user_id, None)


def _no_room(code: str, message: str, *, status: int = 503) -> HandshakeRefused:
    return HandshakeRefused(status, code, message, retry_after=RETRY_AFTER)


#: The open streams of this process.
admission = Admission()


def refuse(refusal: HandshakeRefused) -> JsonResponse:
    """Return the response for ``refusal``: JSON that must not be cached."""
    count("refused", refusal.code)
    said = {"error": refusal.code, "message": refusal.message}
    if refusal.topic:
        said["topic"] = refusal.topic
    response = JsonResponse(said, status=refusal.status, headers={"Cache-Control": "no-store"})
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response
