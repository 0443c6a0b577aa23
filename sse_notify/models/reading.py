"""Replace invalid values in the rows of notifications when they are read from the database.

``notify()`` writes valid values only. Fixtures, SQL and other versions may have written others.
"""

from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from sse_notify.models.content import Level, wrong_in_address
from sse_notify.sse.format import RESERVED_EVENTS

_LEVELS = frozenset(Level.values)


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
        ValueError: SQLite stores a text that is no time; or in another time zone, the time has a
            year that Python has not.
    """
    if value is None or not 2 <= value.year <= 9998:
        raise ValueError(f"created_at is no time that can be shown: {value}")
    return value  # type: ignore[no-any-return]


_TEXTS = ("audience", "topic", "title", "body", "category", "key", "idempotency_key")
_NAMES = ("actor_pk", "actor_name", "target_pk", "target_name")

#: How to read each column: the types of a valid value; the values that need no more check, or
#: ``None`` if the type is enough; the function that returns a valid value for any other.
READ: Mapping[str, tuple[tuple[type, ...], Sequence[Any] | None, Callable[[Any], Any]]] = {
    **dict.fromkeys((*_TEXTS, *_NAMES), ((str, type(None)), None, read_text)),
    **dict.fromkeys(("icon", "url"), ((str,), ("",), read_address)),
    "event": ((str,), ("", "notification"), read_event),
    "level": ((str,), tuple(Level.values), read_level),
    "actions": ((list,), ([],), read_buttons),
    "count": ((int,), None, read_count),
    "created_at": ((), None, read_created_at),
    "silent": ((bool,), None, bool),
}


def span() -> tuple[datetime, datetime]:
    """Return the first and the last time that Python can read in any time zone."""
    zone = None if timezone.is_naive(timezone.now()) else UTC  # USE_TZ = False
    return datetime(2, 1, 1, tzinfo=zone), datetime(9998, 12, 31, tzinfo=zone)


Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def in_halves(
    answer: Callable[[Sequence[Asked]], list[Answer]],
    asked: Sequence[Asked],
    instead: Callable[[Asked], Answer],
) -> list[Answer]:
    """Return ``answer(asked)``; if it fails, ask for each half by itself, down to a single item.

    One user's row, or a project's own code, may fail in any way. It must not stop all others.

    Args:
        answer: returns the answers to several items, in their order.
        asked: the items.
        instead: logs the exception and returns the answer to an item that fails alone.

    Raises:
        django.db.Error: the database cannot be reached.
    """
    try:
        return answer(asked)
    except (OperationalError, InterfaceError):
        raise
    except (Exception, CancelledError):
        if len(asked) < 2:
            return [instead(each) for each in asked]
    half = len(asked) // 2
    return in_halves(answer, asked[:half], instead) + in_halves(answer, asked[half:], instead)
