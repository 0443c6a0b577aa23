"""What one client may read of the log, in pages that are bounded in rows and in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import connections
from django.db.models import Func, IntegerField, Q, QuerySet, TextField
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from sse_notify.bus.messages import Entry
from sse_notify.conf import get_settings
from sse_notify.log.entries import changed, changed_after, entries_of
from sse_notify.log.sequence import database
from sse_notify.models import Exclusion, Notification
from sse_notify.topics import user_topic

#: Bytes that one page of the log fetches, about.
PAGE_BYTES = 1024 * 1024

#: Pages of a replay beyond which each topic is read by itself.
SHORT_REPLAY = 10


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


def read_entries(
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
    rows, complete = _page(after, up_to, reader, using, limit)
    inboxes = changed_after(after, using)
    if reader is not None:
        inboxes = inboxes.filter(pk=reader.user_id)
    muted = frozenset() if reader is None else reader.muted
    entries = [*entries_of(rows, using, muted), *changed(inboxes, after, complete)]
    return sorted(entries, key=attrgetter("seq")), complete


def count_missed(after: int, *, reader: Reader, limit: int) -> int:
    """Return how many notifications after ``after`` the reader missed, at most ``limit``."""
    return _by_topic(reader, database(), limit, seq__gt=after).values("seq").count()


def told(now: datetime) -> Q:
    """Return which rows the stream tells of: events that have not expired, and what was recalled."""
    # Who has on a page what was recalled must lose it.
    unexpired = Q(expires_at=None) | Q(expires_at__gt=now)
    return (unexpired & ~Q(event="")) | Q(recalled_at__isnull=False)


class _Bytes(Func):
    """The length of a text as UTF-8; of JSON, of its text."""

    function = "OCTET_LENGTH"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return it for SQLite, which knows the function in its newest versions alone."""
        template = "LENGTH(CAST(%(expressions)s AS BLOB))"
        return self.as_sql(compiler, connection, template=template, **context)


#: What a row's frame weighs: what has no short limit of its own, and 1 kB for the rest.
_WEIGHT = 1024 + sum(
    (Coalesce(_Bytes(Cast(name, TextField())), 0) for name in ("body", "url", "data", "actions")),
    start=_Bytes("title"),
)


def _page(
    after: int, up_to: int, reader: Reader | None, using: str, limit: int
) -> tuple[list[Notification], int]:
    """Return at most ``limit`` rows, of about 1 MiB, and up to which number they are all."""
    found: Any = _first(after, up_to, reader, using, limit)
    if up_to - after <= PAGE_BYTES // get_settings().EVENT_MAX_BYTES:
        rows = list(found)  # so few weigh no more
        return rows, rows[-1].seq or up_to if len(rows) == limit else up_to
    # What they weigh comes first, lest all of them are fetched to find out.
    weights = list(found.values_list("seq", "weight"))
    total = 0
    seqs: list[int] = []
    for seq, weight in weights:
        total += weight
        if seqs and total > PAGE_BYTES:
            break
        seqs.append(seq)
    rows = list(Notification._base_manager.using(using).filter(seq__in=seqs).order_by("seq"))
    is_all = len(seqs) == len(weights) < limit
    return rows, up_to if is_all else seqs[-1]


def _first(
    after: int, up_to: int, reader: Reader | None, using: str, limit: int
) -> QuerySet[Notification]:
    """Return the first ``limit`` rows of the stretch, in order."""
    if reader is not None and up_to - after > SHORT_REPLAY * limit:
        return _by_topic(reader, using, limit, seq__gt=after, seq__lte=up_to)
    return readable(reader, using).filter(seq__gt=after, seq__lte=up_to).order_by("seq")[:limit]


def _by_topic(reader: Reader, using: str, limit: int, **stretch: int) -> QuerySet[Notification]:
    """Return the first ``limit`` rows of the stretch, at a cost that what follows does not raise.

    No index gives the rows of several topics in the order of ``seq``: one query for all would sort
    whatever the client missed, for each page anew. So each topic's first ``limit`` are read, which
    its index has in order, and merged.
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
    """Return what ``reader`` may read, in one topic or all; ``None``: what anybody may read."""
    rows = Notification._base_manager.using(using).filter(told(timezone.now()))
    rows = rows.annotate(weight=_WEIGHT)
    if reader is None:
        return rows
    excluded = Exclusion.objects.filter(user_id=reader.user_id).values("notification_id")
    rows = rows.filter(topic__in=reader.topics if topic is None else (topic,))
    rows = rows.exclude(pk__in=excluded)
    if reader.since is not None:
        rows = rows.filter(Q(topic=user_topic(reader.user_id)) | Q(created_at__gte=reader.since))
    return rows
