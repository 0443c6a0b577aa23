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

1. Pending rows are locked with ``SKIP LOCKED``: a transaction that updates one under its ``key``
   holds it, maybe for minutes. So whoever locks a pending row or inbox announces it at the commit,
   even if it changed nothing. Django has no hook for a rollback. After one, the next poll numbers
   the row.
2. Numbers are written with ``seq = id + delta``, in one UPDATE for each run of consecutive ids. A
   usual bulk insert needs one statement. The rows that were just locked have all ids of a run, so
   the UPDATE cannot change another row. Many runs are written in one slower statement.
3. A row that is updated under its ``key``, or recalled, gets a new number and leaves a gap at the
   old one. Only the assigned numbers are dense.
4. A row with an empty ``event`` is numbered, listed and counted, but no stream sends it. Imported
   history has no event; its readers get one message that their inbox has changed.
5. If more wait than fit into a batch, as after a call for many users, the next are numbered without
   being read. Hubs then read the rows of their own streams, which are few of them.
6. Rows are numbered in the order of their ids, which is the order of their inserts. A repeat under
   a ``key`` keeps its id. So a batch with a repeat is ordered by the time when each row was sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Model, QuerySet
from django.db.models.constants import OnConflict
from django.db.models.functions import Least
from django.db.models.sql.subqueries import InsertQuery
from django.utils import timezone

from sse_notify import telemetry
from sse_notify.bus.messages import SEQUENCE_BATCH, Batch
from sse_notify.bus.telling import Tell, telling
from sse_notify.log.healing import MAX_HEAD, heal, lock_sql
from sse_notify.log.reader import changed, entries_of
from sse_notify.models import Inbox, LogHead, Notification
from sse_notify.models.notification import fetch
from sse_notify.models.reading import read_count

logger = logging.getLogger("sse_notify")

#: Maximum number of rows that are numbered in one transaction without being read. So the head is
#: locked for less than a fifth of a second.
MANY = 4000
#: Up to this many runs of consecutive ids are numbered with one statement each.
MAX_RUNS = 5


class HeadLocked(Exception):
    """Raised if another process numbers rows in this moment."""


class Position(NamedTuple):
    """The last number of the log, and the number after which the log is complete."""

    head: int = 0
    floor: int = 0


def database() -> str:
    """Return the alias of the database that holds the log."""
    return router.db_for_write(Notification)


def head_row(using: str) -> QuerySet[LogHead]:
    """Return the queryset of the head's row."""
    return LogHead.objects.using(using).filter(pk=1)


def get_position() -> Position:
    """Return the head and the floor of the log, with one query."""
    using = database()
    with connections[using].cursor() as cursor:
        cursor.execute(*_polled(using)[0])
        return Position(*cursor.fetchone() or ())


def get_head() -> int:
    """Return the last number that was assigned; 0 before the first."""
    return get_position().head


def raise_floor(to: int, using: str) -> None:
    """Refuse cursors before ``to`` after the commit. Call it last: it locks the head until then."""
    head_row(using).filter(floor__lt=to).update(floor=Least(to, F("seq")))


@contextmanager
def writing(*, reads: bool = True) -> Iterator[str]:
    """Open a transaction, or a savepoint, that writes to the log's database; yield its alias.

    A new transaction gets the isolation level ``READ COMMITTED``: at a higher one, PostgreSQL and
    MySQL would not see what others committed before they released a lock, and fail. MySQL would
    also lock the gaps between rows, where others insert.

    Args:
        reads: whether it reads before it writes. SQLite waits for its lock if the first statement
            of a transaction is a write. A write after a read can fail at once, so write first.
    """
    using = database()
    connection: Any = connections[using]
    new = connection.vendor if connection.get_autocommit() else ""
    if new == "mysql" and connection.isolation_level != "read committed":
        _read_committed(connection)  # of the next transaction
    with transaction.atomic(using=using):
        if reads and not connection.features.has_select_for_update:
            head_row(using).update(seq=F("seq"))
        if new == "postgresql":
            _read_committed(connection)  # of this transaction
        yield using


def locked(rows: Any, using: str) -> Any:
    """Return ``rows`` by primary key and lock them, without rows that others have locked."""
    skips = connections[using].features.has_select_for_update_skip_locked
    return rows.using(using).order_by("pk").select_for_update(skip_locked=skips)


def insert_missing(model: type[Model], pks: Iterable[Any], using: str) -> None:
    """Insert rows with these primary keys and defaults. Those that are there do not change."""
    rows = [model(pk=pk) for pk in pks]
    if connections[using].vendor != "mysql":
        model._base_manager.using(using).bulk_create(rows, ignore_conflicts=True)
        return
    # INSERT IGNORE locks a row that is there for reading. Two transactions that both hold such a
    # lock, and want to write, deadlock. ON DUPLICATE KEY UPDATE locks it for writing.
    keys = [model._meta.pk]
    query = InsertQuery(model, on_conflict=OnConflict.UPDATE, update_fields=keys, unique_fields=[])
    query.insert_values(model._meta.concrete_fields, rows)
    query.get_compiler(using).execute_sql()


def has_pending() -> bool:
    """Return whether a committed row or change has no number yet, with two index look-ups."""
    using = database()
    with connections[using].cursor() as cursor:
        for sql, params in _polled(using)[1:]:
            cursor.execute(sql, params)
            if cursor.fetchone() is not None:
                return True
    return False


@lru_cache(8)
def _polled(using: str) -> list[tuple[str, Any]]:
    """Return the SQL and the parameters of what every poll asks: the head, and what is pending.

    The ORM takes longer to build these queries than the database to answer them.
    """
    pending = [rows.values_list("pk")[:1] for rows in _pending(using)]
    asked = [head_row(using).values_list("seq", "floor"), *pending]
    return [rows.query.get_compiler(using).as_sql() for rows in asked]


def count_pending() -> int:
    """Return how many committed rows and changes have no number yet, with two index counts."""
    return sum(rows.count() for rows in _pending(database()))


def number_pending(*, waits: bool = True) -> Iterator[Batch]:
    """Number all pending rows and changes, and yield each batch after its commit.

    Call it outside a transaction. Inside one, as in a ``TestCase``, it works but locks the head
    until that transaction ends. Run the iterator to its end. The numbers of a yielded batch are
    committed, even if the caller fails.

    Args:
        waits: whether to wait while another process numbers rows.

    Raises:
        django.db.Error: the database failed. Nothing of the current batch is numbered.
        HeadLocked: another process numbers rows, and ``waits`` is false.
    """
    full = has_pending()
    while full:
        with telemetry.span("sequence") as span:
            batch = telling(partial(_sequence_batch, waits=waits))
            number = 0 if batch is None else batch.last - batch.first + 1
            span.set_attribute("sse_notify.events", number)
        # If the batch is not full, the remaining rows were committed since, and their process
        # numbers them; or an open transaction has locked them, and numbers them after its commit.
        full = number == SEQUENCE_BATCH
        if batch is not None:
            yield batch
        many = MANY if full else 0
        while many == MANY:  # oddity 5
            with telemetry.span("sequence") as span:
                many, last = telling(partial(_number_many, waits=waits))
                span.set_attribute("sse_notify.events", many)
            if many:
                yield Batch(last + 1, last, ())


def _read_committed(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")


def _pending(using: str) -> tuple[QuerySet[Notification], QuerySet[Inbox]]:
    """Return the rows without a number, and the inboxes with a change that has none."""
    inboxes = Inbox.objects.using(using).filter(state_seq=None).exclude(changes=[])
    return Notification._base_manager.using(using).filter(seq=None), inboxes


def _sequence_batch(tell: Tell, *, waits: bool) -> Batch | None:
    with writing() as using:
        before = _lock_head(using, waits=waits)
        pending, changes = (locked(waiting, using) for waiting in _pending(using))
        # A row that cannot be read has a number, too, or it would be pending for ever.
        rows = fetch(pending[:SEQUENCE_BATCH], lambda pk: Notification(pk=pk, event=""))
        inboxes = list(changes[: SEQUENCE_BATCH - len(rows)])
        if not rows and not inboxes:
            return None
        if any(row.count > 1 for row in rows):  # oddity 6
            rows.sort(key=lambda row: (row.created_at, row.pk))
        for seq, row in enumerate(rows, start=before + 1):
            row.seq = seq
        _write_numbers([row.pk for row in rows], before, using)
        last = before + len(rows)
        for inbox in inboxes:
            last = inbox.state_seq = last + 1
        Inbox.objects.using(using).bulk_update(inboxes, ["state_seq"])
        head_row(using).update(seq=last)
        tell(last, using)
    now = timezone.now()
    told = [
        row
        for row in rows
        if row.recalled_at or (row.event and (row.expires_at is None or row.expires_at > now))
    ]
    entries = [*entries_of(told, using), *changed(inboxes, before, last)]
    return Batch(before + 1, last, tuple(sorted(entries, key=attrgetter("seq"))))


def _number_many(tell: Tell, *, waits: bool) -> tuple[int, int]:
    """Number at most ``MANY`` rows; return how many, and the last number of the log."""
    with writing() as using:
        before = _lock_head(using, waits=waits)
        pending, _changes = _pending(using)
        found = dict(locked(pending, using).values_list("pk", "count")[:MANY])
        if any(read_count(count) > 1 for count in found.values()):  # oddity 6
            in_order = pending.filter(pk__in=found).order_by("created_at", "pk")
            found = dict.fromkeys(in_order.values_list("pk", flat=True))
        _write_numbers(list(found), before, using)
        last = before + len(found)
        head_row(using).update(seq=last)
        tell(last, using)
    return len(found), last


def _lock_head(using: str, *, waits: bool) -> int:
    """Lock the head until the end of the transaction, and return the last number of the log."""
    with connections[using].cursor() as cursor:
        cursor.execute(lock_sql(using, waits=waits))
        if (found := cursor.fetchone()) is None:
            if not waits and head_row(using).exists():
                raise HeadLocked
            # The tables were emptied after the migration.
            insert_missing(LogHead, [1], using)
            cursor.execute(lock_sql(using))
            found = cursor.fetchone()
    head, floor, *largest = (number or 0 for number in found)
    last = max(head, *largest)
    if not floor <= last == head <= MAX_HEAD:
        last = heal(head, floor, last, using)
    return last


def _write_numbers(pks: Sequence[int], before: int, using: str) -> None:
    """Give the rows the numbers after ``before``, in order, in few statements (oddity 2)."""
    numbers = enumerate(pks, start=before + 1)
    runs = [list(run) for _, run in groupby(numbers, lambda number: number[0] - number[1])]
    rows = Notification._base_manager.using(using)
    if len(runs) > MAX_RUNS:
        changed_rows = [Notification(pk=pk, seq=seq) for run in runs for seq, pk in run]
        rows.bulk_update(changed_rows, ["seq"], batch_size=SEQUENCE_BATCH)
        return
    for run in runs:
        (seq, first), (_, last) = run[0], run[-1]
        rows.filter(pk__range=(first, last)).update(seq=F("id") + (seq - first))
