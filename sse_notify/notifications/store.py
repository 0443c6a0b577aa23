"""Write notifications: inserts, repeats under a ``key`` or an ``idempotency_key``, and recalls.

All functions write in bulk, inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from operator import itemgetter
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections, transaction
from django.db.models import F
from django.db.models.functions import Least
from django.utils import timezone

from sse_notify.concurrency.threadpool import in_test_transaction
from sse_notify.log.announcing import announce_on_commit
from sse_notify.log.sequence import database, writing
from sse_notify.models import Audience, Exclusion, Notification, Receipt
from sse_notify.signals import notified, recalled
from sse_notify.sse import format as sse_format
from sse_notify.topics import user_topic

#: Rows in one statement. With all columns of a row, this is below SQLite's limit on variables.
CHUNK = 1000
#: How often a repeat is tried if another process inserts the same key at the same time.
ATTEMPTS = 3
#: The count of a row that is sent again. It stays at the largest that every database can store.
NEXT_COUNT = Least(F("count"), 2**31 - 2) + 1
#: Bytes of the events that one statement inserts on MariaDB. Escaped, they take up to 3.5 times as
#: many, and MariaDB refuses a statement of more than 16 MiB.
STATEMENT_BYTES = 4 * 1024 * 1024

#: Columns of a notification: its content or its recipient.
Columns = dict[str, Any]


def to_user(pk: Any) -> Columns:
    """Return the columns of a notification for one user."""
    return {"audience": Audience.USER, "topic": user_topic(pk), "recipient_id": pk}


def write(
    content: Columns, recipients: Sequence[Columns], excluded: Sequence[Any] = ()
) -> list[Notification]:
    """Write a row for each recipient, to be sent after the commit, and return the rows in order.

    Args:
        content: the columns from :func:`sse_notify.notifications.validation.check`.
        recipients: the columns of each recipient.
        excluded: the primary keys of users who do not get a broadcast.
    """
    if not recipients:
        return []
    using = database()
    rows: list[Notification] = []
    has_key = content["key"] is not None or content["idempotency_key"] is not None
    insert_all = _insert_or_repeat if has_key else _insert
    # One statement is a transaction by itself, and takes one round trip to the database.
    is_one = len(recipients) == 1 and not (has_key or excluded)
    is_alone = is_one and connections[using].get_autocommit()
    with nullcontext() if is_alone else writing(reads=has_key):
        for start in range(0, len(recipients), CHUNK):
            rows += insert_all(content, recipients[start : start + CHUNK], excluded, using)
    return rows


def check_chunked(to: Any, *, chunked: bool, on_progress: Any) -> None:
    """Check the arguments of a call that writes in several transactions.

    Raises:
        TypeError, ValueError: one is invalid. The message names it.
    """
    if on_progress is not None and not (chunked and callable(on_progress)):
        raise TypeError("on_progress must be a function, and needs chunked=True.")
    if not chunked:
        return
    if isinstance(to, get_user_model()):
        raise TypeError("chunked needs an iterable or QuerySet of users, or a Group.")
    if connections[database()].in_atomic_block and not in_test_transaction():
        raise ValueError("chunked must be used outside a transaction, as each chunk has its own.")


def write_in_chunks(
    content: Columns, keys: Sequence[Any], on_progress: Callable[[int, int], object] | None
) -> int:
    """Write a row for each user, ``CHUNK`` users in one transaction each, and return how many.

    Args:
        content: the columns from :func:`sse_notify.notifications.validation.check`.
        keys: the primary keys of the users.
        on_progress: called after each commit with the numbers of users so far, and of all.
    """
    using = database()
    is_plain = content["key"] is None and content["idempotency_key"] is None
    for done in range(0, len(keys), CHUNK):
        chunk = keys[done : done + CHUNK]
        if is_plain and connections[using].vendor == "postgresql" and not notified.has_listeners():
            with writing(reads=False):
                _insert_in_sql(content, chunk, using)
                announce_on_commit()
        else:
            write(content, list(map(to_user, chunk)))
        if on_progress is not None:
            on_progress(done + len(chunk), len(keys))
    return len(keys)


def take_back(pks: Sequence[int]) -> int:
    """Mark the rows as recalled, and return how many were not recalled before.

    Streams send the recall after the commit.
    """
    changed = 0
    with writing() as using:
        for start in range(0, len(pks), CHUNK):
            chunk = pks[start : start + CHUNK]
            rows = Notification.objects.using(using).filter(pk__in=chunk, recalled_at=None)
            found = list(rows.select_for_update().order_by("pk").values_list("pk", flat=True))
            # A repeat under the key is a new notification, so its count starts at 1.
            rows.filter(pk__in=found).update(recalled_at=timezone.now(), seq=None, count=0)
            # Also if none is found: it may have waited for another recall, which is pending now.
            announce_on_commit()
            if found:
                announce_on_commit(recalled, ids=found)
            changed += len(found)
    return changed


def insert(rows: list[Notification], using: str) -> list[Notification]:
    """Insert the rows and return them. Use one statement if that returns the primary keys."""
    connection = connections[using]
    if len(rows) > 1 and connection.features.can_return_rows_from_bulk_insert:
        size = len(rows)
        if connection.vendor == "mysql":
            largest = max(len(sse_format.encode_json(row.payload())) for row in rows)
            size = max(1, STATEMENT_BYTES // largest)
        return Notification.objects.using(using).bulk_create(rows, batch_size=size)
    for row in rows:  # MySQL does not return the keys of a bulk insert
        row.save(using=using, force_insert=True)
    return rows


def _insert_in_sql(content: Columns, keys: Sequence[Any], using: str) -> None:
    """Insert a row for each user in one statement, on PostgreSQL, without making the rows here."""
    connection: Any = connections[using]
    row = Notification(**content, **to_user(None))
    columns: list[str] = []
    values: list[Any] = []
    for field in Notification._meta.concrete_fields:
        if field.name not in {"id", "recipient", "topic"}:
            columns.append(connection.ops.quote_name(field.column))
            values.append(field.get_db_prep_save(field.pre_save(row, add=True), connection))
    recipient: Any = Notification._meta.get_field("recipient")
    prepared = [recipient.get_db_prep_save(key, connection) for key in keys]
    table = connection.ops.quote_name(Notification._meta.db_table)
    names, given = ", ".join(columns), ", ".join(["%s"] * len(columns))
    users = f"unnest(%s::{recipient.db_type(connection)}[], %s::text[])"
    sql = f"INSERT INTO {table} ({names}, recipient_id, topic) SELECT {given}, pk, topic"
    with connection.cursor() as cursor:
        cursor.execute(
            f"{sql} FROM {users} AS users (pk, topic)",
            [*values, prepared, [user_topic(key) for key in keys]],
        )


def _insert_or_repeat(
    content: Columns, recipients: Sequence[Columns], excluded: Sequence[Any], using: str
) -> list[Notification]:
    for _ in range(ATTEMPTS - 1):
        # Another process has inserted the key meanwhile, or pruned its row. Try again.
        with suppress(IntegrityError), transaction.atomic(using=using):
            return _try_to_repeat(content, recipients, excluded, using)
    with transaction.atomic(using=using):
        return _try_to_repeat(content, recipients, excluded, using)


def _try_to_repeat(
    content: Columns, recipients: Sequence[Columns], excluded: Sequence[Any], using: str
) -> list[Notification]:
    topics = {recipient["topic"] for recipient in recipients}
    rows = Notification.objects.using(using)
    found: dict[str, Notification] = {}
    repeated: list[Notification] = []
    if content["idempotency_key"] is not None:
        sent = rows.filter(topic__in=topics, idempotency_key=content["idempotency_key"])
        found = {row.topic: row for row in sent}
    if content["key"] is not None:
        same = rows.filter(topic__in=topics - found.keys(), key=content["key"])
        if pks := list(same.values_list("pk", flat=True)):
            repeated = _repeat(content, pks, excluded, using)
            found |= {row.topic: row for row in repeated}
    # In one order, so that two calls with the same users and the same new key cannot deadlock.
    new = [
        each for each in sorted(recipients, key=itemgetter("topic")) if each["topic"] not in found
    ]
    found |= {row.topic: row for row in _insert(content, new, excluded, using, repeated)}
    return [found[recipient["topic"]] for recipient in recipients]


def _repeat(
    content: Columns, pks: list[int], excluded: Sequence[Any], using: str
) -> list[Notification]:
    """Update the rows with the new content.

    The rows become pending and unread, and their counts grow by one.
    """
    now = {"created_at": timezone.now(), "recalled_at": None, "seq": None}
    columns = {"progress_state": None, **content, **now}
    # Without a new idempotency key, keep the old one: it must still stop a repeat of the first
    # call.
    if content["idempotency_key"] is None:
        del columns["idempotency_key"]
    rows = Notification.objects.using(using)
    if rows.filter(pk__in=pks).update(**columns, count=NEXT_COUNT) < len(pks):
        raise IntegrityError("a row was deleted in this moment")
    Receipt.objects.using(using).filter(notification_id__in=pks).delete()
    Exclusion.objects.using(using).filter(notification_id__in=pks).delete()
    repeated = list(rows.filter(pk__in=pks))
    _exclude(repeated, excluded, using)
    return repeated


def _insert(
    content: Columns,
    recipients: Sequence[Columns],
    excluded: Sequence[Any],
    using: str,
    repeated: Sequence[Notification] = (),
) -> list[Notification]:
    """Insert the rows, and tell of them and of those that were ``repeated``."""
    rows = insert([Notification(**content, **recipient) for recipient in recipients], using)
    _exclude(rows, excluded, using)
    if told := [*repeated, *rows]:
        announce_on_commit(notified, notifications=told)
    return rows


def _exclude(rows: Iterable[Notification], excluded: Sequence[Any], using: str) -> None:
    if excluded:
        exclusions = [Exclusion(notification=row, user_id=pk) for row in rows for pk in excluded]
        Exclusion.objects.using(using).bulk_create(exclusions, batch_size=CHUNK)
