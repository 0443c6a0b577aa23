"""Read rows that ``notify()`` did not write: each column by itself, and each row by itself."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db import DataError, OperationalError
from django.utils import timezone

from sse_notify.models.content import Level, wrong_in_address
from sse_notify.sse.format import RESERVED_EVENTS

logger = logging.getLogger("sse_notify")

_LEVELS = frozenset(Level.values)
#: What Django and the database's drivers raise for a value that they cannot read.
_ERRORS = (ArithmeticError, AttributeError, DataError, OperationalError, TypeError, ValueError)


def read_text(value: Any) -> Any:
    """Return the text of a row, or ``None``. SQLite stores bytes in any column."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def read_address(value: Any) -> str:
    """Return the address of a row, "" if it is not valid."""
    address = read_text(value) or ""
    return "" if wrong_in_address(address) else address


def read_event(value: Any) -> Any:
    """Return the event of a row. What the stream itself says must not come from a row."""
    event = read_text(value)
    return "notification" if event in RESERVED_EVENTS else event


def read_level(value: Any) -> str:
    """Return the level of a row, "info" if it is none."""
    return value if value in _LEVELS else Level.INFO.value


def read_buttons(value: Any) -> list[dict[str, Any]]:
    """Return the valid ones of a row's buttons."""
    return [button for button in value if _is_button(button)] if isinstance(value, list) else []


def _is_button(button: Any) -> bool:
    label, url = map(button.get, ("label", "url")) if isinstance(button, dict) else (None, None)
    has_label = isinstance(label, str) and label.strip() != ""
    return has_label and isinstance(url, str) and not wrong_in_address(url)


def read_count(value: Any) -> int:
    """Return the count of a row, 1 if it is no whole number."""
    return value if isinstance(value, int) else 1


def read_created_at(value: Any) -> datetime:
    """Return the time of a row.

    Raises:
        ValueError: SQLite stores a text that is no time.
    """
    if value is None:
        raise ValueError("created_at is no time")
    return value  # type: ignore[no-any-return]


_TEXTS = ("audience", "topic", "title", "body", "category", "key", "idempotency_key")
_NAMES = ("actor_pk", "actor_name", "target_pk", "target_name")
#: By column, the function that returns its value without what is not valid in it.
READ: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys((*_TEXTS, *_NAMES), read_text),
    **dict.fromkeys(("icon", "url"), read_address),
    "event": read_event,
    "level": read_level,
    "actions": read_buttons,
    "count": read_count,
    "created_at": read_created_at,
    "silent": bool,
}


def span() -> tuple[datetime, datetime]:
    """Return the first and the last time that Python can read in any time zone."""
    zone = None if timezone.is_naive(timezone.now()) else UTC  # USE_TZ = False
    return datetime(2, 1, 1, tzinfo=zone), datetime(9998, 12, 31, tzinfo=zone)


def iso(moment: datetime | None) -> str | None:
    """Return ``moment`` in ISO 8601 with its UTC offset.

    Without the offset, a browser would read it in its own time zone. With ``USE_TZ = False``,
    moments are naive and in the project's time zone.
    """
    if moment is not None and timezone.is_naive(moment):
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return moment.isoformat() if moment is not None else None


def fetch(rows: Any, instead: Callable[[Any], Any] = lambda pk: None) -> list[Any]:
    """Return the rows of a queryset, without those that cannot be read.

    Databases have times that Python has not: ``infinity``, or the year 0. SQLite has text that is
    no UTF-8, and anything in any column.

    Args:
        rows: the queryset.
        instead: returns what stands for a row that cannot be read, given its primary key.

    Raises:
        django.db.Error: the database failed.
    """
    try:
        return list(rows)
    except _ERRORS as error:
        _raise_unless_unreadable(error)
        keys = list(rows.values_list("pk", flat=True))
    found = []
    for pk in keys:
        one = rows.all()
        one.query.clear_limits()
        try:
            found.append(one.filter(pk=pk).first())
        except _ERRORS as error:
            _raise_unless_unreadable(error)
            _log(rows.model.__name__, pk, str(error))
            found.append(instead(pk))
    return [row for row in found if row is not None]


def _raise_unless_unreadable(error: Exception) -> None:
    # SQLite's module has no error of its own for a text that is no UTF-8.
    if isinstance(error, OperationalError) and "decode" not in str(error):
        raise error


@lru_cache(1000)  # once for each row
def _log(name: str, pk: Any, error: str) -> None:
    logger.error("%s %s cannot be read, and is left out: %s", name, pk, error)
