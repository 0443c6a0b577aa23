"""Capture what was notified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from sse_notify.log.sequence import database
from sse_notify.models import Notification

if TYPE_CHECKING:
    from sse_notify.models.querysets import NotificationQuerySet, User


class Captured(list[Notification]):
    """What was notified, oldest first: new rows, and repeats under a ``key``."""

    def to(self, user: User) -> list[Notification]:
        """Return what ``user`` received of it, broadcasts included."""
        rows = _rows().with_states(user).filter(pk__in=[row.pk for row in self])
        received = set(rows.values_list("pk", flat=True))
        return [row for row in self if row.pk in received]


class capture_notifications:  # noqa: N801  (a context manager, named as it is used)
    """Capture what any code notifies inside the block: ``with``, or ``async with`` in async tests.

    The list is filled when the block ends. It has nothing that was rolled back, no repeat of an
    ``idempotency_key``, and nothing that ``publish()`` sent, which leaves no row. If the block
    raises, the list stays empty.
    """

    def __init__(self) -> None:
        self._sent = Captured()
        self._before: dict[int, tuple[Any, ...]] = {}

    def __enter__(self) -> Captured:
        self._before = {row.pk: _version(row) for row in _rows().only("count", "created_at")}
        return self._sent

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:  # the transaction may be broken
            return
        for row in _rows().order_by("created_at", "pk"):
            before = self._before.get(row.pk)
            # A recall changes the version too, and sends no notification.
            if before is None or (row.recalled_at is None and before != _version(row)):
                self._sent.append(row)

    async def __aenter__(self) -> Captured:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        await sync_to_async(self.__exit__)(kind)


def _rows() -> NotificationQuerySet:
    return Notification.objects.using(database())


def _version(row: Notification) -> tuple[Any, ...]:
    return row.count, row.created_at
