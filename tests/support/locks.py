"""What transactions of a PostgreSQL or a MariaDB wait for, and at which isolation level."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.db import connection
from psycopg import IsolationLevel

_WAITING = {
    "postgresql": "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    "mysql": "information_schema.global_status"
    " WHERE variable_name = 'Innodb_row_lock_current_waits' AND variable_value > 0",
}
_LIMIT = {"postgresql": "SET lock_timeout = '{}s'", "mysql": "SET innodb_lock_wait_timeout = {}"}


def is_waited_for() -> bool:
    """Return whether a transaction waits for a lock now."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {_WAITING[connection.vendor]}")
        (waiting,) = cursor.fetchone()
    other.close()
    return bool(waiting)


def limit_waits(*, seconds: int) -> None:
    """Have this connection's statements fail that wait longer for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(_LIMIT[connection.vendor].format(seconds))


@contextmanager
def isolation_level(name: str) -> Iterator[None]:
    """Give every new connection, in any thread, an isolation level, such as "REPEATABLE READ"."""
    level: Any = name
    if connection.vendor == "postgresql":
        level = IsolationLevel[name.replace(" ", "_")]
    with patch.dict(connection.settings_dict["OPTIONS"], isolation_level=level):
        connection.close()
        yield
        connection.close()
