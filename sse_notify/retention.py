"""Retention: delete what is older than the project keeps, in batches, while everything goes on.

    find      the old rows, without a lock
    delete    in a short transaction of its own: lock those rows, check them again, delete them,
              raise the floor
    tell      a cursor below the floor gets a ``reset``: at the handshake, or in the middle of a
              replay

It deletes what was sent, or recalled, longer ago than the retention, read or not, and what has
expired, at any age, with all that users did with it. It keeps what is pending, which is yet to be
sent.

Only the last statement of a batch needs the log's lock. A row that is sent again under its ``key``
while its batch begins is new again and stays, as it is checked under its lock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Q
from django.utils import timezone

from sse_notify.conf import get_settings
from sse_notify.inbox.marks import check_number
from sse_notify.log.reader import told
from sse_notify.log.sequence import database, locked, raise_floor, writing
from sse_notify.models import Notification
from sse_notify.models.querysets import NotificationQuerySet

#: Rows that one transaction deletes: the default, and the most.
BATCH, MAX_BATCH = 1000, 10_000
#: The longest retention, in days.
MAX_DAYS = 36_500


def prune(
    days: float | None = None, *, batch: int = BATCH, on_batch: Callable[[int], Any] | None = None
) -> int:
    """Delete the notifications that are older than the retention, and those that have expired.

    Call it outside a transaction, as each batch is one. If it is interrupted, the next call goes
    on.

    Args:
        days: the age in days; ``None``: ``RETENTION_DAYS``, and if that is ``None``, nothing is
            deleted.
        batch: how many rows one transaction deletes, 1 to 10,000.
        on_batch: called after each batch with the number of its rows.

    Returns:
        How many were deleted.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is deleted.
    """
    check_number("batch", batch, 1, MAX_BATCH, is_whole=True)
    before = oldest_kept(days)
    deleted = 0
    if before is not None:
        # In one walk through the table.
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
    """Return how many notifications :func:`prune` would delete. Argument and errors as there."""
    before = oldest_kept(days)
    return 0 if before is None else _prunable(before).count()


def oldest_kept(days: float | None = None) -> datetime | None:
    """Return since when notifications are kept; ``None``: everything is.

    Raises:
        TypeError, ValueError: ``days`` is not a number from 0 to 36,500.
    """
    days = get_settings().RETENTION_DAYS if days is None else days
    if days is None:
        return None
    check_number("days", days, 0, MAX_DAYS)
    return timezone.now() - timedelta(days=days)


def _prunable(before: datetime) -> NotificationQuerySet:
    old = Q(created_at__lt=before) & (Q(recalled_at=None) | Q(recalled_at__lt=before))
    expired = Q(expires_at__lte=timezone.now(), recalled_at=None)
    return Notification.objects.using(database()).filter(old | expired, seq__isnull=False)


def _delete(candidates: list[int], before: datetime) -> int:
    using = database()
    with writing(using):
        old = locked(_prunable(before).filter(pk__in=candidates), using)
        pks = list(old.values_list("pk", flat=True))
        rows = Notification.objects.using(using).filter(pk__in=pks)
        # Nobody misses what no stream would have sent.
        floor = rows.filter(told(timezone.now())).aggregate(floor=Max("seq"))["floor"]
        rows.delete()
        if floor is not None:
            raise_floor(floor, using)
    return len(pks)
