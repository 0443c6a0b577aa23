"""Count the unread and unseen notifications of many inboxes with one query.

The SQL is handwritten because ``hello`` and every mark need it, and the ORM takes ten times as
long to build the query as the database takes to run it. The query reads short index ranges,
however long an inbox is: the rows above the user's watermarks by (topic, seq), and the overrides
below the watermarks by the user's receipts. A test compares the results with the annotated rows of
`sse_notify.models.querysets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections, transaction
from django.utils import timezone

from sse_notify.conf import get_settings

#: Pairs of an owner and a topic in one query: databases limit the variables of a statement.
PARTS = 1000
#: No ``seq`` is larger.
_END = 2**63 - 1

# The subqueries are correlated so that every database reads the index (topic, seq) once for each
# user and topic. CROSS JOIN stops SQLite from starting with the long table. "+ 0" stops PostgreSQL
# from using the index on seq alone, which would read the rows of all users.
_SQL = """
WITH part (number, user_id, topic, since, up_to) AS (VALUES {parts}),
required (category) AS (VALUES {required}),
w AS (
    SELECT p.number, p.user_id, p.topic, p.since, p.up_to, %s AS moment,
        COALESCE(i.read_up_to, 0) AS was_read, COALESCE(i.seen_up_to, 0) AS was_seen,
        COALESCE(i.archived_up_to, 0) AS was_archived,
        COALESCE({greatest}(i.read_up_to, i.archived_up_to), 0) AS unread_after,
        COALESCE({greatest}(i.seen_up_to, i.archived_up_to), 0) AS unseen_after
    FROM part p LEFT JOIN {Inbox} i ON i.user_id = p.user_id
)
SELECT w.number,
    (SELECT COUNT(*) {log} AND n.seq > w.unread_after AND n.seq + 0 <= w.up_to {without_read_at})
    + (SELECT COUNT(*) {log} AND n.seq IS NULL AND w.up_to = {end} {without_read_at})
    + (SELECT COUNT(*) {receipts} AND r.read_at IS NULL AND r.unread_at IS NOT NULL
        AND n.seq > w.was_archived AND n.seq <= w.was_read)
    + (SELECT COUNT(*) {receipts} AND r.read_at IS NULL AND r.unarchived_at IS NOT NULL
        AND n.seq <= w.was_archived AND (n.seq > w.was_read OR r.unread_at IS NOT NULL)),
    (SELECT COUNT(*) {log} AND n.seq > w.unseen_after AND n.seq + 0 <= w.up_to {without_seen_at})
    + (SELECT COUNT(*) {log} AND n.seq IS NULL AND w.up_to = {end} {without_seen_at})
    + (SELECT COUNT(*) {receipts} AND r.seen_at IS NULL AND r.unarchived_at IS NOT NULL
        AND n.seq <= w.was_archived AND n.seq > w.was_seen)
FROM w
"""
_RECEIPTS = """
    FROM {Receipt} r CROSS JOIN {Notification} n
    WHERE r.user_id = w.user_id AND r.archived_at IS NULL AND n.id = r.notification_id
    AND n.seq <= w.up_to AND {theirs}
"""
_THEIRS = """
    n.topic = w.topic AND n.created_at >= w.since
    AND (n.expires_at IS NULL OR n.expires_at > w.moment) AND n.recalled_at IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM {Exclusion} x WHERE x.user_id = w.user_id AND x.notification_id = n.id
    )
    AND NOT EXISTS (
        SELECT 1 FROM {Mute} m WHERE m.user_id = w.user_id AND m.category = n.category
        AND NOT EXISTS (SELECT 1 FROM required q WHERE q.category = m.category)
    )
"""
_WITHOUT = """
    AND NOT EXISTS (
        SELECT 1 FROM {Receipt} r WHERE r.user_id = w.user_id AND r.notification_id = n.id
        AND (r.archived_at IS NOT NULL OR r.{stamp} IS NOT NULL)
    )
"""


class Owner(NamedTuple):
    """The owner of an inbox to count."""

    user_id: Any
    topics: Sequence[str]
    """The user's topics in the log, the user's own first."""
    since: datetime | None
    """When the user joined. Older broadcasts do not count; ``None``: all broadcasts count."""
    up_to: int = _END
    """Count only rows numbered up to here; by default all rows, also pending ones."""


def count(owners: Iterable[Owner], using: str) -> list[tuple[int, int]]:
    """Return the exact (unread, unseen) counts of ``owners``, in one query per 1,000 topics.

    Args:
        owners: the owners of the inboxes.
        using: the database alias.
    """
    connection, now = connections[using], timezone.now()
    to_database = connection.ops.adapt_datetimefield_value
    # 100 years: the user's own notifications have no lower bound.
    long_ago = now - timedelta(days=36_525)
    found: list[tuple[int, int]] = []
    values: list[Any] = []
    for number, owner in enumerate(owners):
        found.append((0, 0))
        key = get_user_model()._meta.pk.get_db_prep_value(owner.user_id, connection)
        for topic in owner.topics:
            since = long_ago if topic == owner.topics[0] else owner.since or long_ago
            values += (number, key, topic, to_database(since), owner.up_to)
    required = [None, *sorted(get_settings().required)]  # VALUES cannot be empty
    for start in range(0, len(values), 5 * PARTS):
        part = values[start : start + 5 * PARTS]
        sql = _sql(using, len(part) // 5, len(required))
        with _without_jit(using, len(found)), connection.cursor() as cursor:
            cursor.execute(sql, [*part, *required, to_database(now)])
            for number, unread, unseen in cursor:
                found[number] = (found[number][0] + unread, found[number][1] + unseen)
    return found


@contextmanager
def _without_jit(using: str, owners: int) -> Iterator[None]:
    """Turn off PostgreSQL's JIT compiler for many owners.

    The cost estimates of all owners add up and would start it. It takes longer than the query.
    """
    if owners == 1 or connections[using].vendor != "postgresql":
        yield
        return
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        yield


@lru_cache(32)
def _sql(using: str, parts: int, required: int) -> str:
    connection: Any = connections[using]
    is_mysql = connection.vendor == "mysql" and not connection.mysql_is_mariadb
    row = "ROW" if is_mysql else ""
    models = apps.get_app_config("sse_notify").get_models()
    names = {model.__name__: connection.ops.quote_name(model._meta.db_table) for model in models}
    theirs = _THEIRS.format(**names)
    return _SQL.format(
        **names,
        end=_END,
        greatest="MAX" if connection.vendor == "sqlite" else "GREATEST",
        parts=", ".join([f"{row}(%s, %s, %s, %s, %s)"] * parts),
        required=", ".join([f"{row}(%s)"] * required),
        log=f"FROM {names['Notification']} n WHERE {theirs}",
        receipts=_RECEIPTS.format(**names, theirs=theirs),
        without_read_at=_WITHOUT.format(**names, stamp="read_at"),
        without_seen_at=_WITHOUT.format(**names, stamp="seen_at"),
    )
