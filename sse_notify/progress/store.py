"""The rows of long work. Its state is the notification's ``progress_state``.

Clients get the state as ``data.progress``, see :attr:`sse_notify.models.Notification.progress`.

    begin()    write the notification as ``notify(key=...)`` does: numbered, replayed, live
    report()   write the state alone: no number, still read; whoever loads the page sees it
    publish()  send an event to the user's open pages: nothing is written
    end()      write the notification again: a new number, unread, sent exactly once
    cancel()   write a mark in the user's receipt, which the run finds at its next report

While the work runs, the state also names the run. A later run under the same key overwrites that:
the statements of the earlier run then match no row, and ``report()`` says so.

A connection that was cut is opened again, unless a transaction is open: a worker serves no
requests, at whose start Django would do it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connections, transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
from sse_notify.log.sequence import announce_on_commit, begin_write, database
from sse_notify.models import Level, Notification, Receipt
from sse_notify.models.querysets import NotificationQuerySet
from sse_notify.notifications.store import to_user, write
from sse_notify.progress.estimate import CANCELLED, DONE, FAILED, STALLED
from sse_notify.sse.format import encode_json
from sse_notify.topics import user_topic

#: The name of the event that ``publish()`` sends.
EVENT = "progress"

_LEVELS = {DONE: Level.SUCCESS, FAILED: Level.ERROR, CANCELLED: Level.WARNING}


class Answer(NamedTuple):
    """What a report finds."""

    has_row: bool = True
    """Whether the row belongs to this run. It does not if it was recalled, deleted or taken over."""
    is_asked_to_end: bool = False
    """Whether the user, or a later run under the same key, asks for the end."""


def begin(user_id: Any, content: dict[str, Any], state: dict[str, Any]) -> int:
    """Write the notification, have it sent after the commit, and return its id.

    A row under the same key is taken over.

    Raises:
        django.db.Error: the database refuses.
    """
    return write({**content, "progress_state": state}, [to_user(user_id)])[0].pk


def publish(user_id: Any, payload: dict[str, Any]) -> None:
    """Send ``payload`` to the user's open pages, at once and whatever the transaction.

    This never waits and never fails.
    """
    publisher.ring(Ephemeral(user_topic(user_id), encode_json(payload, event=EVENT)))


def report(pk: Any, run: str, state: dict[str, Any] | None = None) -> Answer:
    """Write ``state``, if any, and return whether the work is to go on.

    Args:
        pk: the notification's id.
        run: the id of the run.
        state: how far it is.

    Raises:
        django.db.Error: the database refuses. A transaction that is open goes on.
    """
    using = _connect()
    if state is not None:
        with transaction.atomic(using=using):  # a failure must not break one of the caller's
            _rows(pk, using, progress_state__run__id=run).update(progress_state=state)
    asked = Receipt.objects.filter(notification=OuterRef("pk"), cancel_asked_at__isnull=False)
    rows = _rows(pk, using).annotate(is_asked=Exists(asked))
    row = rows.values_list("progress_state__run__id", "is_asked").first()
    if row is None:
        return Answer(has_row=False)
    has_row, is_asked = row[0] == run, row[1]
    return Answer(has_row, is_asked_to_end=is_asked or not has_row)


def end(pk: Any, run: str, progress: dict[str, Any], **columns: Any) -> bool:
    """Write how the work has ended, and have that sent after the commit.

    Nothing happens if the row belongs to this run no more.

    Args:
        pk: the notification's id.
        run: the id of the run.
        progress: the row's state from now on.
        columns: other columns of the row.

    Returns:
        Whether that is final: ``False`` inside a transaction, which may be rolled back.

    Raises:
        django.db.Error: the database refuses.
    """
    using = _connect()
    columns |= {"progress_state": progress, "level": _LEVELS[progress["state"]], "silent": False}
    columns |= {"seq": None, "count": F("count") + 1, "created_at": timezone.now()}
    with transaction.atomic(using=using):
        if _rows(pk, using, progress_state__run__id=run).update(**columns):
            Receipt.objects.using(using).filter(notification_id=pk).delete()
            announce_on_commit()
    return not connections[using].in_atomic_block


def cancel(user: Any, ids: Iterable[int], client: str = "") -> None:
    """Ask for the end of the user's work.

    What is not the user's, does not run or cannot be cancelled is left alone. Stalled work has
    nobody who could end it, so it is shown as cancelled at once.

    Args:
        user: whose work.
        ids: of the notifications.
        client: the page that asks; not used.
    """
    using = database()
    with transaction.atomic(using=using):
        begin_write(using)
        rows = Notification.objects.using(using).filter(
            pk__in=ids, topic=user_topic(user.pk), recalled_at=None, progress_state__isnull=False
        )
        # Lock the rows: a run could end meanwhile, and the next one under its key would be asked.
        for row in rows.select_for_update().order_by("pk"):
            state = dict(row.progress_state or {})
            run = state.pop("run", None)
            if run is None or not run["cancellable"]:
                continue
            if row.progress and row.progress["state"] == STALLED:
                end(row.pk, run["id"], {**state, "state": CANCELLED, "eta": None})
            else:
                asked = {"cancel_asked_at": timezone.now()}
                Receipt.objects.using(using).update_or_create(
                    asked, user_id=user.pk, notification=row
                )


def _connect() -> str:
    """Return the alias of the database. Its connection is closed if it was cut, to open another."""
    using = database()
    connection = connections[using]
    is_open = connection.connection is not None and not connection.in_atomic_block
    if is_open and not connection.is_usable():
        connection.close()
    return using


def _rows(pk: Any, using: str, **filters: Any) -> NotificationQuerySet:
    return Notification.objects.using(using).filter(pk=pk, recalled_at=None, **filters)
