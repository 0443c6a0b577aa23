"""Validate the arguments of ``notify()`` and ``broadcast()`` before anything is written.

Every error message begins with the argument's name. Every database can store valid values, and
every stream can carry them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings  # noqa: TID251  (USE_TZ is Django's setting)
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.models import Model, QuerySet
from django.utils import timezone
from django.utils.functional import Promise

from sse_notify.conf import get_settings
from sse_notify.log.sequence import database
from sse_notify.models import Notification
from sse_notify.models.content import FIELDS, MAX_DEPTH, Content, Kind, check_json, wrong_in_address
from sse_notify.sse import format as sse_format
from sse_notify.sse.format import MAX_CURSOR, shown
from sse_notify.topics import has_key

#: The nesting of JSON that MariaDB stores is at most 31 levels.
MAX_DEPTH_MYSQL = 30

#: The most bytes that an event takes for one character of its texts (an escape has 6 bytes, and a
#: name is sent twice), and besides its texts.
CHARACTER_BYTES = 12
OVERHEAD_BYTES = 2048

# An escaped NUL in JSON. With another backslash before it, it is six literal characters.
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def check(
    title: str | Promise, body: str | Promise, content: Content, progress_state: Any = None
) -> dict[str, Any]:
    """Return the columns for these arguments. Missing arguments get their defaults.

    ``progress_state`` is only measured: the largest one that the row will have.

    Raises:
        TypeError: an argument has the wrong type or is unknown, or ``data`` is not
            JSON-serializable.
        ValueError: an argument's value is invalid or too long, or the whole event exceeds
            ``EVENT_MAX_BYTES``.
    """
    given: dict[str, Any] = {"title": title, "body": body, **content}
    if unknown := given.keys() - FIELDS.keys():
        raise TypeError(f"{min(unknown)} is not an argument.")
    columns = {**_defaults(), "actions": []}
    for name, field in FIELDS.items():
        if name not in given:
            continue
        if field.kind is Kind.INSTANCE:
            columns |= _instance(name, given[name])
        else:
            columns[name] = _CHECKS[field.kind](name, given[name])
    if progress_state is None and _is_short(columns):
        return columns
    # Measure the largest event that the row will be sent as, on any database.
    numbers = dict.fromkeys(("seq", "pk", "count"), MAX_CURSOR)
    probe = Notification(**columns, **numbers, progress_state=progress_state)
    payload = json.loads(sse_format.dumps(probe.payload(muted=True)), parse_float=_read_float)
    check_frame(sse_format.encode_json(payload, event=probe.event, id=probe.seq), payload)
    return columns


def _is_short(columns: Mapping[str, Any]) -> bool:
    """Return whether the event is smaller than ``EVENT_MAX_BYTES``, without encoding it."""
    texts = [value for value in columns.values() if isinstance(value, str)]
    texts += [sse_format.dumps(columns[name]) for name in ("data", "actions") if columns[name]]
    longest = OVERHEAD_BYTES + CHARACTER_BYTES * sum(map(len, texts))
    # PostgreSQL writes out the zeros of a large number.
    return longest <= get_settings().EVENT_MAX_BYTES and not any("e+" in text for text in texts)


@cache
def _defaults() -> dict[str, Any]:
    """Return the columns of the arguments that are not given."""
    columns: dict[str, Any] = {}
    for name, field in FIELDS.items():
        columns |= (
            _instance(name, None)
            if field.kind is Kind.INSTANCE
            else {name: _column(name).get_default()}
        )
    return columns


def check_frame(frame: bytes, fields: Mapping[str, Any]) -> bytes:
    """Return ``frame`` if it is small enough.

    Raises:
        ValueError: it has more than ``EVENT_MAX_BYTES`` bytes. The message names the setting and
            the largest field.
    """
    limit = get_settings().EVENT_MAX_BYTES
    if len(frame) > limit:
        largest = max(fields, key=lambda name: len(sse_format.dumps(fields[name])))
        size = f"the event has {len(frame)} bytes, more than EVENT_MAX_BYTES = {limit}"
        raise ValueError(f"{largest} must be smaller: {size}.")
    return frame


def check_event(event: Any) -> str:
    """Return ``event`` if it is a valid event name for a project.

    Raises:
        TypeError, ValueError: it is not a string, a stream cannot carry it, or the stream itself
            uses the name.
    """
    name = sse_format.check_event_name(event)
    if name in sse_format.RESERVED_EVENTS:
        raise ValueError(f"event must not be {name!r}, which the stream itself uses.")
    return name


def check_text(name: str, value: Any, longest: int | None) -> str:
    """Return ``value`` as a string that every database can store and every stream can carry.

    Raises:
        TypeError, ValueError: ``value`` is not a string, is too long, or contains NUL or a lone
            surrogate. The message begins with ``name``.
    """
    if isinstance(value, Promise):  # a lazy translation: store it in the active language
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}.")
    if "\0" in value:
        raise ValueError(f"{name} must not contain NUL.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} must not contain a lone surrogate.") from error
    if longest is not None and len(value) > longest:
        raise ValueError(f"{name} must have at most {longest} characters, not {len(value)}.")
    return value


def check_instance(name: str, value: Any, model: type[Model] = Model) -> Any:
    """Return the argument ``name`` if it is a saved instance of ``model``.

    Raises:
        TypeError, ValueError: it is not. The message begins with ``name``.
    """
    if not isinstance(value, model):
        kind = "a model instance" if model is Model else f"a {model.__name__}"
        # `__class__` of a lazy object such as `request.user` is the class of the wrapped object.
        raise TypeError(f"{name} must be {kind}, not {value.__class__.__name__}.")
    if not has_key(value):
        raise ValueError(f"{name} must be saved.")
    return value


def instance_keys(name: str, values: Any, model: type[Model]) -> list[Any]:
    """Return the primary keys of the instances in the argument ``name``, in order, each once.

    Raises:
        TypeError, ValueError: ``values`` is not an iterable or QuerySet of saved instances of
            ``model``. The message begins with ``name``.
    """
    if isinstance(values, QuerySet):
        if not issubclass(values.model, model):
            kinds = f"{model.__name__} objects, not of {values.model.__name__}"
            raise TypeError(f"{name} must be a QuerySet of {kinds}.")
        return list(dict.fromkeys(values.values_list("pk", flat=True)))
    # A lazy anonymous user has `__iter__`, so it looks like an iterable.
    is_iterable = isinstance(values, Iterable) and not hasattr(values, "is_anonymous")
    if not is_iterable or isinstance(values, (str, bytes)):
        kind = values.__class__.__name__
        raise TypeError(f"{name} must be an iterable of {model.__name__} objects, not {kind}.")
    return list(dict.fromkeys(check_instance(name, value, model).pk for value in values))


def _column(name: str) -> Any:
    return Notification._meta.get_field(name)


def _text(name: str, value: Any) -> str:
    text = _string(name, value)
    if not text.strip() and not _column(name).blank:
        raise ValueError(f"{name} must not be empty.")
    return text


def _string(name: str, value: Any, column: str = "") -> str:
    return check_text(name, value, _column(column or name).max_length)


def _choice(name: str, value: Any) -> str:
    values = [known for known, _label in _column(name).flatchoices]
    if value not in values:
        raise ValueError(f"{name} must be one of {', '.join(values)}, not {shown(value)}.")
    found: str = next(known for known in values if known == value)  # not an enum member
    return found


def _address(name: str, value: Any, column: str = "") -> str:
    if hasattr(value, "get_absolute_url"):
        value = value.get_absolute_url()
    elif not isinstance(value, (str, Promise)):
        kind = type(value).__name__
        raise TypeError(f"{name} must be a string or have get_absolute_url(), not {kind}.")
    address = _string(name, value, column)
    if wrong := wrong_in_address(address):
        raise ValueError(f"{name} must {wrong}.")
    return address


def _buttons(name: str, value: Any) -> Any:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        kind = type(value).__name__
        raise TypeError(f"{name} must be a list of {{'label': ..., 'url': ...}}, not {kind}.")
    buttons = []
    for number, button in enumerate(value):
        if not isinstance(button, Mapping) or not {"label", "url"} <= set(button):
            raise ValueError(f"{name}[{number}] must have a 'label' and a 'url'.")
        label = button["label"]
        if not isinstance(label, (str, Promise)) or not str(label).strip():
            raise ValueError(f"{name}[{number}]['label'] must be a string that is not empty.")
        url = _address(f"{name}[{number}]['url']", button["url"], "url")
        buttons.append({**button, "label": str(label), "url": url})
    return _json(name, buttons)


def _json(name: str, value: Any) -> Any:
    deepest = MAX_DEPTH_MYSQL if connections[database()].vendor == "mysql" else MAX_DEPTH
    try:
        text = check_json(value, deepest)
    except UnicodeError as error:
        raise ValueError(f"{name} must not contain a lone surrogate.") from error
    except RecursionError as error:
        raise ValueError(f"{name} must be nested at most {deepest} levels.") from error
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} must be JSON serializable: {error}.") from error
    if _ESCAPED_NUL.search(text):
        raise ValueError(f"{name} must not contain NUL.")
    return json.loads(text)  # the checked value: in it, tuples are lists and keys are strings


def _read_float(text: str) -> float:
    """Return the number as the database returns it that makes it longest.

    PostgreSQL returns ``1e+20`` as a whole number of 21 digits. SQLite returns it as it is, which
    is longer for ``1.2345678901234568e+17``.
    """
    whole = int(Decimal(text)) if "e+" in text else 0
    return whole if len(str(whole)) > len(text) else float(text)


def _moment(name: str, value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(value).__name__}.")
    if not 2 <= value.year <= 9998:  # in another time zone it may be another year
        raise ValueError(f"{name} must be in one of the years 2 to 9998.")
    if settings.USE_TZ and timezone.is_naive(value):
        raise ValueError(f"{name} must be an aware datetime, because USE_TZ is True.")
    if not settings.USE_TZ and timezone.is_aware(value):  # SQLite would refuse it at the insert
        return timezone.make_naive(value)
    return value


def _instance(name: str, value: Any) -> dict[str, Any]:
    """Return the columns: the type (a proxy has its own), the key and the name."""
    if value is None:
        return {f"{name}_type": None, f"{name}_pk": "", f"{name}_name": ""}
    check_instance(name, value)
    types = ContentType.objects.db_manager(database())
    return {
        f"{name}_type": types.get_for_model(value, for_concrete_model=False),
        f"{name}_pk": str(value.pk),
        f"{name}_name": sse_format.clean(str(value))[: _column(f"{name}_name").max_length],
    }


_CHECKS: Mapping[Kind, Callable[[str, Any], Any]] = {
    Kind.TEXT: _text,
    Kind.KEY: lambda name, value: _string(name, value) or None,
    Kind.ADDRESS: _address,
    Kind.EVENT: lambda name, value: check_event(_string(name, value)),
    Kind.CHOICE: _choice,
    Kind.BUTTONS: _buttons,
    Kind.JSON: _json,
    Kind.MOMENT: _moment,
    Kind.FLAG: lambda _name, value: bool(value),
}
