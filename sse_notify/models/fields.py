"""The fields of a notification, declared once.

Each field is an argument of ``notify()`` and ``broadcast()`` and a column of ``Notification``. This
declaration decides the arguments' types and validation, the data that clients get, the admin's
form, the options of ``manage.py notify``, and the columns that a repeat under a ``key`` resets.
Labels, lengths, choices and defaults come from the model's columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Annotated, Any, Protocol, TypedDict

from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Kind(Enum):
    """How a field is validated, stored and asked for."""

    TEXT = auto()
    KEY = auto()
    """Text that is stored as NULL if it is empty."""
    ADDRESS = auto()
    EVENT = auto()
    CHOICE = auto()
    JSON = auto()
    BUTTONS = auto()
    MOMENT = auto()
    FLAG = auto()
    INSTANCE = auto()
    """A model instance: its type, its key and its name have a column each."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """What is said about one field besides its type."""

    kind: Kind = Kind.TEXT
    section: str | Promise = ""
    """The part of the admin's form that asks for it; "" if the form does not."""
    help: str | Promise = ""
    """What the form and ``manage.py notify`` say about it; without it there is no such option."""
    is_sent: bool = True
    """Whether clients get it."""


class HasAddress(Protocol):
    """An object with an address of its own, as Django's models often have."""

    def get_absolute_url(self) -> str:
        """Return the address."""


MESSAGE, BUTTONS, MORE = _("Message"), _("Buttons"), _("More")


class Message(TypedDict):
    """The arguments that ``notify()`` and ``broadcast()`` also take by position."""

    title: Annotated[str | Promise, Field(section=MESSAGE)]
    body: Annotated[str | Promise, Field(section=MESSAGE)]


class Content(TypedDict, total=False):
    """The keyword arguments that ``notify()`` and ``broadcast()`` share."""

    level: Annotated[str, Field(Kind.CHOICE, MESSAGE, _("How serious the notification is."))]
    url: Annotated[
        str | Promise | HasAddress,
        Field(
            Kind.ADDRESS,
            MESSAGE,
            _("Where a click leads: a path on this site, or a full URL."),
        ),
    ]
    category: Annotated[
        str | Promise,
        Field(Kind.TEXT, MESSAGE, _("Users can filter their notifications by category.")),
    ]
    icon: Annotated[str, Field(Kind.ADDRESS, MORE, _("The URL of a small image."))]
    actions: Annotated[
        Sequence[Mapping[str, Any]], Field(Kind.BUTTONS, BUTTONS, "A button; may be repeated.")
    ]
    actor: Annotated[Model | None, Field(Kind.INSTANCE)]
    target: Annotated[Model | None, Field(Kind.INSTANCE)]
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


#: All fields by name, in the order in which clients are sent them and forms ask for them.
FIELDS: Mapping[str, Field] = {
    name: annotation.__metadata__[0]
    for declared in (Message, Content)
    for name, annotation in declared.__annotations__.items()
}
