"""Retention: delete old notifications in batches, while the site keeps running.

    find      select the old rows, without a lock
    delete    in a short transaction: lock the rows, check them again, delete them, raise the floor
    reset     a stream whose cursor is below the floor sends a ``reset``, at the handshake or
              during a replay

:func:`prune` deletes notifications that were sent or recalled before the retention period, read or
not, and expired notifications of any age. Their receipts and exclusions are deleted with them. It
keeps pending rows, because they are not sent yet.

Only the last statement of a batch needs the log's lock. A row may be sent again under its ``key``
while its batch starts. The check under the row's lock then finds that it is new, and it stays.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Q
from django.utils import timezone

from sse_notify.conf import get_settings
from sse_notify.inbox.marks import check_number
from sse_notify.log.announcing import announce_on_commit
from sse_notify.log.reader import sendable
from sse_notify.log.sequence import database, locked, raise_floor, writing
from sse_notify.models import Notification
from sse_notify.models.querysets import NotificationQuerySet

#: Rows that one transaction deletes: the default and the maximum.
BATCH, MAX_BATCH = 1000, 10_000
#: Maximum retention, in days.
MAX_DAYS = 36_500


def prune(
    days: float | None = None, *, batch: int = BATCH, on_batch: Callable[[int], Any] | None = None
) -> int:
    """Delete the notifications that are older than the retention period, and expired ones.

    Call it outside a transaction, because each batch is a transaction. If it is interrupted, the
    next call continues.

    Args:
        days: the age in days. ``None``: use ``RETENTION_DAYS``; if that is ``None``, delete
            nothing.
        batch: the number of rows that one transaction deletes, 1 to 10,000.
        on_batch: called after each batch with the number of rows that it deleted.

    Returns:
        The number of deleted notifications.

    Raises:
        TypeError, ValueError: an argument is invalid. The message names it. Nothing is deleted.
    """
    check_number("batch", batch, 1, MAX_BATCH, is_whole=True)
    before = oldest_kept(days)
    deleted = 0
    if before is not None:
        # Continue after the last key, so that all batches together read the table once.
        rows = _prunable(before).order_by("pk").values_list("pk", flat=True)
        last = 0
        while pks := list(rows.filter(pk__gt=last)[:batch]):
            number = _delete(pks, before)
            deleted += number
            if on_batch is not None:
                on_batch(number)
            last = pks[-1]
    return deleted


def count(days: float | None = None) -> int:
    """Return how many notifications :func:`prune` would delete. Same ``days``, same errors."""
    before = oldest_kept(days)
    return 0 if before is None else _prunable(before).count()


def oldest_kept(days: float | None = None) -> datetime | None:
    """Return the time since which notifications are kept; ``None`` if all are kept.

    Raises:
        TypeError, ValueError: ``days`` is not a number from 0 to 36,500.
    """
    days = get_settings().RETENTION_DAYS if days is None else days
    if days is None:
        return None
    check_number("days", days, 0, MAX_DAYS)
    return timezone.now() - timedelta(days=days)


def _prunable(before: datetime) -> NotificationQuerySet[Notification]:
    old = Q(created_at__lt=before) & (Q(recalled_at=None) | Q(recalled_at__lt=before))
    expired = Q(expires_at__lte=timezone.now(), recalled_at=None)
    return Notification.objects.using(database()).filter(old | expired, seq__isnull=False)


def _delete(candidates: list[int], before: datetime) -> int:
    with writing() as using:
        announce_on_commit()  # of rows that were sent again in this moment: they are locked, too
        old = locked(_prunable(before).filter(pk__in=candidates), using)
        pks = list(old.values_list("pk", flat=True))
        rows = Notification.objects.using(using).filter(pk__in=pks)
        # Clients miss only rows that a stream would have sent.
        floor = rows.filter(sendable(timezone.now())).aggregate(floor=Max("seq"))["floor"]
        rows.delete()
        if floor is not None:
            raise_floor(floor, using)
    return len(pks)
