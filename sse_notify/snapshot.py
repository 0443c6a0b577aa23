"""What a handshake asks of the database, in three statements of plain SQL.

A thousand clients that come back at once are a thousand handshakes. Building these queries through the ORM takes ten times as long
as running them, so they are written out here, in SQL that SQLite, PostgreSQL and MySQL share. The rules are those of
`sse_notify.querysets`; a test compares the two over random inboxes. Everything else goes through the ORM.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from django.conf import settings  # noqa: TID251  (USE_TZ is Django's)
from django.db import connections
from django.utils import timezone

from sse_notify.log import Position, Reader, database
from sse_notify.models import Exclusion, Inbox, LogHead, Notification, Receipt
from sse_notify.topics import EVERYONE_TOPIC, STAFF_TOPIC, group_topic, user_topic

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.base_user import AbstractBaseUser


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The log and one inbox at one moment."""

    position: Position
    """How far the log is numbered."""
    state_seq: int | None
    """The number of the inbox's last change."""
    unread: int
    """Unread notifications up to the head."""
    unseen: int
    """Unseen notifications up to the head."""


def reader_of(user: AbstractBaseUser) -> Reader:
    """Return what ``user`` may read of the log: the topics of :func:`sse_notify.topics.topics_of`. One query, for the groups."""
    topics = [user_topic(user.pk), EVERYONE_TOPIC]
    if getattr(user, "is_staff", False):
        topics.append(STAFF_TOPIC)
    groups: Any = getattr(type(user), "groups", None)
    if groups is not None:  # a custom user model need not have groups
        quote = connections[database()].ops.quote_name
        field, table = groups.field, quote(groups.through._meta.db_table)
        source, target = quote(field.m2m_column_name()), quote(field.m2m_reverse_name())
        rows = _fetch(f"SELECT {target} FROM {table} WHERE {source} = %s", [_key_of(user.pk)])
        topics.extend(group_topic(pk) for (pk,) in rows)
    return Reader(topics=tuple(topics), user_id=user.pk, since=getattr(user, "date_joined", None))


def take(reader: Reader) -> Snapshot:
    """Return the state of the log and of the reader's inbox: two queries, one for an anonymous reader."""
    user = _key_of(reader.user_id) if reader.user_id is not None else None
    rows = _fetch(_HEAD, [user])
    head, floor, state_seq, read, seen, archived = rows[0] if rows else (0, 0, None, None, None, None)
    if user is None or not head:
        return Snapshot(position=Position(head, floor), state_seq=None, unread=0, unseen=0)
    unread, unseen = _counts(reader, user, head, read or 0, seen or 0, archived or 0)
    return Snapshot(position=Position(head, floor), state_seq=state_seq, unread=unread, unseen=unseen)


def _counts(reader: Reader, user: Any, head: int, read: int, seen: int, archived: int) -> tuple[int, int]:
    visible = _VISIBLE.format(topics=", ".join(["%s"] * len(reader.topics)))
    mine: list[Any] = [*reader.topics, _moment(timezone.now()), user]
    if reader.since is not None:
        visible += " AND (n.topic = %s OR n.created_at >= %s)"
        mine += [user_topic(reader.user_id), _moment(reader.since)]
    low = min(read, seen)
    # Above the watermarks, which is short; and what was marked unread below them, which its receipts name.
    rows = _fetch(
        f"{_ABOVE} AND {visible} UNION ALL {_AGAIN} AND {visible}",
        [read, seen, user, max(low, archived), head, *mine, user, low, archived, head, *mine],
    )
    return sum(row[0] or 0 for row in rows), sum(row[1] or 0 for row in rows)


_N, _R, _I, _H, _E = (model._meta.db_table for model in (Notification, Receipt, Inbox, LogHead, Exclusion))

_HEAD = f"""
SELECT h.seq, h.floor, i.state_seq, i.read_up_to, i.seen_up_to, i.archived_up_to
FROM {_H} h LEFT JOIN {_I} i ON i.user_id = %s WHERE h.id = 1
"""

_ABOVE = f"""
SELECT SUM(CASE WHEN r.read_at IS NULL AND (n.seq > %s OR r.unread_at IS NOT NULL) THEN 1 ELSE 0 END),
       SUM(CASE WHEN r.seen_at IS NULL AND n.seq > %s THEN 1 ELSE 0 END)
FROM {_N} n LEFT JOIN {_R} r ON r.notification_id = n.id AND r.user_id = %s
WHERE n.seq > %s AND n.seq <= %s AND r.archived_at IS NULL
"""

_AGAIN = f"""
SELECT COUNT(*), 0
FROM {_R} r JOIN {_N} n ON n.id = r.notification_id
WHERE r.user_id = %s AND r.unread_at IS NOT NULL AND r.read_at IS NULL AND r.archived_at IS NULL
AND n.seq <= %s AND n.seq > %s AND n.seq <= %s
"""

_VISIBLE = f"""
n.topic IN ({{topics}}) AND (n.expires_at IS NULL OR n.expires_at > %s)
AND NOT EXISTS (SELECT 1 FROM {_E} e WHERE e.user_id = %s AND e.notification_id = n.id)
"""


def _fetch(sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with connections[database()].cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _key_of(pk: Any) -> Any:
    """Return a user's key as the database takes it: not every one has a type for UUIDs."""
    return Inbox._meta.pk.get_db_prep_value(pk, connections[database()], prepared=False)


def _moment(value: datetime) -> Any:
    if settings.USE_TZ and timezone.is_naive(value):
        value = timezone.make_aware(value, UTC)
    return connections[database()].ops.adapt_datetimefield_value(value)
