"""Decide how a new stream starts: at which cursor, and with which numbers in ``hello``."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.utils.crypto import salted_hmac

from sse_notify import counters
from sse_notify.conf import get_settings
from sse_notify.log.reader import Reader, count_missed
from sse_notify.log.sequence import Position, get_position
from sse_notify.models import Inbox
from sse_notify.models.counts import Owner, count
from sse_notify.sse import control

#: Stands for a cursor that cannot be parsed.
MALFORMED = -1


class Opening(NamedTuple):
    """How a new stream starts."""

    cursor: int
    """The number of the log after which the replay starts."""
    head: int
    """The highest number of the log at that moment."""
    prelude: bytes
    """``hello`` with ``retry:``, after a ``ping`` if the client resumes; then ``reset`` if the
    client's cursor cannot be used.
    """


def user_key(user_id: Any) -> str:
    """Return a name for a user that does not reveal the primary key.

    The widget carries it and ``hello`` repeats it. Tabs of the same user find each other by it, and
    a page does not use the stream of another user who has signed in since.
    """
    return salted_hmac("sse_notify.user_key", str(user_id), algorithm="sha256").hexdigest()[:32]


def openings(clients: Sequence[tuple[Reader, int | None, bool]], using: str) -> list[Opening]:
    """Return how new streams start, in three queries for all of them.

    Args:
        clients: what each client may read; its cursor: ``None`` if it has none, :data:`MALFORMED`
            if it cannot be parsed; and whether it resumes, as ``hello`` takes it.
        using: the alias of the log's database.
    """
    readers = [reader for reader, _, _ in clients]
    # Read the head first: the stream delivers what changes after it.
    position = get_position()
    inboxes = Inbox.objects.using(using).filter(pk__in=[each.user_id for each in readers])
    states = dict(inboxes.values_list("pk", "state_seq"))
    owners = [Owner(each.user_id, each.topics, each.since, position.head) for each in readers]
    counts = count(owners, using)
    found = []
    for (reader, cursor, resumes), (unread, unseen) in zip(clients, counts, strict=True):
        start, reason = _start(cursor, reader, position)
        prelude = control.hello(
            start,
            head=position.head,
            state_seq=states.get(reader.user_id),
            unread=unread,
            unseen=unseen,
            key=None if reader.user_id is None else user_key(reader.user_id),
            heartbeat=get_settings().HEARTBEAT,
            retry=random.randint(*get_settings().RETRY_MS),
            resumes=resumes,
        )
        if reason:
            counters.add("reset", reason)
            prelude += control.reset(reason, start)
        found.append(Opening(cursor=start, head=position.head, prelude=prelude))
    return found


def _start(cursor: int | None, reader: Reader, position: Position) -> tuple[int, str]:
    """Return the cursor to start from, and the reason for ``reset``, "" for none."""
    head = position.head
    if cursor is None:
        return head, ""
    if cursor == MALFORMED:
        return head, "malformed"
    if cursor > head:
        return head, "ahead"
    if cursor < position.floor:
        return head, "expired"
    limit = get_settings().REPLAY_LIMIT
    # Numbers are dense: a client at most ``limit`` numbers behind cannot have missed more events.
    if head - cursor > limit and count_missed(cursor, reader=reader, limit=limit + 1) > limit:
        return head, "too_many"
    return cursor, ""
