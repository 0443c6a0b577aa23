"""Store long work as a notification, with the progress in ``progress_state``.

Clients get the state as ``progress``, see :attr:`sse_notify.models.Notification.progress`.

    begin()      write the notification as ``notify(key=...)`` does: numbered, replayed, live
    report()     write only the state: no new number, still read; newly loaded pages show it
    publish()    send an event to the user's open pages; write nothing
    write_end()  write the notification again: a new number, unread, sent exactly once
    cancel()     write a mark in the user's receipt; the run finds it at its next report

While the work runs, the state also contains the run's id. A later run under the same key overwrites
the id. The statements of the earlier run then match no row, and ``report()`` detects this. If the
database is slow, reports of several threads may be written in the wrong order; the next report
corrects that. They cannot overwrite the end, because the row has no run id after it.

A lost database connection is opened again, unless a transaction is open. Django does this at the
start of each request, but a worker serves no requests.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import nullcontext
from time import time
from typing import Any

from django.db import connections, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
from sse_notify.log.announcing import announce_on_commit
from sse_notify.log.sequence import database, writing
from sse_notify.models import Level, Notification, Receipt
from sse_notify.models.content import State
from sse_notify.models.querysets import NotificationQuerySet
from sse_notify.notifications.store import NEXT_COUNT, to_user, write
from sse_notify.sse.format import PROGRESS, encode_json
from sse_notify.topics import user_topic

_LEVELS = {State.DONE: Level.SUCCESS, State.FAILED: Level.ERROR, State.CANCELLED: Level.WARNING}


class Row:
    """The row of one run.

    Args:
        user_id: the primary key of the work's user.
        content: the notification's columns.
        run: ``stalls_after`` and ``cancellable``.
    """

    def __init__(self, user_id: Any, content: dict[str, Any], run: dict[str, Any]) -> None:
        self.pk: int | None = None
        #: The columns to write at the end of the work; empty before.
        self.ended: dict[str, Any] = {}
        # Pages of other processes get live updates only through a layer. Without one, they ask.
        news_after = run["stalls_after"]
        if publisher.remote_layer() is None:
            news_after = min(news_after, max(1.0, publisher.poll_interval()))
        # With hyphens: SQLite takes a text of digits inside of JSON for a number.
        self._run = {**run, "id": str(uuid.uuid4()), "news_after": news_after}
        self._user_id, self._content = user_id, content
        #: The row is no longer this run's if it was recalled, deleted or taken over.
        self.is_asked_to_end = self._is_ours = self._is_final = False

    @property
    def is_open(self) -> bool:
        """Whether the work can still report and end."""
        return self._is_ours and not self.ended

    def begin(self, progress: dict[str, Any]) -> None:
        """Write the notification, to be sent after the commit. Reuse a row with the same key.

        Raises:
            django.db.Error: the database failed.
        """
        content = {**self._content, "progress_state": self._state(progress)}
        self.pk = write(content, [to_user(self._user_id)])[0].pk
        self._is_ours = True

    def publish(self, progress: dict[str, Any]) -> None:
        """Send ``progress`` to the user's open pages, at once, also inside a transaction.

        This does not wait, and does not raise errors of the channel layer.
        """
        payload = {"id": self.pk, "key": self._content["key"], **progress}
        payload["cancellable"] = self._run["cancellable"]
        payload["stalls_in"] = round(self._run["stalls_after"], 1)
        frame = encode_json(payload, event=PROGRESS)
        publisher.ring(Ephemeral(user_topic(self._user_id), frame))

    def report(self, progress: dict[str, Any] | None) -> None:
        """Write ``progress``, if any, and check for a cancellation.

        Raises:
            django.db.Error: the database failed. An open transaction can continue.
        """
        using = _connect()
        run = self._run["id"]
        if progress is not None:
            with writing(reads=False):  # a failure must not break an outer transaction
                ours = _rows(using, pk=self.pk, progress_state__run__id=run)
                if not ours.update(progress_state=self._state(progress)):
                    announce_on_commit()  # the numbering skips a row that another run took over
        asked = Receipt.objects.filter(notification=OuterRef("pk"), cancel_asked_at__isnull=False)
        rows = _rows(using, pk=self.pk).annotate(is_asked=Exists(asked))
        with transaction.atomic(using) if connections[using].in_atomic_block else nullcontext():
            row = rows.values_list("progress_state__run__id", "is_asked", "seq").first()
        if progress is not None and row is not None and row[2] is None:
            announce_on_commit()  # the write has locked a row that has no number yet
        if not self.ended:  # after the end, the row has no run id
            self._is_ours = row is not None and row[0] == run
            self.is_asked_to_end = row is not None and (row[1] or not self._is_ours)

    def write_end(self) -> None:
        """Write :attr:`ended`, to be sent after the commit.

        Raises:
            django.db.Error: the database failed. The work has not ended.
        """
        try:
            using = _connect()
            _end(self.pk, self._run["id"], self.ended)
        except BaseException:
            self.ended = {}
            raise
        self._is_final = not connections[using].in_atomic_block

    def write_end_again(self, state: str) -> None:
        """Write the end again if a rollback may have undone it. Otherwise, nothing changes.

        Args:
            state: the state at the end of the block. If it is not "done" but the work ended as done
                before, that end may be rolled back and is discarded.
        """
        if self.ended and not self._is_final:
            if state != State.DONE and self.ended["progress_state"]["state"] == State.DONE:
                self.ended = {}
            else:
                self.write_end()

    def _state(self, progress: dict[str, Any]) -> dict[str, Any]:
        return {**progress, "run": {**self._run, "heard_at": time()}}


def cancel(user: Any, ids: Iterable[int], client: str = "") -> None:
    """Cancel the user's work.

    Work of other users, work that is not running and work that is not cancellable do not change.
    Stalled work has no process that could end it, so it becomes cancelled at once.

    Args:
        user: the work's user.
        ids: the ids of the notifications.
        client: the id of the page that makes the request; not used.
    """
    with writing() as using:
        mine = _rows(using, pk__in=ids, topic=user_topic(user.pk)).order_by("pk")
        receipts, asked = Receipt.objects.using(using), {"cancel_asked_at": timezone.now()}
        announce_on_commit()  # the numbering skips a locked row
        # Lock the rows. Otherwise a run could end, and the next run under its key be cancelled.
        for row in mine.filter(progress_state__run__cancellable=True).select_for_update():
            state = (row.progress or {}).get("state")
            if state == State.STALLED:
                ended = {**(row.progress_state or {}), "state": State.CANCELLED, "eta": None}
                _end(row.pk, ended.pop("run")["id"], {"progress_state": ended})
            elif state == State.RUNNING:
                receipts.update_or_create(asked, user_id=user.pk, notification=row)


def _connect() -> str:
    """Return the database alias. Close a lost connection, so that Django opens a new one."""
    using = database()
    connection = connections[using]
    is_open = connection.connection is not None and not connection.in_atomic_block
    if is_open and not connection.is_usable():
        connection.close()
    return using


def _end(pk: Any, run: str, columns: dict[str, Any]) -> None:
    """Write the end of the run, to be sent after the commit. Do nothing if the run lost its row."""
    level = _LEVELS[columns["progress_state"]["state"]]
    columns = {**columns, "level": level, "silent": False, "created_at": timezone.now()}
    with writing(reads=False) as using:
        rows = _rows(using, pk=pk, progress_state__run__id=run)
        if rows.update(**columns, seq=None, count=NEXT_COUNT):
            Receipt.objects.using(using).filter(notification_id=pk).delete()
        announce_on_commit()  # also for a row that another run took over, as in `report()`


def _rows(using: str, **filters: Any) -> NotificationQuerySet[Notification]:
    return Notification.objects.using(using).filter(recalled_at=None, **filters)
