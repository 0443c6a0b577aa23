"""Taking rows for writing: where rows can be locked, and on SQLite, which has one lock for everything."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, connections, transaction
from django.db.models import F

from sse_notify.models import LogHead

#: The key of the one row of `LogHead`.
HEAD_PK = 1


def begin_write(using: str) -> None:
    """Begin a transaction that reads before it writes.

    SQLite waits for its one lock if a transaction's first statement is a write; a write after a read would fail at once.
    """
    if not connections[using].features.has_select_for_update:
        LogHead.objects.using(using).filter(pk=HEAD_PK).update(seq=F("seq"))


def lock_head(using: str) -> int:
    """Lock the head of the log until the end of the transaction, and return its number; the row is made if there is none."""
    begin_write(using)
    heads = LogHead.objects.using(using).filter(pk=HEAD_PK)
    if connections[using].features.has_select_for_update:
        heads = heads.select_for_update()
    seq = heads.values_list("seq", flat=True).first()
    if seq is not None:
        return seq
    try:
        with transaction.atomic(using=using):
            LogHead.objects.using(using).create(pk=HEAD_PK)
    except IntegrityError:  # another process made it in the same moment
        pass
    return lock_head(using)


def locked(rows: Any, using: str) -> Any:
    """Return ``rows`` by key, locked until the end of the transaction, without those that another transaction has locked."""
    features = connections[using].features
    rows = rows.using(using).order_by("pk")
    if features.has_select_for_update:
        rows = rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked)
    return rows
