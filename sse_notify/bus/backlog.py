"""The messages that wait for the channel layer, in order.

The backlog is bounded by bytes and not by number: a loop that publishes thousands of small events
is faster than any channel layer, and ephemeral events are not in the log.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from sse_notify.bus.messages import REVOCATION_SUBJECTS, Message, Revocation, size

#: Maximum size of what waits, in bytes. Beyond it, the oldest messages are dropped.
BACKLOG_BYTES = 16 * 1024 * 1024


class Backlog:
    """A queue of messages. It is not thread-safe."""

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> int:
        """Append ``message``, and return how many of the oldest messages were dropped for it.

        Consecutive revocations are joined, so that saving a thousand users one by one does not push
        events out of the queue.
        """
        joined = _join(self._waiting[-1], message) if self._waiting else None
        if joined is not None:
            self._size -= size(self._waiting.pop())
        self._waiting.append(joined or message)
        self._size += size(self._waiting[-1])
        dropped = 0
        while self._size > BACKLOG_BYTES and len(self._waiting) > 1:
            self.take()
            dropped += 1
        return dropped

    def take(self) -> Message:
        """Remove the oldest message and return it."""
        message = self._waiting.popleft()
        self._size -= size(message)
        return message


def _join(first: Any, then: Any) -> Revocation | None:
    """Return one revocation that replaces both messages; ``None`` if both are needed."""
    if not (isinstance(first, Revocation) and isinstance(then, Revocation)):
        return None
    # A user who was saved twice is decided again: the last message may not be of the last commit.
    again = (topic for topic, now in then.users.items() if first.users.get(topic, now) != now)
    topics = tuple(dict.fromkeys((*first.topics, *then.topics, *again)))
    sessions = tuple(dict.fromkeys((*first.sessions, *then.sessions)))
    users = {**first.users, **then.users}
    is_large = len(topics) + len(sessions) + len(users) > REVOCATION_SUBJECTS
    if is_large or (first.end, first.again) != (then.end, then.again):
        return None
    everybody = first.everybody or then.everybody
    return Revocation(topics, sessions, everybody, first.end, first.again, users)
