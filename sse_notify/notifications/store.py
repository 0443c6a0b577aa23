"""Writing notifications: inserts, repeats under a ``key`` or an ``idempotency_key``, and recalls.

All in bulk, and inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connections, transaction
from django.db.models import F
from django.utils import timezone

from sse_notify.log.sequence import announce_on_commit, begin_write, database
from sse_notify.models import Exclusion, Notification, Receipt

if TYPE_CHECKING:
    from sse_notify.notifications.validation import Checked

#: Rows of one statement: below SQLite's limit on the variables of a statement, with the columns of a row counted.
CHUNK = 1000
#: How often a repeat is tried again when another process inserts the same key in the same moment.
ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipient:
    """Whom one row is for."""

    topic: str
    """The routing key."""
    columns: dict[str, Any] = field(hash=False)
    """The columns that name the recipient."""
    excluded: tuple[Any, ...] = ()
    """The keys of users who do not get a broadcast."""


def write(checked: Checked, recipients: Sequence[Recipient]) -> list[Notification]:
    """Write one row for each recipient, have it sent after the commit, and return the rows in the recipients' order."""
    if not recipients:
        return []
    using = database()
    with transaction.atomic(using=using):
        if checked.key is not None or checked.idempotency_key is not None:
            begin_write(using)  # the rows that have the key are read first
        rows: list[Notification] = []
        for start in range(0, len(recipients), CHUNK):
            rows.extend(_write_chunk(checked, recipients[start : start + CHUNK], using))
        announce_on_commit()
    return rows


def take_back(pks: Sequence[int]) -> int:
    """Mark the rows as recalled, have that sent after the commit, and return how many were not recalled before."""
    using = database()
    changed = 0
    with transaction.atomic(using=using):
        for start in range(0, len(pks), CHUNK):
            rows = Notification.objects.using(using).filter(
                pk__in=pks[start : start + CHUNK], recalled_at=None
            )
            # A repeat under its key counts from one again: it is a new notification.
            changed += rows.update(recalled_at=timezone.now(), seq=None, count=0)
        if changed:
            announce_on_commit()
    return changed


def insert(rows: list[Notification], using: str) -> list[Notification]:
    """Insert the rows, in one statement where that tells their keys, and return them."""
    if len(rows) > 1 and connections[using].features.can_return_rows_from_bulk_insert:
        return Notification.objects.using(using).bulk_create(rows)
    for row in rows:  # MySQL does not tell the keys of a bulk insert
        row.save(using=using, force_insert=True)
    return rows


def _write_chunk(
    checked: Checked, recipients: Sequence[Recipient], using: str
) -> list[Notification]:
    if checked.key is None and checked.idempotency_key is None:
        return _insert(checked, recipients, using)
    for _ in range(ATTEMPTS - 1):
        # The key was inserted elsewhere in this moment, or its row was pruned: the next look finds out.
        with suppress(IntegrityError), transaction.atomic(using=using):
            return _insert_or_repeat(checked, recipients, using)
    with transaction.atomic(using=using):
        return _insert_or_repeat(checked, recipients, using)


def _insert_or_repeat(
    checked: Checked, recipients: Sequence[Recipient], using: str
) -> list[Notification]:
    found: dict[str, Notification] = {}
    if checked.idempotency_key is not None:
        found = _existing(recipients, using, idempotency_key=checked.idempotency_key)
    if checked.key is not None:
        open_ = [recipient for recipient in recipients if recipient.topic not in found]
        repeated = _existing(open_, using, key=checked.key)
        again = [recipient for recipient in open_ if recipient.topic in repeated]
        if again:
            pks = [repeated[recipient.topic].pk for recipient in again]
            found |= _repeat(checked, pks, again, using)
    new = [recipient for recipient in recipients if recipient.topic not in found]
    found |= {row.topic: row for row in _insert(checked, new, using)}
    return [found[recipient.topic] for recipient in recipients]


def _existing(recipients: Sequence[Recipient], using: str, **by: str) -> dict[str, Notification]:
    topics = [recipient.topic for recipient in recipients]
    return {
        row.topic: row for row in Notification.objects.using(using).filter(topic__in=topics, **by)
    }


def _repeat(
    checked: Checked, pks: list[int], recipients: Sequence[Recipient], using: str
) -> dict[str, Notification]:
    """Update the rows with what is said now; they are pending again, unread again, and counted once more."""
    columns = {
        "progress_state": None,
        **checked.columns,
        "created_at": timezone.now(),
        "recalled_at": None,
        "seq": None,
    }
    # A repeat without an idempotency key keeps the one that the row has: it must still stop a repeat of the first call.
    if checked.idempotency_key is None:
        del columns["idempotency_key"]
    if Notification.objects.using(using).filter(pk__in=pks).update(
        **columns, count=F("count") + 1
    ) < len(pks):
        raise IntegrityError("a row was deleted in this moment")
    Receipt.objects.using(using).filter(notification_id__in=pks).delete()
    Exclusion.objects.using(using).filter(notification_id__in=pks).delete()
    rows = Notification.objects.using(using).in_bulk(pks)
    _exclude([rows[pk] for pk in pks], recipients, using)
    return {row.topic: row for row in rows.values()}


def _insert(checked: Checked, recipients: Sequence[Recipient], using: str) -> list[Notification]:
    rows = insert([checked.row(**recipient.columns) for recipient in recipients], using)
    _exclude(rows, recipients, using)
    return rows


def _exclude(rows: Sequence[Notification], recipients: Sequence[Recipient], using: str) -> None:
    exclusions = [
        Exclusion(notification_id=row.pk, user_id=pk)
        for row, recipient in zip(rows, recipients, strict=True)
        for pk in dict.fromkeys(recipient.excluded)
    ]
    if exclusions:
        Exclusion.objects.using(using).bulk_create(exclusions, batch_size=CHUNK)
