"""Encode the rows of the log, and the changes of inboxes, as entries."""

from __future__ import annotations

from collections.abc import Iterable

from sse_notify.bus.messages import Batch as Batch
from sse_notify.bus.messages import Entry as Entry
from sse_notify.log import changes
from sse_notify.models import Exclusion, Inbox, Notification
from sse_notify.sse.format import encode_json
from sse_notify.topics import user_topic


def entries_of(
    rows: Iterable[Notification], using: str, muted: frozenset[str] = frozenset()
) -> list[Entry]:
    """Return the rows encoded; ``muted``: the categories that their reader has muted."""
    rows = list(rows)
    excluded = _excluded([row.pk for row in rows if not row.recipient_id], using)
    return [
        Entry(
            row.seq or 0,
            row.topic,
            _frame(row, muted),
            excluded.get(row.pk, frozenset()),
            "" if row.recalled_at else row.category,
        )
        for row in rows
    ]


def _frame(row: Notification, muted: frozenset[str]) -> bytes:
    """Return what clients get: what the row says, or if it was recalled, that it is gone."""
    if row.recalled_at is not None:
        return encode_json({"ids": [row.pk]}, event="remove", id=row.seq)
    return encode_json(row.payload(muted=row.category in muted), event=row.event, id=row.seq)


def _excluded(pks: list[int], using: str) -> dict[int, frozenset[str]]:
    """Return who is excluded from which broadcast, in one query at most."""
    if not pks:
        return {}
    found: dict[int, set[str]] = {}
    pairs = Exclusion.objects.using(using).filter(notification_id__in=pks)
    for pk, user_id in pairs.values_list("notification_id", "user_id"):
        found.setdefault(pk, set()).add(str(user_id))
    return {pk: frozenset(users) for pk, users in found.items()}


def changed_entries(inboxes: Iterable[Inbox], after: int, up_to: int) -> list[Entry]:
    """Return the changes of inboxes that are numbered in the stretch, encoded."""
    told = changes.tell(inboxes, after, up_to)
    return [Entry(seq, user_topic(user_id), frame) for user_id, seq, frame in told]
