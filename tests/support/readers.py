"""What a user may read of the log, and how a new stream of theirs would start, as the package decides it."""

from __future__ import annotations

from typing import Any

from sse_notify.access.decisions import Granted, Question, decide, subscriber_of
from sse_notify.exceptions import UnknownTopic
from sse_notify.log.reader import Reader
from sse_notify.topics import find


def granted_to(user: Any) -> Granted:
    """Return the decision about a new stream of ``user``, which is that it may begin."""
    (decision,) = decide([Question(subscriber_of(user), is_new=True)])
    assert isinstance(decision, Granted)
    return decision


def reader_of(user: Any) -> Reader:
    """Return what ``user`` may read of the log now."""
    return granted_to(user).reader


def is_allowed(user: Any, name: str) -> bool:
    """Return whether ``user`` may listen to the topic ``name`` now."""
    try:
        return find(name).allows(user)
    except UnknownTopic:
        return False
