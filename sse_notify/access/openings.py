"""How a new stream starts: where its cursor puts it, and what ``hello`` says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.crypto import salted_hmac

from sse_notify import counters
from sse_notify.conf import get_settings
from sse_notify.log.reader import Reader, count_missed
from sse_notify.log.sequence import Position, get_position
from sse_notify.models import Inbox
from sse_notify.models.counts import Owner, count
from sse_notify.sse import control

#: Stands for a cursor that cannot be read.
MALFORMED = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """How a stream starts."""

    cursor: int
    """After which number of the log."""
    head: int
    """How far the log was numbered at that moment."""
    prelude: bytes
    """``retry:``, ``hello``, and ``reset`` if the client's cursor cannot be honoured."""


def user_key(user_id: Any) -> str:
    """Return a name for a user, given by key, that tells nothing of it.

    The widget carries it and ``hello`` repeats it: tabs of one user find each other by it, and a page of one user does not take the
    stream of another who signed in since.
    """
    return salted_hmac("sse_notify.user_key", str(user_id), algorithm="sha256").hexdigest()[:32]


def openings(clients: Sequence[tuple[Reader, int | None]], using: str) -> list[Opening]:
    """Return how new streams start: three queries for all of them.

    Args:
        clients: what each may read, and the cursor that it says it has: ``None`` for none, :data:`MALFORMED`.
        using: the alias of the log's database.
    """
    readers = [reader for reader, _ in clients]
    # In this order: what changes after the head was read comes with the stream.
    position = get_position()
    inboxes = Inbox.objects.using(using).filter(pk__in=[each.user_id for each in readers])
    states = dict(inboxes.values_list("pk", "state_seq"))
    owners = [Owner(each.user_id, each.topics, each.since) for each in readers]
    counts = count(owners, using, position.head)
    found = []
    for (reader, cursor), (unread, unseen) in zip(clients, counts, strict=True):
        start, reason = _start(cursor, reader, position)
        prelude = control.hello(
            start,
            head=position.head,
            state_seq=states.get(reader.user_id),
            unread=unread,
            unseen=unseen,
            key=None if reader.user_id is None else user_key(reader.user_id),
            ping=get_settings().HEARTBEAT,
            retry=random.randint(*get_settings().RETRY_MS),
        )
        if reason:
            counters.add("reset", reason)
            prelude += control.reset(reason, start)
        found.append(Opening(cursor=start, head=position.head, prelude=prelude))
    return found


def _start(cursor: int | None, reader: Reader, position: Position) -> tuple[int, str]:
    """Return the cursor to start from, and why the client's own cannot be honoured, if so."""
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
    # Numbers are dense: who is not further behind than the limit cannot have missed more than that.
    if head - cursor > limit and count_missed(cursor, reader=reader, limit=limit + 1) > limit:
        return head, "too_many"
    return cursor, ""
