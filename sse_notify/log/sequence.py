"""Number committed rows in one order. This is the only module that assigns ``seq``.

    caller's transaction        INSERT, seq NULL ... COMMIT
    number_pending()'s own                                  lock head, number pending rows, COMMIT
    readers                                                      seq > cursor: nothing is skipped

An auto-increment id cannot be the cursor. It is assigned at the insert and becomes visible at the
commit, so a reader at "id > last" skips a lower id that commits later. ``seq`` is assigned after
the commit, to every row that is pending then, by the process that holds the lock on the head. It is
dense and in commit order on every database, and no lock is held while the caller's transaction is
open. If a process dies before it numbers its rows, the next call of :func:`number_pending` numbers
them.

Deliberate oddities:

1. Pending rows are locked with ``SKIP LOCKED`` before they are numbered. A transaction that
   updates a pending row under its ``key`` locks that row until it ends, maybe for minutes, and
   numbering must not wait for it. The row is numbered after that transaction.
2. Numbers are written with ``seq = id + delta``, in one UPDATE for each run of consecutive ids. A
   usual bulk insert needs one statement. The rows that were just locked have all ids of a run, so
   the UPDATE cannot change another row. Many runs are written in one slower statement.
3. A row that is updated under its ``key``, or recalled, gets a new number and leaves a gap at the
   old one. Only the assigned numbers are dense.
4. A row with an empty ``event`` is numbered, listed and counted, but no stream sends it. Imported
   history has no event; its readers get one message that their inbox has changed.
5. Rows are numbered in the order of their ids, which is the order of their inserts. A repeat under
   a ``key`` keeps its id. So a batch with a repeat is ordered by the time when each row was sent:
   the repeat is newer than the rows sent before it.
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

#: Maximum number of rows that one transaction numbers. It limits how long the head stays locked,
#: and the size of a batch.
SEQUENCE_BATCH = 1000
#: Up to this many runs of consecutive ids are numbered with one statement each.
MAX_RUNS = 5


@dataclass(frozen=True, slots=True)
class Position:
    """The last number of the log, and the number after which the log is complete."""

    head: int = 0
    floor: int = 0


def database() -> str:
    """Return the alias of the database that holds the log."""
    return router.db_for_write(Notification)


def get_position() -> Position:
    """Return the head and the floor of the log, with one query."""
    return Position(*_head(database()).values_list("seq", "floor").first() or ())


def get_head() -> int:
    """Return the last number that was assigned; 0 before the first."""
    return get_position().head


def raise_floor(to: int, using: str) -> None:
    """Refuse cursors before ``to`` after this transaction's commit: the rows they missed are gone.

    This locks the head until the commit, so call it last.
    """
    _head(using).filter(floor__lt=to).update(floor=to)


def begin_write(using: str) -> None:
    """Begin a transaction that reads before it writes.

    SQLite waits for its lock if the first statement of a transaction is a write. A write after a
    read can fail at once, so this writes first.
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
    """Return ``rows`` by primary key and lock them, without rows that others have locked."""
    skips = connections[using].features.has_select_for_update_skip_locked
    return rows.using(using).order_by("pk").select_for_update(skip_locked=skips)


def has_pending() -> bool:
    """Return whether a committed row or change has no number yet, with two index look-ups."""
    return any(rows.exists() for rows in _pending(database()))


def count_pending() -> int:
    """Return how many committed rows and changes have no number yet, with two index counts."""
    return sum(rows.count() for rows in _pending(database()))


def number_pending() -> Iterator[Batch]:
    """Number all pending rows and changes, and yield each batch after its commit.

    Call it outside a transaction. Inside one, as in a ``TestCase``, it works but locks the head
    until that transaction ends. Run the iterator to its end. The numbers of a yielded batch are
    committed, even if the caller fails.

    Raises:
        django.db.Error: the database failed. Nothing of the current batch is numbered.
    """
    full = has_pending()
    while full:
        with telemetry.span("sequence") as span:
            batch = _sequence_batch(database())
            number = 0 if batch is None else batch.last - batch.first + 1
            span.set_attribute("sse_notify.events", number)
        # If the batch is not full, the remaining rows were committed since, and their process
        # numbers them; or an open transaction has locked them, and numbers them after its commit.
        full = number == SEQUENCE_BATCH
        if batch is not None:
            yield batch


def _head(using: str) -> QuerySet[LogHead]:
    return LogHead.objects.using(using).filter(pk=1)


def _pending(using: str) -> tuple[QuerySet[Notification], QuerySet[Inbox]]:
    """Return the rows without a number, and the inboxes with a change that has none."""
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
    """Save the ``seq`` of each row, in few statements (oddity 2)."""
    runs = [list(run) for _, run in groupby(rows, lambda row: (row.seq or 0) - row.pk)]
    numbered = Notification._base_manager.using(using)
    if len(runs) > MAX_RUNS:
        numbered.bulk_update(rows, ["seq"])
        return
    for run in runs:
        delta = (run[0].seq or 0) - run[0].pk
        numbered.filter(pk__range=(run[0].pk, run[-1].pk)).update(seq=F("id") + delta)


# --- announcing -----------------------------------------------------------------------------------

#: Connection to whether its last registered announcement has run.
_announcements: WeakKeyDictionary[BaseDatabaseWrapper, Event] = WeakKeyDictionary()


def announce_on_commit() -> None:
    """Call :func:`announce` after the commit of the current transaction; at once if there is none.

    Call it for each row or change. Of the calls in one transaction, the first that was not rolled
    back announces for all. A failure is logged and not raised: the rows are committed, and the hubs
    find them at their next poll.
    """
    using = database()
    has_run = _announcements.get(connections[using])
    # A rollback drops the callbacks and leaves the event unset. The next transaction reuses it.
    if has_run is None or has_run.is_set():
        has_run = _announcements[connections[using]] = Event()

    def announce_once() -> None:
        if not has_run.is_set():
            has_run.set()
            announce()

    transaction.on_commit(announce_once, using=using, robust=True)


def announce() -> None:
    """Number all pending rows and changes and send them to every hub.

    Raises:
        django.db.Error: the database failed. The hubs try again at their next poll.
    """
    for batch in number_pending():
        publisher.ring(batch)
