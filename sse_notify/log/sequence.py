"""The log: the order of what was committed, and the only writer of ``seq``.

    caller's transaction        INSERT, seq NULL ............ COMMIT
    number_pending(), its own                                        lock head, number all that is pending, COMMIT
    readers                                                                                  seq > cursor: nothing is skipped

An auto-increment id cannot be the cursor: it is handed out at the insert and becomes visible at
the commit, so a reader at "id > last" skips a lower id that commits later. ``seq`` is handed out
after the commit, by whoever holds the lock on the head, to every row that is pending by then. It
is dense and in commit order, on every database, and no lock is held while the caller's transaction
is open. A process that dies in between loses nothing: the next one to call :func:`number_pending`
numbers its rows.

Deliberate oddities:

1. Pending rows are locked with ``SKIP LOCKED`` before they are numbered. A transaction that
   updates a pending row under its ``key`` holds that row until it ends, maybe for minutes;
   numbering must not wait for it. The row is numbered after that.
2. Numbers are given by ``seq = id + delta``, one UPDATE for each run of consecutive ids: for the
   usual bulk insert one statement. The ids of a run are all taken by the rows that were just
   locked, so no other row can fall into it. Many runs are one slower statement.
3. A row that is updated under its ``key``, or recalled, gets a new number and leaves a hole at the
   old one. Dense describes what is given out.
4. A row whose ``event`` is empty makes no event: it is numbered, listed and counted, and no stream
   tells of it. Such is history that was imported; its readers are told once that their inbox has
   changed.
5. Rows are numbered in the order of their ids, which is that of their inserts. A repeat under a
   ``key`` keeps its id, so a batch that has one goes by when each was sent: a repeat is newer than
   what was sent before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from threading import Event
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, QuerySet
from django.utils import timezone

from sse_notify import telemetry
from sse_notify.bus import publisher
from sse_notify.bus.messages import Batch
from sse_notify.log.reader import changed, entries_of
from sse_notify.models import Inbox, LogHead, Notification

#: Rows that one transaction numbers: bounds how long the head stays locked, and what a batch
#: weighs.
SEQUENCE_BATCH = 1000
#: Runs of consecutive ids that are numbered by a statement each.
MAX_RUNS = 5


@dataclass(frozen=True, slots=True)
class Position:
    """How far the log is numbered, and from where it is complete."""

    head: int = 0
    floor: int = 0


def database() -> str:
    """Return the alias of the database that holds the log."""
    return router.db_for_write(Notification)


def get_position() -> Position:
    """Return the head and the floor of the log: one query."""
    return Position(*_head(database()).values_list("seq", "floor").first() or ())


def get_head() -> int:
    """Return the newest number that was given out, 0 before the first."""
    return get_position().head


def raise_floor(to: int, using: str) -> None:
    """Refuse cursors before ``to`` after this transaction's commit: what they missed is gone.

    Holds the head until then, so it comes last.
    """
    _head(using).filter(floor__lt=to).update(floor=to)


def begin_write(using: str) -> None:
    """Begin a transaction that reads before it writes.

    SQLite waits for its one lock if a transaction's first statement is a write; a write after a
    read would fail at once.
    """
    if not connections[using].features.has_select_for_update:
        _head(using).update(seq=F("seq"))


@contextmanager
def writing(using: str) -> Iterator[None]:
    """Open a transaction that reads before it writes, see :func:`begin_write`."""
    with transaction.atomic(using=using):
        begin_write(using)
        yield


def locked(rows: Any, using: str) -> Any:
    """Return ``rows`` by key, locked until the transaction ends, without those locked elsewhere."""
    skips = connections[using].features.has_select_for_update_skip_locked
    return rows.using(using).order_by("pk").select_for_update(skip_locked=skips)


def has_pending() -> bool:
    """Return whether something committed is not numbered yet: two look-ups in an index."""
    return any(rows.exists() for rows in _pending(database()))


def count_pending() -> int:
    """Return how much is committed and not numbered yet: two counts, by indexes."""
    return sum(rows.count() for rows in _pending(database()))


def number_pending() -> Iterator[Batch]:
    """Number everything that is pending and yield it in batches, each after it was committed.

    Call it outside a transaction (inside one, as in a ``TestCase``, it works too, but holds the
    head until that ends). Run the iterator to its end; a batch that was yielded is numbered for
    good, whatever happens to the caller.

    Raises:
        django.db.Error: the database refuses; nothing of the current batch is numbered.
    """
    full = has_pending()
    while full:
        with telemetry.span("sequence") as span:
            batch = _sequence_batch(database())
            number = 0 if batch is None else batch.last - batch.first + 1
            span.set_attribute("sse_notify.events", number)
        # Not full: what is left was committed since, and whoever committed it numbers it; or it is
        # locked by an open transaction, whose commit will number it.
        full = number == SEQUENCE_BATCH
        if batch is not None:
            yield batch


def _head(using: str) -> QuerySet[LogHead]:
    return LogHead.objects.using(using).filter(pk=1)


def _pending(using: str) -> tuple[QuerySet[Notification], QuerySet[Inbox]]:
    """Return what is not numbered yet: rows, and inboxes with a change."""
    inboxes = Inbox.objects.using(using).filter(state_seq=None).exclude(changes=[])
    return Notification._base_manager.using(using).filter(seq=None), inboxes


def _sequence_batch(using: str) -> Batch | None:
    with writing(using):
        head = _head(using).select_for_update().get_or_create(pk=1)[0]
        pending, changes = (locked(waiting, using) for waiting in _pending(using))
        rows = list(pending[:SEQUENCE_BATCH])
        inboxes = list(changes[: SEQUENCE_BATCH - len(rows)])
        if not rows and not inboxes:
            return None
        if any(row.count > 1 for row in rows):  # oddity 5
            rows.sort(key=lambda row: (row.created_at, row.pk))
        before, last = head.seq, head.seq + len(rows) + len(inboxes)
        for seq, row in enumerate(rows, start=before + 1):
            row.seq = seq
        for seq, inbox in enumerate(inboxes, start=before + len(rows) + 1):
            inbox.state_seq = seq
        _write_numbers(rows, using)
        Inbox.objects.using(using).bulk_update(inboxes, ["state_seq"])
        _head(using).update(seq=last)
    now = timezone.now()
    told = [
        row
        for row in rows
        if row.recalled_at or (row.event and (row.expires_at is None or row.expires_at > now))
    ]
    entries = [*entries_of(told, using), *changed(inboxes, before, last)]
    return Batch(before + 1, last, tuple(sorted(entries, key=attrgetter("seq"))))


def _write_numbers(rows: Sequence[Notification], using: str) -> None:
    """Save the ``seq`` of each row, in few statements: oddity 2."""
    runs = [list(run) for _, run in groupby(rows, lambda row: (row.seq or 0) - row.pk)]
    numbered = Notification._base_manager.using(using)
    if len(runs) > MAX_RUNS:
        numbered.bulk_update(rows, ["seq"])
        return
    for run in runs:
        delta = (run[0].seq or 0) - run[0].pk
        numbered.filter(pk__range=(run[0].pk, run[-1].pk)).update(seq=F("id") + delta)


# --- announcing -----------------------------------------------------------------------------------

#: Of each connection, whether the last announcement that was registered has run.
_announcements: WeakKeyDictionary[BaseDatabaseWrapper, Event] = WeakKeyDictionary()


def announce_on_commit() -> None:
    """Call :func:`announce` after the commit of the current transaction; at once if there is none.

    Call it for each thing that is sent. Of the calls in one transaction, the first that no rollback
    undid announces for all. A failure is logged and not raised: the rows are committed, and hubs
    find them when they poll.
    """
    using = database()
    has_run = _announcements.get(connections[using])
    # One that a rollback took with it has not run: the next transaction can have it.
    if has_run is None or has_run.is_set():
        has_run = _announcements[connections[using]] = Event()

    def announce_once() -> None:
        if not has_run.is_set():
            has_run.set()
            announce()

    transaction.on_commit(announce_once, using=using, robust=True)


def announce() -> None:
    """Number what is pending and send it to every hub.

    Raises:
        django.db.Error: the database refuses; the hubs try again when they poll.
    """
    for batch in number_pending():
        publisher.ring(batch)
