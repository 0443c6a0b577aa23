"""How a mark is written: a watermark or receipts, and the change that the user's pages hear of.

    caller's transaction   lock the inbox, write the watermark or receipts, note the change ... COMMIT
    after the commit       the log numbers the inbox, and every page of that user hears ``update``

A mark by ``up_to`` moves a watermark: one row, whatever the number of notifications, and no race,
as what is numbered later is above it. A mark by ``ids`` writes a receipt for each notification
that it changes. The lock puts the marks of one user in order; those of different users never wait
for each other, and none waits for the log.

Deliberate oddities:

1. ``up_to`` is cut to the head of the log. A larger one would have everything read before it
   arrives.
2. The lock begins with an insert that ignores conflicts. It makes the row on the first mark; and
   as it writes, SQLite waits for its one lock here, where a transaction that reads first and then
   writes would fail at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connections, transaction
from django.db.models import Q
from django.utils import timezone

from sse_notify.log import entries
from sse_notify.log.sequence import announce_on_commit, database, get_head
from sse_notify.models import Inbox, Notification, Receipt

if TYPE_CHECKING:
    from sse_notify.models.querysets import User

#: Ids in one statement, below the limits of every database.
CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """One way to mark."""

    name: str
    """The ``set`` of the ``update`` event."""
    changes: Q
    """Which rows it changes. A repeat finds none, so that it writes and says nothing."""
    stamps: str
    """The receipt's column that gets the time."""
    clears: str = ""
    """The receipt's column that says the opposite, and overrides the watermarks: it is emptied."""
    sees: bool = False
    """Whether what is marked was also seen."""
    watermarks: tuple[str, ...] = ()
    """The inbox's columns that ``up_to`` raises."""


READ = Mark(
    name="read",
    changes=Q(is_unread=True),
    stamps="read_at",
    clears="unread_at",
    sees=True,
    watermarks=("read_up_to", "seen_up_to"),
)
UNREAD = Mark(name="unread", changes=Q(is_unread=False), stamps="unread_at", clears="read_at")
SEEN = Mark(name="seen", changes=Q(is_unseen=True), stamps="seen_at", watermarks=("seen_up_to",))
ARCHIVED = Mark(
    name="archived",
    changes=Q(is_archived=False),
    stamps="archived_at",
    clears="unarchived_at",
    watermarks=("archived_up_to",),
)
UNARCHIVED = Mark(
    name="unarchived", changes=Q(is_archived=True), stamps="unarchived_at", clears="archived_at"
)


def write(user: User, mark: Mark, ids: list[int] | None, up_to: int, client: str) -> None:
    """Mark those of ``ids`` that are the user's and not marked yet; without ids, all up to a number."""
    using = database()
    try:
        _write(user, mark, ids, up_to, client, using)
    except IntegrityError:
        # At the commit: one of them was pruned in this moment, and is not found again.
        if ids is None or connections[using].in_atomic_block:
            raise
        _write(user, mark, ids, up_to, client, using)


def _write(
    user: User, mark: Mark, ids: list[int] | None, up_to: int, client: str, using: str
) -> None:
    with transaction.atomic(using=using):
        inbox = _lock(user, using)
        if ids is None:
            marked: dict[str, Any] = {"up_to": min(up_to, get_head())}  # oddity 1
            is_changed = _mark_up_to(inbox, mark, marked["up_to"], using)
        else:
            marked = {"ids": _mark_ids(inbox, mark, ids, user, using)}
            is_changed = bool(marked["ids"])
        if is_changed:
            entries.note(inbox, {"set": mark.name, **marked, "client": client})
            inbox.save(using=using)
            announce_on_commit()


def _lock(user: User, using: str) -> Inbox:
    """Return the user's inbox, locked until the end of the transaction; made if there is none."""
    inboxes = Inbox.objects.using(using)
    inboxes.bulk_create([Inbox(pk=user.pk)], ignore_conflicts=True)  # oddity 2
    return inboxes.select_for_update().get(pk=user.pk)


def _mark_ids(inbox: Inbox, mark: Mark, ids: list[int], user: User, using: str) -> list[int]:
    """Write a receipt for each of the notifications that the mark changes; return their ids."""
    now = timezone.now()
    theirs: Any = (
        Notification.objects.using(using).with_states(user, heed_mutes=False).filter(mark.changes)
    )
    columns = [mark.stamps, *filter(None, [mark.clears, "seen_at" if mark.sees else ""])]
    receipts = []
    for start in range(0, len(ids), CHUNK):
        chunk = theirs.filter(pk__in=ids[start : start + CHUNK]).order_by("pk")
        for pk, seen_at in chunk.values_list("pk", "receipt__seen_at"):
            receipt = Receipt(
                user_id=inbox.pk,
                notification_id=pk,
                seen_at=(seen_at or now) if mark.sees else None,
            )
            setattr(receipt, mark.stamps, now)
            receipts.append(receipt)
    with_target = connections[using].features.supports_update_conflicts_with_target
    Receipt.objects.using(using).bulk_create(
        receipts,
        batch_size=CHUNK,
        update_conflicts=True,
        update_fields=columns,
        unique_fields=["user", "notification"]
        if with_target
        else None,  # MySQL takes any unique key, and refuses to be told
    )
    return [receipt.notification_id for receipt in receipts]


def _mark_up_to(inbox: Inbox, mark: Mark, up_to: int, using: str) -> bool:
    """Raise the watermarks, end what overrides them below, and return whether anything changed."""
    changed = False
    for name in mark.watermarks:
        if getattr(inbox, name) < up_to:
            setattr(inbox, name, up_to)
            changed = True
    if mark.clears:
        overriding = {f"{mark.clears}__isnull": False}
        below = Receipt.objects.using(using).filter(
            user_id=inbox.pk, notification__seq__lte=up_to, **overriding
        )
        changed = bool(below.update(**{mark.clears: None, mark.stamps: timezone.now()})) or changed
    return changed
