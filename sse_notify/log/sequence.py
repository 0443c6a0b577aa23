"""The log: the order of what was committed, and the only writer of ``seq``.

    caller's transaction        INSERT, seq NULL ............ COMMIT
    sequence(), its own short                                        lock head, number all that is pending, COMMIT
    readers                                                                                  seq > cursor: nothing is skipped

An auto-increment id cannot be the cursor: it is handed out at the insert and becomes visible at
the commit, so a reader at "id > last" skips a lower id that commits later. ``seq`` is handed out
after the commit, by whoever holds the lock on the head, to every row that is pending by then. It
is dense and in commit order, on every database, and no lock is held while the caller's transaction
is open. A process that dies in between loses nothing: the next one to call :func:`sequence`
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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.db import router, transaction
from django.db.models import F
from django.utils import timezone

from sse_notify import changes, locks, log_rows, tracing
from sse_notify.messages import Batch as Batch
from sse_notify.messages import Entry as Entry
from sse_notify.models import Exclusion, Inbox, LogHead, Notification
from sse_notify.topics import user_topic
from sse_notify.wire import encode_json

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

#: Rows that one transaction numbers: bounds how long the head stays locked, and what a batch
#: weighs.
SEQUENCE_BATCH = 1000


#: Runs of consecutive ids that are numbered by a statement each.
MAX_RUNS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """What one client may read of the log."""

    topics: tuple[str, ...]
    """The topics of this package that the client has."""
    user_id: Any = None
    """The user's key; ``None`` for an anonymous visitor, who has no topic in the log."""
    since: datetime | None = None
    """When the user joined: older broadcasts are not theirs."""
    muted: frozenset[str] = frozenset()
    """The categories that the user has muted."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the log is numbered, and from where it is complete."""

    head: int
    floor: int


def database() -> str:
    """Return the alias of the database that holds the log."""
    return router.db_for_write(Notification)


def position() -> Position:
    """Return the head and the floor of the log: one query."""
    row = (
        LogHead.objects.using(database())
        .filter(pk=locks.HEAD_PK)
        .values_list("seq", "floor")
        .first()
    )
    return Position(*row) if row else Position(0, 0)


def head() -> int:
    """Return the newest number that was given out, 0 before the first."""
    return position().head


def has_pending() -> bool:
    """Return whether something committed is not numbered yet: two look-ups in an index."""
    using = database()
    return _pending(using).exists() or changes.pending(using).exists()


def pending() -> int:
    """Return how much is committed and not numbered yet: two counts, by indexes."""
    using = database()
    return _pending(using).count() + changes.pending(using).count()


def sequence() -> Iterator[Batch]:
    """Number everything that is pending and yield it in batches, each after it was committed.

    Call it outside a transaction (inside one, as in a ``TestCase``, it works too, but holds the
    head until that ends). Run the iterator to its end; a batch that was yielded is numbered for
    good, whatever happens to the caller.

    Raises:
        django.db.Error: the database refuses; nothing of the current batch is numbered.
    """
    full = has_pending()
    while full:
        with tracing.span("sequence") as span:
            batch = _sequence_batch(database())
            number = 0 if batch is None else batch.last - batch.first + 1
            span.set_attribute("sse_notify.events", number)
        # Not full: what is left was committed since, and whoever committed it numbers it; or it is
        # locked by an open transaction, whose commit will number it.
        full = number == SEQUENCE_BATCH
        if batch is not None:
            yield batch


def read(
    after: int, up_to: int, *, reader: Reader | None = None, limit: int
) -> tuple[list[Entry], int]:
    """Return the entries with ``after < seq <= up_to`` that ``reader`` may read, in order.

    One call fetches about 1 MiB at most, but at least one notification if there is any.

    Args:
        after: the cursor: the last number that the reader has.
        up_to: where to stop.
        reader: whose entries to read; ``None``: all.
        limit: at most so many notifications are read by one call.

    Returns:
        The entries, and the number up to which they are complete: ``up_to``, or less if ``limit``
        or the size was reached.
    """
    using = database()
    rows, complete = log_rows.page(after, up_to, reader, using, limit)
    entries = _entries(rows, using, reader.muted if reader is not None else frozenset())
    inboxes = changes.changed_after(after, using)
    if reader is not None:
        inboxes = inboxes.filter(pk=reader.user_id)
    entries.extend(_state_entries(inboxes, after, complete))
    entries.sort(key=attrgetter("seq"))
    return entries, complete


def count(after: int, *, reader: Reader, limit: int) -> int:
    """Return how many notifications after ``after`` the reader missed, at most ``limit``."""
    return log_rows.by_topic(reader, database(), limit, seq__gt=after).values("seq").count()


def raise_floor(to: int) -> None:
    """Refuse cursors before ``to`` after this transaction's commit: what they missed is gone.

    Holds the head until then, so it comes last.
    """
    LogHead.objects.using(database()).filter(pk=locks.HEAD_PK, floor__lt=to).update(floor=to)


def _pending(using: str) -> QuerySet[Notification]:
    return Notification._base_manager.using(using).filter(seq=None)


def _sequence_batch(using: str) -> Batch | None:
    with transaction.atomic(using=using):
        before = locks.lock_head(using)
        rows = list(locks.locked(_pending(using), using)[:SEQUENCE_BATCH])
        room = SEQUENCE_BATCH - len(rows)
        inboxes = list(locks.locked(changes.pending(using), using)[:room])
        if not rows and not inboxes:
            return None
        if any(row.count > 1 for row in rows):  # oddity 5
            rows.sort(key=lambda row: (row.created_at, row.pk))
        last = before + len(rows) + len(inboxes)
        for seq, row in enumerate(rows, start=before + 1):
            row.seq = seq
        for seq, inbox in enumerate(inboxes, start=before + len(rows) + 1):
            inbox.state_seq = seq
        _write_numbers(rows, using)
        Inbox.objects.using(using).bulk_update(inboxes, ["state_seq"])
        LogHead.objects.using(using).filter(pk=locks.HEAD_PK).update(seq=last)
    now = timezone.now()
    unexpired = [
        row for row in rows if row.recalled_at or row.expires_at is None or row.expires_at > now
    ]
    entries = _entries([row for row in unexpired if row.recalled_at or row.event], using)
    entries.extend(_state_entries(inboxes, before, last))
    entries.sort(key=attrgetter("seq"))
    return Batch(before + 1, last, tuple(entries))


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


def _entries(
    rows: Iterable[Notification], using: str, muted: frozenset[str] = frozenset()
) -> list[Entry]:
    rows = list(rows)
    excluded = _excluded([row.pk for row in rows if not row.recipient_id], using)
    return [
        Entry(
            row.seq or 0,
            row.topic,
            _frame(row, muted),
            excluded.get(row.pk, frozenset()),
            "" if row.recalled_at else row.category,
        )
        for row in rows
    ]


def _frame(row: Notification, muted: frozenset[str]) -> bytes:
    """Return what clients get: what the row says, or if it was recalled, that it is gone."""
    if row.recalled_at is not None:
        return encode_json({"ids": [row.pk]}, event="remove", id=row.seq)
    return encode_json(row.payload(muted=row.category in muted), event=row.event, id=row.seq)


def _excluded(pks: list[int], using: str) -> dict[int, frozenset[str]]:
    """Return who is excluded from which broadcast, in one query at most."""
    if not pks:
        return {}
    found: dict[int, set[str]] = {}
    pairs = Exclusion.objects.using(using).filter(notification_id__in=pks)
    for pk, user_id in pairs.values_list("notification_id", "user_id"):
        found.setdefault(pk, set()).add(str(user_id))
    return {pk: frozenset(users) for pk, users in found.items()}


def _state_entries(inboxes: Iterable[Inbox], after: int, up_to: int) -> list[Entry]:
    told = changes.tell(inboxes, after, up_to)
    return [Entry(seq, user_topic(user_id), frame) for user_id, seq, frame in told]
