"""What a handshake asks of the database, in three statements.

A thousand clients that come back at once are a thousand handshakes, and building even a simple query through the ORM takes several
times as long as running it. So these are written out, in SQL that SQLite, PostgreSQL and MySQL share; tests compare them with the ORM's answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections

from sse_notify.conf import get_settings
from sse_notify.log import Position, Reader, database
from sse_notify.models import Inbox, LogHead, Mute, Notification
from sse_notify.topics import EVERYONE_TOPIC, STAFF_TOPIC, group_topic, user_topic

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The log and one inbox at one moment."""

    position: Position
    """How far the log is numbered."""
    state_seq: int | None = None
    """The number of the inbox's last change; ``None`` if there is none, or none that is numbered yet."""
    unread: int = 0
    """Unread notifications up to the head."""
    unseen: int = 0
    """Unseen notifications up to the head."""


def reader_of(user: AbstractBaseUser) -> Reader:
    """Return what ``user`` may read of the log: the topics of :func:`sse_notify.topics.topics_of`, and the muted categories. One query."""
    parts = [_MUTED]
    groups: Any = getattr(
        user.__class__, "groups", None
    )  # not type(): request.user is a lazy wrapper
    if groups is not None:  # a custom user model need not have groups
        quote = connections[database()].ops.quote_name
        field, table = groups.field, quote(groups.through._meta.db_table)
        source, target = quote(field.m2m_column_name()), quote(field.m2m_reverse_name())
        parts.append(f"SELECT NULL, {target} FROM {table} WHERE {source} = %s")
    rows = _fetch(" UNION ALL ".join(parts), [_key(user.pk)] * len(parts))
    return make_reader(
        user,
        [group for _, group in rows if group is not None],
        [category for category, _ in rows if category is not None],
    )


def make_reader(user: AbstractBaseUser, groups: Iterable[Any], muted: Iterable[str] = ()) -> Reader:
    """Return what ``user`` may read of the log.

    Args:
        user: who reads.
        groups: the user's, by their keys.
        muted: the categories that the user has muted; those that the project requires are heard all the same.
    """
    topics = [user_topic(user.pk), EVERYONE_TOPIC]
    if getattr(user, "is_staff", False):
        topics.append(STAFF_TOPIC)
    topics.extend(group_topic(pk) for pk in groups)
    silent = frozenset(muted) - get_settings().required if muted else frozenset()
    return Reader(
        topics=tuple(topics),
        user_id=user.pk,
        since=getattr(user, "date_joined", None),
        muted=silent,
    )


def take(reader: Reader, user: AbstractBaseUser | None) -> Snapshot:
    """Return the state of the log and of the user's inbox: two queries, one for an anonymous reader."""
    rows = _fetch(_HEAD, [_key(user.pk) if user is not None else None])
    head, floor, state_seq = rows[0] if rows else (0, 0, None)
    position = Position(head, floor)
    if user is None or not head:
        return Snapshot(position=position)
    unread, unseen = Notification.objects.using(database()).counts(
        user, up_to=head, topics=reader.topics
    )
    return Snapshot(position=position, state_seq=state_seq, unread=unread, unseen=unseen)


_MUTED = f"SELECT category, NULL FROM {Mute._meta.db_table} WHERE user_id = %s"
_HEAD = f"""
SELECT h.seq, h.floor, i.state_seq
FROM {LogHead._meta.db_table} h LEFT JOIN {Inbox._meta.db_table} i ON i.user_id = %s WHERE h.id = 1
"""


def _fetch(sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with connections[database()].cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _key(pk: Any) -> Any:
    """Return a user's key as the database takes it: not every one has a type for UUIDs."""
    return Inbox._meta.pk.get_db_prep_value(pk, connections[database()], prepared=False)
