"""Limit the streams of this process. They count from the handshake on, in any thread."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from django.http import JsonResponse

from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused
from sse_notify.telemetry import count

#: Seconds after which a client that was refused for lack of capacity may retry.
RETRY_AFTER = 5


class Admission:
    """The number of open streams, in total and per user. Thread-safe."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector, which may run anywhere, calls ``release`` for streams
        # that were never served.
        self._lock = threading.RLock()
        self._users: Counter[Any] = Counter()
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

    def admit(self, user_id: Any) -> None:
        """Count one more stream for a user; visitors (``None``) have no limit of their own.

        Raises:
            HandshakeRefused: 503 while the process shuts down or is full, 429 if the user has too
                many streams. The stream is not counted then.
        """
        with self._lock:
            self.check()
            most = get_settings().MAX_STREAMS_PER_USER
            if user_id is not None and self._users[user_id] >= most:
                raise _no_room("too_many_streams", "You have too many open streams.", status=429)
            self.total += 1
            self._users[user_id] += 1

    def release(self, user_id: Any) -> None:
        """Undo one :meth:`admit`."""
        with self._lock:
            self.total -= 1
            self._users[user_id] -= 1
            if not self._users[user_id]:
                del self._users[user_id]


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
