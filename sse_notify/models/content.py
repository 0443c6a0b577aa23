"""The single declaration of a notification's content fields, and what is valid in them.

Each field is an argument of ``notify()`` and ``broadcast()`` and a column of ``Notification``. Its
declaration sets the argument's type and validation, the data that clients get, the admin form, the
options of ``manage.py notify``, and the columns that a repeat under a ``key`` resets. Labels,
lengths, choices and defaults come from the model's columns.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import Annotated, Any, Protocol, TypedDict

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sse_notify.sse.format import dumps

#: The allowed schemes of links. All others are refused, most importantly ``javascript:``.
SCHEMES = ("http", "https", "mailto", "tel")
#: Maximum nesting of JSON, in levels.
MAX_DEPTH = 100

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"\s*((?:[^\W_]|[+.-])+):")


class Kind(Enum):
    """How a field is validated, stored and entered in forms."""

    TEXT = auto()
    KEY = auto()
    """Text. An empty value is stored as NULL."""
    ADDRESS = auto()
    EVENT = auto()
    CHOICE = auto()
    JSON = auto()
    BUTTONS = auto()
    MOMENT = auto()
    FLAG = auto()
    INSTANCE = auto()
    """A model instance. Its type, primary key and name have one column each."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """The declaration of one field, apart from its type."""

    kind: Kind = Kind.TEXT
    section: str | Promise = ""
    """The section of the admin form that contains the field; "" if the form omits it."""
    help: str | Promise = ""
    """The help text in the form and in ``manage.py notify``. If empty, that has no such option."""
    is_sent: bool = True
    """Whether clients get the field."""


class HasAddress(Protocol):
    """An object that has its own URL, as many Django models do."""

    def get_absolute_url(self) -> str:
        """Return the URL."""


#: A string or a lazy translation.
Text = str | Promise

MESSAGE, BUTTONS, MORE = _("Message"), _("Buttons"), _("More")


class Message(TypedDict):
    """The arguments that ``notify()`` and ``broadcast()`` also take by position."""

    title: Annotated[Text, Field(section=MESSAGE)]
    body: Annotated[Text, Field(section=MESSAGE)]


class Content(TypedDict, total=False):
    """The keyword arguments that ``notify()`` and ``broadcast()`` share."""

    level: Annotated[str, Field(Kind.CHOICE, MESSAGE, _("How serious the notification is."))]
    url: Annotated[
        Text | HasAddress,
        Field(Kind.ADDRESS, MESSAGE, _("Where a click leads: a path on this site, or a full URL.")),
    ]
    category: Annotated[
        Text, Field(Kind.TEXT, MESSAGE, _("Users can filter their notifications by category."))
    ]
    icon: Annotated[str, Field(Kind.ADDRESS, MORE, _("The URL of a small image."))]
    actions: Annotated[
        Sequence[Mapping[str, Any]], Field(Kind.BUTTONS, BUTTONS, "A button; may be repeated.")
    ]
    actor: Annotated[models.Model | None, Field(Kind.INSTANCE)]
    target: Annotated[models.Model | None, Field(Kind.INSTANCE)]
    event: Annotated[str, Field(Kind.EVENT, is_sent=False)]
    key: Annotated[str, Field(Kind.KEY, help="A repeat with this key updates the same item.")]
    idempotency_key: Annotated[
        str, Field(Kind.KEY, help="A repeat with this key sends nothing.", is_sent=False)
    ]
    expires_at: Annotated[
        datetime | None,
        Field(Kind.MOMENT, MORE, _("From then on, it is neither shown nor counted.")),
    ]
    data: Annotated[Any, Field(Kind.JSON, help="For the site's own scripts.")]
    silent: Annotated[bool, Field(Kind.FLAG, MORE, _("Listed and counted, but not announced."))]


#: All fields by name, in the order of the payload and of the forms.
FIELDS: Mapping[str, Field] = {
    name: annotation.__metadata__[0]
    for declared in (Message, Content)
    for name, annotation in declared.__annotations__.items()
}


class Level(models.TextChoices):
    """How serious a notification is. The names are those of Django's message levels."""

    DEBUG = "debug", _("Debug")
    INFO = "info", _("Info")
    SUCCESS = "success", _("Success")
    WARNING = "warning", _("Warning")
    ERROR = "error", _("Error")


#: The states of long work. "stalled" is never stored: it is found when the row is read.
State = StrEnum("State", ("RUNNING", "DONE", "FAILED", "CANCELLED", "STALLED"))
#: The largest number of long work. JavaScript cannot represent all larger integers.
LARGEST = 2**53
#: The largest numbers of long work, 30 days for an estimate, and the lengths of its texts.
NUMBERS = {"done": LARGEST, "total": LARGEST, "percent": 100, "eta": 30 * 86_400}
LENGTHS = {"stage": 255, "message": 1000}


def check_json(value: Any, deepest: int = MAX_DEPTH) -> str:
    """Return the JSON text of ``value``, which consists of what JSON has.

    Raises:
        TypeError, ValueError: a stream cannot carry it.
        RecursionError: it is nested too deeply. A reader with a shorter stack could not read it.
    """
    text = dumps(value)
    text.encode()
    if text.count("[") + text.count("{") > deepest and _depth(value) > deepest:
        raise RecursionError
    return text


def _depth(value: Any) -> int:
    """Return the number of nested levels of lists and dictionaries."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return 0
    return 1 + max(map(_depth, value), default=0)


def wrong_in_address(address: str) -> str:
    """Return what an address must not be, as the end of a message; "" if it is valid."""
    # Browsers ignore tabs and newlines inside a scheme, and control characters before it.
    if _CONTROL.search(address):
        return "not contain control characters"
    scheme = _SCHEME.match(address)
    if scheme and scheme[1].lower() not in SCHEMES:
        return f"be a path or an address of {', '.join(SCHEMES)}, not of {scheme[1]}"
    return ""


def number(value: Any, most: float) -> float | None:
    """Return a number of JSON if it is from 0 to ``most``."""
    return value if type(value) in (int, float) and 0 <= value <= most else None  # not a bool
