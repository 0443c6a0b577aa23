"""Retention: delete what is older than the project keeps, in batches, while everything goes on.

    find      what is old, without a lock
    delete    in a short transaction of its own: lock those rows, look at them again, DELETE, raise the floor, COMMIT
    tell      a cursor below the floor is answered by ``reset``: at the handshake, or in the middle of a replay

What goes: notifications that were sent, or recalled, longer ago than that, read or not, and at any
age what has expired, as nobody can see it any more. What each user did with them goes with them.
What is pending stays: it is yet to be sent.

The log's lock is held by the last statement of a batch alone. A row that is sent again under its
``key`` while its batch begins is new again, and stays: it is looked at under its lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from sse_notify import locks, log, log_rows
from sse_notify.conf import get_settings
from sse_notify.models import Notification

if TYPE_CHECKING:
    from sse_notify.querysets import NotificationQuerySet

#: Rows that one transaction deletes, unless the caller says otherwise, and at most.
BATCH = 1000
MAX_BATCH = 10_000
#: The longest retention, in days.
MAX_DAYS = 36_500


def prune(
    days: float | None = None, *, batch: int = BATCH, on_batch: Callable[[int], Any] | None = None
) -> int:
    """Delete the notifications that are older than the retention, and those that have expired.

    Call it outside a transaction, as each batch is to be one. Interrupted, it has done what it has
    done; the next call goes on.

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
    _check_batch(batch)
    before = oldest_kept(days)
    deleted = 0
    if before is None:
        return deleted
    for pks in _candidates(before, batch):
        number = _delete(pks, before)
        deleted += number
        if on_batch is not None:
            on_batch(number)
    return deleted


def count(days: float | None = None) -> int:
    """Return how many notifications :func:`prune` would delete now. Arguments as there."""
    before = oldest_kept(days)
    return 0 if before is None else _prunable(before).count()


def oldest_kept(days: float | None = None) -> datetime | None:
    """Return since when notifications are kept; ``None``: since ever.

    Raises:
        TypeError, ValueError: ``days`` is not a number from 0 to 36,500.
    """
    if days is None:
        days = get_settings().RETENTION_DAYS
        if days is None:
            return None
    if isinstance(days, bool) or not isinstance(days, (int, float)):
        raise TypeError(f"days: a number is needed, not {type(days).__name__}")
    if not 0 <= days <= MAX_DAYS:
        raise ValueError(f"days: a number from 0 to {MAX_DAYS} is needed, not {days!r}")
    return timezone.now() - timedelta(days=days)


def _check_batch(batch: Any) -> None:
    if isinstance(batch, bool) or not isinstance(batch, int):
        raise TypeError(f"batch: a whole number is needed, not {type(batch).__name__}")
    if not 1 <= batch <= MAX_BATCH:
        raise ValueError(f"batch: a number from 1 to {MAX_BATCH} is needed, not {batch}")


def _prunable(before: datetime) -> NotificationQuerySet:
    old = Q(created_at__lt=before) & (Q(recalled_at=None) | Q(recalled_at__lt=before))
    expired = Q(expires_at__lte=timezone.now(), recalled_at=None)
    return Notification.objects.using(log.database()).filter(old | expired, seq__isnull=False)


def _candidates(before: datetime, batch: int) -> Iterator[list[int]]:
    """Yield the keys of what may go, a batch at a time, in one walk through the table."""
    last = 0
    while pks := list(
        _prunable(before).filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:batch]
    ):
        yield pks
        last = pks[-1]


def _delete(candidates: list[int], before: datetime) -> int:
    using = log.database()
    with transaction.atomic(using=using):
        locks.begin_write(using)
        pks = list(
            locks.locked(_prunable(before).filter(pk__in=candidates), using).values_list(
                "pk", flat=True
            )
        )
        rows = Notification.objects.using(using).filter(pk__in=pks)
        # What no stream would have told of, nobody can miss.
        floor = rows.filter(log_rows.told(timezone.now())).aggregate(floor=Max("seq"))["floor"]
        rows.delete()
        if floor is not None:
            log.raise_floor(floor)
    return len(pks)
