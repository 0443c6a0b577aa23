"""Read the log for streams: rows and inbox changes, encoded, in pages.

An inbox stores only its newest change, that change's number, and the number of the change before.
That is enough to lose none. A client that has the change before gets ``update``. A client that has
not gets ``reset`` and fetches the inbox again. So does a client whose part of the log ends between
the two changes, because the newest change has overwritten the one before.

    Inbox.note()   in the user's transaction: store the change, without a number
    sequence       after the commit: give the inbox the next number
    changed()      live and in a replay: ``update``, or ``reset`` for a client that missed more
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import connections, router
from django.db.models import Func, IntegerField, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from sse_notify.bus.messages import Entry
from sse_notify.conf import get_settings
from sse_notify.models import Exclusion, Inbox, Notification
from sse_notify.models.counts import Owner, count
from sse_notify.models.notification import LONG_COLUMNS, fetch
from sse_notify.models.reading import in_halves
from sse_notify.models.state import LOST
from sse_notify.sse import control
from sse_notify.sse.format import encode_json
from sse_notify.topics import joined, load_users, topics_of, user_of, user_topic

logger = logging.getLogger("sse_notify")

#: Bytes that one page of the log fetches, approximately.
PAGE_BYTES = 1024 * 1024
#: Maximum number of topics that a query names.
MAX_TOPICS = 5000
#: A replay of more pages than this reads each topic separately.
SHORT_REPLAY = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """The part of the log that one client may read."""

    topics: tuple[str, ...]
    """The client's topics, of this package's own topics; the user's own first."""
    user_id: Any = None
    """The user's primary key. ``None`` for an anonymous visitor, who has no topics in the log."""
    since: datetime | None = None
    """When the user joined. Older broadcasts are left out."""
    muted: frozenset[str] = frozenset()
    """The categories that the user has muted."""


def read_entries(
    after: int,
    up_to: int,
    *,
    reader: Reader | None = None,
    topics: Collection[str] | None = None,
    limit: int,
) -> tuple[list[Entry], int]:
    """Return the entries with ``after < seq <= up_to`` that ``reader`` may read, in order.

    One call fetches at most about 1 MiB, but at least one notification if there is one.

    Args:
        after: the cursor, which is the last ``seq`` that the reader has.
        up_to: the last ``seq`` to read.
        reader: the client that reads; ``None``: read the entries for all clients.
        topics: without ``reader``, read at least the entries of these topics; ``None``: of all.
        limit: the maximum number of notifications in one call, or of all entries if no ``reader``.

    Returns:
        The entries, and the number up to which they are complete; less than ``up_to`` if the call
        reached ``limit`` or the maximum size.
    """
    using = router.db_for_write(Notification)
    inboxes = Inbox.objects.using(using).exclude(changes=[])
    found = readable(reader, using)
    if topics is not None and len(topics) <= MAX_TOPICS:
        found = found.filter(topic__in=topics)
        inboxes = inboxes.filter(pk__in=filter(None, map(user_of, topics)))
    rows, complete = _page(found, after, up_to, reader, inboxes, limit)
    entries = entries_of(rows, using, frozenset() if reader is None else reader.muted)
    if reader is None:
        numbered = inboxes.filter(state_seq__gt=after, state_seq__lte=complete)
        entries += changed(numbered, after, complete) + _overwritten(inboxes, after, complete)
    else:
        entries += changed(inboxes.filter(pk=reader.user_id), after, complete)
    return sorted(entries, key=attrgetter("seq")), complete


def count_missed(after: int, *, reader: Reader, limit: int) -> int:
    """Return how many notifications after ``after`` the reader missed, at most ``limit``."""
    missed = _by_topic(reader, router.db_for_write(Notification), limit, seq__gt=after)
    return missed.values("seq").count()


def sendable(now: datetime) -> Q:
    """Return the condition for the rows that streams send: unexpired events, and recalled rows."""
    # Pages that show a recalled row must remove it, also after its expiry.
    unexpired = Q(expires_at=None) | Q(expires_at__gt=now)
    return (unexpired & ~Q(event="")) | Q(recalled_at__isnull=False)


class _Bytes(Func):
    """The length of a text in bytes, in UTF-8."""

    function = "OCTET_LENGTH"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return the SQL for SQLite, where only recent versions have ``OCTET_LENGTH``."""
        template = "LENGTH(CAST(%(expressions)s AS BLOB))"
        return self.as_sql(compiler, connection, template=template, **context)


def _weight(*columns: str) -> Any:
    """Return the approximate bytes of a row: those of ``columns``, and 1 KiB for the rest."""
    texts = (Coalesce(_Bytes(Cast(name, TextField())), 0) for name in columns)
    return sum(texts, start=Value(1024))


_ROW, _CHANGE = _weight(*LONG_COLUMNS), _weight("changes")


def _page(
    found: Any,
    after: int,
    up_to: int,
    reader: Reader | None,
    inboxes: QuerySet[Inbox],
    limit: int,
) -> tuple[list[Notification], int]:
    """Return at most ``limit`` rows, about 1 MiB, and the number up to which they are complete.

    For all clients, the limits include the changes of ``inboxes``.
    """
    using = inboxes.db
    found = found.filter(seq__gt=after, seq__lte=up_to).order_by("seq")[:limit]
    if up_to - after <= min(limit, PAGE_BYTES // get_settings().EVENT_MAX_BYTES):
        return fetch(found), up_to  # so few rows exceed neither limit nor PAGE_BYTES
    if reader is not None and up_to - after > SHORT_REPLAY * limit:
        found = _by_topic(reader, using, limit, seq__gt=after, seq__lte=up_to)
    # Read the sizes first, so that only the rows that fit are fetched.
    weights = list(found.values_list("seq", "weight"))
    if reader is None:
        numbered = inboxes.filter(state_seq__gt=after, state_seq__lte=up_to).order_by("state_seq")
        changes = numbered.values_list("state_seq", _CHANGE)[:limit]
        weights = sorted([*weights, *changes])[:limit]
    total = 0
    seqs: list[int] = []
    for seq, size in weights:
        total += size
        if seqs and total > PAGE_BYTES:
            break
        seqs.append(seq)
    rows = fetch(Notification._base_manager.using(using).filter(seq__in=seqs).order_by("seq"))
    is_all = len(seqs) == len(weights) < limit
    return rows, up_to if is_all else seqs[-1]


def _by_topic(reader: Reader, using: str, limit: int, **stretch: int) -> QuerySet[Notification]:
    """Return the first ``limit`` rows of the range, without reading the rows after them.

    No index has the rows of several topics in the order of ``seq``. One query for all topics would
    sort all rows that the client missed, again for each page. So this reads the first ``limit``
    rows of each topic, which the index has in order, and merges them.
    """
    features = connections[using].features
    if len(reader.topics) < 2 or not features.supports_slicing_ordering_in_compound:  # SQLite
        return readable(reader, using).filter(**stretch).order_by("seq")[:limit]
    topics = [
        readable(reader, using, topic).filter(**stretch).order_by("seq")[:limit]
        for topic in reader.topics
    ]
    return topics[0].union(*topics[1:], all=True).order_by("seq")[:limit]


def readable(reader: Reader | None, using: str, topic: str | None = None) -> QuerySet[Notification]:
    """Return the rows that ``reader`` may read, in one topic or all; ``reader=None``: all rows."""
    rows = Notification._base_manager.using(using).filter(sendable(timezone.now()))
    rows = rows.annotate(weight=_ROW)
    if reader is None:
        return rows
    excluded = Exclusion.objects.filter(user_id=reader.user_id).values("notification_id")
    rows = rows.filter(topic__in=reader.topics if topic is None else (topic,))
    rows = rows.exclude(pk__in=excluded)
    if reader.since is not None:
        rows = rows.filter(Q(topic=reader.topics[0]) | Q(created_at__gte=reader.since))
    return rows


# --- encoding ------------------------------------------------------------------------------------


def entries_of(
    rows: list[Notification], using: str, muted: frozenset[str] = frozenset()
) -> list[Entry]:
    """Return the rows encoded; ``muted``: the categories that the reader has muted."""
    excluded: dict[int, set[str]] = {row.pk: set() for row in rows if not row.recipient_id}
    if excluded:
        pairs = Exclusion.objects.using(using).filter(notification_id__in=excluded)
        for pk, user_id in pairs.values_list("notification_id", "user_id"):
            excluded[pk].add(str(user_id))
    entries = []
    for row in rows:
        category = "" if row.recalled_at else row.category
        without = frozenset(excluded.get(row.pk, ()))
        try:
            entries.append(Entry(row.seq or 0, row.topic, _frame(row, muted), without, category))
        except (TypeError, ValueError):  # written by hand: it must not stop all others
            logger.exception("The notification %s cannot be sent.", row.pk)
    return entries


def _frame(row: Notification, muted: frozenset[str]) -> bytes:
    """Return the frame for clients: the row's event, or ``remove`` if the row was recalled."""
    if row.recalled_at is not None:
        return encode_json({"ids": [row.pk]}, event="remove", id=row.seq)
    return encode_json(row.payload(muted=row.category in muted), event=row.event, id=row.seq)


def _overwritten(inboxes: QuerySet[Inbox], after: int, up_to: int) -> list[Entry]:
    """Return ``reset`` for changes in the range that later ones, beyond it, have overwritten."""
    later = inboxes.filter(Q(state_seq__gt=up_to) | Q(state_seq=None))
    before = "changes__0__after"  # an older version stored no such number
    here = Q(**{f"{before}__gt": after, f"{before}__lte": up_to})
    rows = later.filter(here | Q(**{f"{before}__isnull": True}))
    found = dict(rows.values_list("pk", before))
    resets = [_reset(pk, int(number)) for pk, number in found.items() if number is not None]
    odd = [pk for pk, number in found.items() if number is None]
    return resets + (changed(inboxes.filter(pk__in=odd), after, up_to) if odd else [])


def changed(inboxes: Iterable[Inbox], after: int, up_to: int) -> list[Entry]:
    """Return the changes with ``after < number <= up_to``, encoded.

    The counts in an ``update`` are absolute. They come from the current inbox, but include only
    rows numbered up to the change. Later rows follow in the stream, and the client adds them then.
    """
    entries, updates = list[Entry](), list[Update]()
    for inbox in inboxes:
        number = inbox.state_seq
        change, before = inbox.newest_change()
        if number is None or number > up_to:
            # The newest change is outside the range, and has overwritten the one before.
            number = before
        elif change and change != LOST and before <= after:
            updates.append((inbox.pk, number, change))
            continue
        if after < number <= up_to:
            entries.append(_reset(inbox.pk, number))
    return entries + in_halves(_encode, updates, _cannot_encode) if updates else entries


#: A user's primary key, the number of the newest change, and the change.
Update = tuple[Any, int, dict[str, Any]]


def _reset(pk: Any, number: int) -> Entry:
    """Return the entry that lets the pages of one user fetch the inbox again."""
    return Entry(number, user_topic(pk), control.reset("state", number))


def _cannot_encode(update: Update) -> Entry:
    logger.exception("The change of one inbox cannot be sent; its pages fetch the inbox again.")
    return _reset(*update[:2])


def _encode(updates: Sequence[Update]) -> list[Entry]:
    """Return the changes encoded with the counts of their inboxes, without deleted users'."""
    found = load_users([pk for pk, _, _ in updates])
    entries: list[Entry] = []
    owners: list[Owner] = []
    changes: list[dict[str, Any]] = []
    for update in updates:
        pk, number, change = update
        try:
            if pk in found:
                user, groups = found[pk]
                owners.append(Owner(pk, topics_of(user, groups), joined(user), number))
                changes.append(change)
        except (Exception, CancelledError):  # the project's own code
            entries.append(_cannot_encode(update))
    counted = count(owners, router.db_for_write(Notification))
    for owner, change, (unread, unseen) in zip(owners, changes, counted, strict=True):
        data = {**change, "state_seq": owner.up_to, "unread": unread, "unseen": unseen}
        frame = encode_json(data, event="update", id=owner.up_to)
        entries.append(Entry(owner.up_to, owner.topics[0], frame))
    return entries
