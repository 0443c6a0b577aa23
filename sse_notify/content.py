"""What a notification says: the arguments of ``notify()`` and ``broadcast()``, checked before anything is written.

Every error names the argument. What passes here can be stored by every database and carried by every stream.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypedDict

from django.conf import settings  # noqa: TID251  (USE_TZ is Django's)
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils import timezone
from django.utils.functional import Promise

from sse_notify import wire
from sse_notify.conf import get_settings
from sse_notify.models import Level, Notification

#: The schemes that a link may have. Everything else, ``javascript:`` first of all, is refused when it is sent.
_SAFE_SCHEMES = frozenset({"http", "https", "mailto", "tel"})

#: Levels that ``data`` and ``actions`` may be nested.
MAX_DEPTH = 100

# A NUL as JSON writes it; with one more backslash before it, it is those six characters.
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class HasAddress(Protocol):
    """An object with an address of its own, as Django's models often have."""

    def get_absolute_url(self) -> str:
        """Return the address."""


class Content(TypedDict, total=False):
    """The keyword arguments that ``notify()`` and ``broadcast()`` share."""

    level: str
    url: str | Promise | HasAddress
    category: str | Promise
    event: str
    data: Any
    actor: Model | None
    target: Model | None
    icon: str
    actions: Sequence[Mapping[str, Any]]
    key: str
    idempotency_key: str
    expires_at: datetime | None
    silent: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """The columns of a `Notification` that its arguments fill."""

    columns: dict[str, Any]
    """Column name to value, without the recipient's."""

    @property
    def key(self) -> str | None:
        """The collapse key, if any."""
        key: str | None = self.columns["key"]
        return key

    @property
    def idempotency_key(self) -> str | None:
        """The idempotency key, if any."""
        key: str | None = self.columns["idempotency_key"]
        return key

    def row(self, **recipient: Any) -> Notification:
        """Return an unsaved row for the recipient."""
        return Notification(**self.columns, **recipient)


def check(title: str | Promise, body: str | Promise, content: Content) -> Checked:
    """Return the columns for these arguments.

    Raises:
        TypeError: an argument is of the wrong type or not known, or JSON cannot hold ``data``.
        ValueError: an argument's value is wrong, too long, or the event as a whole exceeds ``EVENT_MAX_BYTES``.
    """
    unknown = set(content) - set(Content.__annotations__)
    if unknown:
        raise TypeError(f"{', '.join(sorted(unknown))}: no such argument")
    columns: dict[str, Any] = {
        "title": _text("title", title, required=True),
        "body": _text("body", body),
        "level": _level(content.get("level", Level.INFO)),
        "url": _url("url", content.get("url", "")),
        "category": _text("category", content.get("category", "")),
        "event": _event(content.get("event", "notification")),
        "icon": _url("icon", content.get("icon", "")),
        "actions": _actions(content.get("actions", ())),
        "data": _json("data", content.get("data")),
        "key": _text("key", content.get("key", "")) or None,
        "idempotency_key": _text("idempotency_key", content.get("idempotency_key", "")) or None,
        "expires_at": _moment(content.get("expires_at")),
        "silent": bool(content.get("silent", False)),
        **_instance("actor", content.get("actor")),
        **_instance("target", content.get("target")),
    }
    _check_size(columns)
    return Checked(columns=columns)


def check_frame(frame: bytes, fields: Mapping[str, Any]) -> bytes:
    """Return ``frame`` if it is small enough.

    Raises:
        ValueError: it has more than ``EVENT_MAX_BYTES`` bytes; the message names the setting and the largest field.
    """
    limit = get_settings().EVENT_MAX_BYTES
    if len(frame) > limit:
        largest = max(fields, key=lambda name: len(wire.dumps(fields[name])))
        raise ValueError(
            f"{largest}: the event has {len(frame)} bytes, more than EVENT_MAX_BYTES = {limit}; this is its largest field"
        )
    return frame


def _text(name: str, value: Any, *, required: bool = False) -> str:
    if isinstance(value, Promise):  # a lazy translation, fixed in the language that is active now
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"{name}: text is needed, not {type(value).__name__}")
    if required and not value.strip():
        raise ValueError(f"{name}: must not be empty")
    if "\0" in value:
        raise ValueError(f"{name}: NUL is not allowed")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name}: holds a lone surrogate, which UTF-8 cannot carry") from error
    longest = getattr(Notification._meta.get_field(name), "max_length", None)
    if longest is not None and len(value) > longest:
        raise ValueError(f"{name}: {len(value)} characters, at most {longest} are allowed")
    return value


def _level(value: Any) -> str:
    if value not in Level.values:
        raise ValueError(f"level: one of {', '.join(Level.values)} is needed, not {value!r}")
    return str(value)


def _event(value: Any) -> str:
    name = _text("event", value)
    wire.check_event_name(name)
    if name in wire.RESERVED_EVENTS:
        raise ValueError(f"event: {name!r} is a name that the stream itself uses")
    return name


def _url(name: str, value: Any) -> str:
    if value is not None and hasattr(value, "get_absolute_url"):
        value = value.get_absolute_url()
    address = _text(name, value)
    # Browsers drop tabs and line ends inside a scheme, and control characters before it: none has a place in an address.
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in address):
        raise ValueError(f"{name}: control characters are not allowed")
    scheme, colon, _ = address.strip().partition(":")
    if (
        colon
        and scheme.replace("+", "").replace("-", "").replace(".", "").isalnum()
        and scheme.lower() not in _SAFE_SCHEMES
    ):
        raise ValueError(
            f"{name}: a path or an address of {', '.join(sorted(_SAFE_SCHEMES))} is needed, not {scheme}:"
        )
    return address


def _actions(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise TypeError("actions: a list of {'label': ..., 'url': ...} is needed")
    actions = []
    for action in value:
        if not isinstance(action, Mapping) or not {"label", "url"} <= set(action):
            raise ValueError("actions: each needs a 'label' and a 'url'")
        label = action["label"]
        if not isinstance(label, (str, Promise)) or not str(label).strip():
            raise ValueError("actions: a 'label' must not be empty")
        try:
            actions.append({**action, "label": str(label), "url": _url("url", action["url"])})
        except (TypeError, ValueError) as error:
            raise type(error)(f"actions: {error}") from error
    checked: list[dict[str, Any]] = _json("actions", actions)
    return checked


def _json(name: str, value: Any) -> Any:
    try:
        text = json.dumps(value, allow_nan=False)
        wire.dumps(value).encode()
        # What was checked is what is stored: tuples are lists and keys are text from here on, live as in replay.
        stored = json.loads(text)
    except UnicodeError as error:
        raise ValueError(f"{name}: holds a lone surrogate, which UTF-8 cannot carry") from error
    except RecursionError as error:
        raise ValueError(f"{name}: nested deeper than {MAX_DEPTH} levels") from error
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: JSON cannot hold it ({error})") from error
    _check_depth(name, stored)
    if _ESCAPED_NUL.search(text):
        raise ValueError(f"{name}: NUL is not allowed")
    return stored


def _check_depth(name: str, value: Any) -> None:
    """Refuse what could be written here, and not be read where the stack is deeper already: it would block its readers' logs."""
    level, depth = [value], 0
    while level := [
        child for parent in level if isinstance(parent, (dict, list)) for child in _children(parent)
    ]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"{name}: nested deeper than {MAX_DEPTH} levels")


def _children(parent: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return parent.values() if isinstance(parent, dict) else parent


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"expires_at: a datetime is needed, not {type(value).__name__}")
    if settings.USE_TZ and timezone.is_naive(value):
        raise ValueError("expires_at: an aware datetime is needed, as USE_TZ is on")
    if not settings.USE_TZ and timezone.is_aware(value):  # SQLite would refuse it, and later
        return timezone.make_naive(value)
    return value


def _instance(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Model):
        raise TypeError(f"{name}: a model instance is needed, not {type(value).__name__}")
    if value.pk is None:
        raise ValueError(f"{name}: the instance is not saved")
    longest: int = getattr(Notification._meta.get_field(f"{name}_name"), "max_length")  # noqa: B009  (the stubs' union lacks it)
    return {
        f"{name}_type": ContentType.objects.get_for_model(value, for_concrete_model=False),
        f"{name}_pk": str(value.pk),
        f"{name}_name": str(value).replace("\0", "")[:longest],
    }


def _check_size(columns: Mapping[str, Any]) -> None:
    probe = Notification(**columns, seq=wire.MAX_CURSOR, pk=wire.MAX_CURSOR)
    payload = probe.payload()
    check_frame(wire.encode_json(payload, event=probe.event, id=probe.seq), payload)
