"""What one client may read of the log, and reading it."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sse_notify.bus.messages import Batch as Batch
from sse_notify.log import changes

if TYPE_CHECKING:
    from datetime import datetime

    from sse_notify.bus.messages import Entry as Entry

from sse_notify.log import pages
from sse_notify.log.entries import changed_entries, entries_of
from sse_notify.log.position import database


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
    rows, complete = pages.page(after, up_to, reader, using, limit)
    entries = entries_of(rows, using, reader.muted if reader is not None else frozenset())
    inboxes = changes.changed_after(after, using)
    if reader is not None:
        inboxes = inboxes.filter(pk=reader.user_id)
    entries.extend(changed_entries(inboxes, after, complete))
    entries.sort(key=attrgetter("seq"))
    return entries, complete


def count_missed(after: int, *, reader: Reader, limit: int) -> int:
    """Return how many notifications after ``after`` the reader missed, at most ``limit``."""
    return pages.by_topic(reader, database(), limit, seq__gt=after).values("seq").count()
