"""Where the log is: its one head row, and locks, also on SQLite, which has one lock for everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connections, router
from django.db.models import F

from sse_notify.models import LogHead, Notification

#: The key of the one row of `LogHead`.
HEAD_PK = 1


@dataclass(frozen=True, slots=True)
class Position:
    """How far the log is numbered, and from where it is complete."""

    head: int
    floor: int


def database() -> str:
    """Return the alias of the database that holds the log."""
    return router.db_for_write(Notification)


def get_position() -> Position:
    """Return the head and the floor of the log: one query."""
    row = LogHead.objects.using(database()).filter(pk=HEAD_PK).values_list("seq", "floor").first()
    return Position(*row) if row else Position(0, 0)


def get_head() -> int:
    """Return the newest number that was given out, 0 before the first."""
    return get_position().head


def raise_floor(to: int) -> None:
    """Refuse cursors before ``to`` after this transaction's commit: what they missed is gone.

    Holds the head until then, so it comes last.
    """
    LogHead.objects.using(database()).filter(pk=HEAD_PK, floor__lt=to).update(floor=to)


def begin_write(using: str) -> None:
    """Begin a transaction that reads before it writes.

    SQLite waits for its one lock if a transaction's first statement is a write; a write after a
    read would fail at once.
    """
    if not connections[using].features.has_select_for_update:
        LogHead.objects.using(using).filter(pk=HEAD_PK).update(seq=F("seq"))


def lock_head(using: str) -> int:
    """Lock the head of the log until the transaction ends, and return its number."""
    begin_write(using)
    heads = LogHead.objects.using(using).select_for_update()
    seq = heads.filter(pk=HEAD_PK).values_list("seq", flat=True).first()
    return heads.get_or_create(pk=HEAD_PK)[0].seq if seq is None else seq


def locked(rows: Any, using: str) -> Any:
    """Return ``rows`` by key, locked until the transaction ends, without those locked elsewhere."""
    skips = connections[using].features.has_select_for_update_skip_locked
    return rows.using(using).order_by("pk").select_for_update(skip_locked=skips)
