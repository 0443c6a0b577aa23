"""Write notifications: inserts, repeats under a ``key`` or an ``idempotency_key``, and recalls.

All functions write in bulk, inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from django.db import IntegrityError, connections, transaction
from django.db.models import F
from django.utils import timezone

from sse_notify.log.sequence import announce_on_commit, begin_write, database
from sse_notify.models import Audience, Exclusion, Notification, Receipt
from sse_notify.topics import user_topic

#: Rows in one statement. With all columns of a row, this is below SQLite's limit on variables.
CHUNK = 1000
#: How often a repeat is tried if another process inserts the same key at the same time.
ATTEMPTS = 3

#: Columns of a notification: its content or its recipient.
Columns = dict[str, Any]


def to_user(pk: Any) -> Columns:
    """Return the columns of a notification for one user."""
    return {"audience": Audience.USER, "topic": user_topic(pk), "recipient_id": pk}


def write(
    content: Columns, recipients: Sequence[Columns], excluded: Sequence[Any] = ()
) -> list[Notification]:
    """Write a row for each recipient, to be sent after the commit, and return the rows in order.

    Args:
        content: the columns from :func:`sse_notify.notifications.validation.check`.
        recipients: the columns of each recipient.
        excluded: the primary keys of users who do not get a broadcast.
    """
    if not recipients:
        return []
    using = database()
    rows: list[Notification] = []
    with transaction.atomic(using=using):
        insert_all = _insert
        if content["key"] is not None or content["idempotency_key"] is not None:
            begin_write(using)  # rows with the same key are read first
            insert_all = _insert_or_repeat
        for start in range(0, len(recipients), CHUNK):
            rows += insert_all(content, recipients[start : start + CHUNK], excluded, using)
        announce_on_commit()
    return rows


def take_back(pks: Sequence[int]) -> int:
    """Mark the rows as recalled, and return how many were not recalled before.

    Streams send the recall after the commit.
    """
    using = database()
    changed = 0
    with transaction.atomic(using=using):
        for start in range(0, len(pks), CHUNK):
            chunk = pks[start : start + CHUNK]
            rows = Notification.objects.using(using).filter(pk__in=chunk, recalled_at=None)
            # A repeat under the key is a new notification, so its count starts at 1.
            changed += rows.update(recalled_at=timezone.now(), seq=None, count=0)
        if changed:
            announce_on_commit()
    return changed


def insert(rows: list[Notification], using: str) -> list[Notification]:
    """Insert the rows and return them. Use one statement if that returns the primary keys."""
    if len(rows) > 1 and connections[using].features.can_return_rows_from_bulk_insert:
        return Notification.objects.using(using).bulk_create(rows)
    for row in rows:  # MySQL does not return the keys of a bulk insert
        row.save(using=using, force_insert=True)
    return rows


def _insert_or_repeat(
    content: Columns, recipients: Sequence[Columns], excluded: Sequence[Any], using: str
) -> list[Notification]:
    for _ in range(ATTEMPTS - 1):
        # Another process has inserted the key meanwhile, or pruned its row. Try again.
        with suppress(IntegrityError), transaction.atomic(using=using):
            return _try_to_repeat(content, recipients, excluded, using)
    with transaction.atomic(using=using):
        return _try_to_repeat(content, recipients, excluded, using)


def _try_to_repeat(
    content: Columns, recipients: Sequence[Columns], excluded: Sequence[Any], using: str
) -> list[Notification]:
    topics = {recipient["topic"] for recipient in recipients}
    rows = Notification.objects.using(using)
    found: dict[str, Notification] = {}
    if content["idempotency_key"] is not None:
        sent = rows.filter(topic__in=topics, idempotency_key=content["idempotency_key"])
        found = {row.topic: row for row in sent}
    if content["key"] is not None:
        same = rows.filter(topic__in=topics - found.keys(), key=content["key"])
        if pks := list(same.values_list("pk", flat=True)):
            found |= {row.topic: row for row in _repeat(content, pks, excluded, using)}
    new = [recipient for recipient in recipients if recipient["topic"] not in found]
    found |= {row.topic: row for row in _insert(content, new, excluded, using)}
    return [found[recipient["topic"]] for recipient in recipients]


def _repeat(
    content: Columns, pks: list[int], excluded: Sequence[Any], using: str
) -> Iterable[Notification]:
    """Update the rows with the new content.

    The rows become pending and unread, and their counts grow by one.
    """
    now = {"created_at": timezone.now(), "recalled_at": None, "seq": None}
    columns = {"progress_state": None, **content, **now}
    # Without a new idempotency key, keep the old one: it must still stop a repeat of the first
    # call.
    if content["idempotency_key"] is None:
        del columns["idempotency_key"]
    rows = Notification.objects.using(using)
    if rows.filter(pk__in=pks).update(**columns, count=F("count") + 1) < len(pks):
        raise IntegrityError("a row was deleted in this moment")
    Receipt.objects.using(using).filter(notification_id__in=pks).delete()
    Exclusion.objects.using(using).filter(notification_id__in=pks).delete()
    repeated = rows.in_bulk(pks)
    _exclude(repeated.values(), excluded, using)
    return repeated.values()


def _insert(
    content: Columns, recipients: Sequence[Columns], excluded: Sequence[Any], using: str
) -> list[Notification]:
    rows = insert([Notification(**content, **recipient) for recipient in recipients], using)
    _exclude(rows, excluded, using)
    return rows


def _exclude(rows: Iterable[Notification], excluded: Sequence[Any], using: str) -> None:
    if excluded:
        exclusions = [Exclusion(notification=row, user_id=pk) for row in rows for pk in excluded]
        Exclusion.objects.using(using).bulk_create(exclusions, batch_size=CHUNK)
