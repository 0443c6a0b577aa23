"""Heal a log whose head or numbers are not its own, as fixtures and SQL written by hand bring them.

Numbering continues after the largest number that a row or an inbox has. A row with a number that
leaves no room for the next ones becomes pending again, and is sent with a new number. No client can
have its place: no log gets that far, and JavaScript rounds numbers above 2**53. If the head itself
has such a number, it falls back to that of the rows. The streams then reset their clients, as after
a restored backup.
"""

from __future__ import annotations

import logging
from functools import lru_cache

from django.db import connections
from django.db.models import Max

from sse_notify.models import Inbox, LogHead, Notification
from sse_notify.sse.format import MAX_CURSOR

logger = logging.getLogger("sse_notify")

#: The largest number above the head that is taken over from a row. It leaves room for as many.
MAX_FOUND = 2**52
#: The largest head that is valid.
MAX_HEAD = 2**53 - 2**32


@lru_cache(8)
def lock_sql(using: str, *, waits: bool = True) -> str:
    """Return the SQL that locks the head, and returns its row and the largest numbers of others.

    Args:
        using: the alias of the database.
        waits: whether to wait if it is locked; otherwise there is no row then, if the database can.
    """
    # Not by the ORM: building its query takes a fifth of a short ``notify()``.
    head, largest = _parts(using)
    connection = connections[using]
    skips = not waits and connection.features.has_select_for_update_skip_locked
    has_locks = connection.features.has_select_for_update
    lock = connection.ops.for_update_sql(skip_locked=skips) if has_locks else ""
    return f"SELECT seq, floor, {largest} FROM {head} WHERE id = 1 {lock}"  # noqa: S608  (own names)


def find_problem(using: str) -> str:
    """Return why the head does not fit the numbers, in one sentence; "" if it does."""
    table, parts = _parts(using)
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT (SELECT seq FROM {table} WHERE id = 1), {parts}")  # noqa: S608
        head, *largest = (number or 0 for number in cursor.fetchone())
    if head > MAX_HEAD:
        return f"The head of the log is {head}, which leaves no room for more numbers."
    if max(largest) > head:
        last = f"a notification or an inbox has the number {max(largest)}"
        return f"The head of the log is {head}, but {last}: it was loaded without the head."
    return ""


def _parts(using: str) -> tuple[str, str]:
    """Return, in SQL, the table of the head, and the largest number of each other table."""
    quote = connections[using].ops.quote_name
    head, rows, inboxes = (quote(each._meta.db_table) for each in (LogHead, Notification, Inbox))
    parts = [f"(SELECT MAX(seq) FROM {rows})", f"(SELECT MAX(state_seq) FROM {inboxes})"]  # noqa: S608
    if connections[using].vendor == "sqlite":  # text in a column is larger than any number
        parts = [f"MIN({part}, {MAX_CURSOR})" for part in parts]
    return head, ", ".join(parts)


def heal(head: int, floor: int, largest: int, using: str) -> int:
    """Return the last number of the log, whose head is locked.

    Args:
        head, floor: as the head's row has them.
        largest: the largest number of all rows, and of the head.
        using: the alias of the log's database.
    """
    last = largest
    if last > max(head, MAX_FOUND) or head > MAX_HEAD:
        last = _drop_impossible(head, last, using)
    elif last > head:
        text = "The head of the log was %d, but a row has the number %d. Numbering continues there."
        logger.warning(text, head, last)
    if floor > last:  # no client could resume
        LogHead.objects.using(using).filter(pk=1).update(floor=last)
    return last


def _drop_impossible(head: int, largest: int, using: str) -> int:
    """Make rows with an impossible number pending, and return the last number of the others."""
    valid = head if 0 <= head <= MAX_HEAD else 0
    most = max(valid, MAX_FOUND)
    last = valid
    skips = connections[using].features.has_select_for_update_skip_locked
    for model, name in ((Notification, "seq"), (Inbox, "state_seq")):
        rows = model._base_manager.using(using)
        # Without those that others have locked: the next numbering finds them.
        odd = rows.filter(**{f"{name}__gt": most}).order_by("pk").values_list("pk", flat=True)
        odd = odd.select_for_update(skip_locked=skips)
        while pks := list(odd[:1000]):
            rows.filter(pk__in=pks).update(**{name: None})
        found = rows.filter(**{f"{name}__lte": most}).aggregate(last=Max(name))["last"]
        last = max(last, found or 0)
    for name in ("read_up_to", "seen_up_to", "archived_up_to"):
        # It would hide all that follows.
        Inbox.objects.using(using).filter(**{f"{name}__gt": most}).update(**{name: last})
    text = "The head of the log was %d, and the largest number %d, which cannot be. "
    logger.warning(f"{text}Such rows are numbered again, after %d.", head, largest, last)
    return last
