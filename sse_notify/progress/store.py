"""The rows of long work: how :class:`sse_notify.Progress` begins, reports and ends, and how a user asks for the end.

    begin()    the row, as ``notify(key=...)`` writes it: numbered, replayed, live
    report()   the row's state alone: no number, not unread; whoever loads the page sees it
    tell()     an event for the owner's open pages: no row at all
    end()      the row once more: numbered anew and unread again, exactly once
    cancel()   a mark in the user's receipt, which the work finds when it reports

Which run a row tells of is kept in the row. Whoever begins under the same key takes the row over: the statements of the run before
find it no more, and that run is told so.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from django.db import Error, connections, transaction
from django.db.models import F
from django.utils import timezone

from sse_notify import fanout, locks
from sse_notify.delivery import CHUNK, Recipient, write
from sse_notify.log import database
from sse_notify.messages import Ephemeral
from sse_notify.models import Audience, Level, Notification, Receipt
from sse_notify.progress import estimate
from sse_notify.topics import user_topic
from sse_notify.wire import encode_json

if TYPE_CHECKING:
    from sse_notify.content import Checked
    from sse_notify.querysets import NotificationQuerySet

#: The name of the event that tells how far a user's work is.
EVENT = "progress"

_LEVELS = {
    estimate.DONE: Level.SUCCESS,
    estimate.FAILED: Level.ERROR,
    estimate.CANCELLED: Level.WARNING,
}


class Heard(Enum):
    """What a report found."""

    WELL = "well"
    """The work goes on."""
    CANCEL = "cancel"
    """The user asks for its end."""
    TAKEN = "taken"
    """Another run has the row, or the user has ended a run that had stalled."""
    GONE = "gone"
    """The row was recalled or deleted."""


def begin(user: Any, checked: Checked) -> Notification:
    """Write the row of work that begins, and have it sent after the commit; a row with the same key is taken over."""
    topic = user_topic(user.pk)
    recipient = Recipient(
        topic=topic, columns={"audience": Audience.USER, "topic": topic, "recipient_id": user.pk}
    )
    return write(checked, [recipient])[0]


def tell(user_pk: Any, pk: int, key: str, progress: dict[str, Any]) -> None:
    """Tell the user's open pages, at once and whatever the transaction. It never waits and never fails.

    Args:
        user_pk: whose pages.
        pk: the row's.
        key: the row's.
        progress: what is kept of it.
    """
    payload = {"id": pk, "key": key, **estimate.running(progress)}
    fanout.ring(Ephemeral(user_topic(user_pk), encode_json(payload, event=EVENT)))


def report(pk: int, run: str, state: dict[str, Any]) -> Heard:
    """Write how far the run is, and listen; two queries.

    Raises:
        django.db.Error: the database refuses. A transaction that is open goes on.
    """
    using = database()
    if connections[using].in_atomic_block:
        with transaction.atomic(using=using):  # a failure must not break what the caller has open
            found = _rows(pk, run, using).update(progress_state=state)
    else:
        found = _rows(pk, run, using).update(progress_state=state)
    return listen(pk) if found else _fate(pk, using)


def listen(pk: int) -> Heard:
    """Return whether the user asks for the end of the work; one query. Errors as for :func:`report`."""
    asked = Receipt.objects.using(database()).filter(
        notification_id=pk, cancel_asked_at__isnull=False
    )
    return Heard.CANCEL if asked.exists() else Heard.WELL


def end(pk: int, run: str, state: dict[str, Any], **columns: Any) -> bool:
    """Write how the run has ended, and have it sent after the commit; return whether the row was still this run's.

    Outside of a transaction a connection that was cut while the work went on is opened again. Repeated, it changes nothing.

    Args:
        pk: the row's.
        run: whose end it is.
        state: the row's from now on, of a run no more.
        columns: others of the row's.
    """
    using = database()
    try:
        return _end(using, pk, run, state, columns)
    except Error:
        if not let_go_if_cut():
            raise
    return _end(using, pk, run, state, columns)


def _end(using: str, pk: int, run: str, state: dict[str, Any], columns: dict[str, Any]) -> bool:
    with transaction.atomic(using=using):
        columns |= {
            "progress_state": state,
            "level": _LEVELS[state["state"]],
            "silent": False,
        }
        changed = _rows(pk, run, using).update(
            **columns, seq=None, count=F("count") + 1, created_at=timezone.now()
        )
        if changed:
            Receipt.objects.using(using).filter(notification_id=pk).delete()
            fanout.announce_on_commit()
    return bool(changed)


def cancel(user: Any, ids: Iterable[int], client: str = "") -> None:
    """Ask for the end of the user's work. What is not the user's, does not run or cannot be cancelled is left alone.

    Work that has stalled is nobody's to end, so it is shown as cancelled at once.

    Args:
        user: whose work.
        ids: of the notifications.
        client: the page that asks; nothing is done with it.
    """
    using = database()
    ids = list(dict.fromkeys(ids))
    with transaction.atomic(using=using):
        locks.begin_write(using)
        receipts = []
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            theirs = Notification.objects.using(using).filter(
                pk__in=chunk,
                topic=user_topic(user.pk),
                recalled_at=None,
                progress_state__isnull=False,
            )
            # Locked, or a run could end meanwhile, and the next one under its key be asked to end in its place.
            for row in theirs.select_for_update().order_by("pk"):
                progress = row.progress
                if progress is None or not progress.get("cancellable"):
                    continue
                if progress["state"] == estimate.STALLED:
                    kept = dict(row.progress_state or {})
                    run = kept.pop("run")["id"]
                    end(row.pk, run, {**kept, "state": estimate.CANCELLED, "eta": None})
                else:
                    receipts.append(
                        Receipt(
                            user_id=user.pk, notification_id=row.pk, cancel_asked_at=timezone.now()
                        )
                    )
        with_target = connections[using].features.supports_update_conflicts_with_target
        Receipt.objects.using(using).bulk_create(
            receipts,
            update_conflicts=True,
            update_fields=["cancel_asked_at"],
            unique_fields=["user", "notification"] if with_target else None,
        )


def is_inside_transaction() -> bool:
    """Return whether what is written now may be rolled back later."""
    return connections[database()].in_atomic_block


def let_go_if_cut() -> bool:
    """Close the connection if it was cut, so that the next query opens another; return whether it was. A worker has no requests to do it."""
    connection = connections[database()]
    if connection.in_atomic_block:
        return False
    connection.close_if_unusable_or_obsolete()
    return connection.connection is None


def _rows(pk: int, run: str, using: str) -> NotificationQuerySet:
    return Notification.objects.using(using).filter(
        pk=pk, recalled_at=None, progress_state__run__id=run
    )


def _fate(pk: int, using: str) -> Heard:
    is_there = Notification.objects.using(using).filter(pk=pk, recalled_at=None).exists()
    return Heard.TAKEN if is_there else Heard.GONE
