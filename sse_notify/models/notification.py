"""The ``Notification`` model, which is the log, and the single declaration of its content fields.

Each field is an argument of ``notify()`` and ``broadcast()`` and a column of ``Notification``. Its
declaration sets the argument's type and validation, the data that clients get, the admin form, the
options of ``manage.py notify``, and the columns that a repeat under a ``key`` resets. Labels,
lengths, choices and defaults come from the model's columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from time import time
from typing import Annotated, Any, Protocol, TypedDict

from django.conf import settings  # noqa: TID251  (AUTH_USER_MODEL is Django's setting)
from django.contrib.contenttypes.fields import GenericForeignKey
from django.db import models
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sse_notify.models.querysets import NotificationQuerySet
from sse_notify.topics import Audience


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

_OPTIONAL: Any = {"blank": True, "related_name": "+"}


class Level(models.TextChoices):
    """How serious a notification is. The names are those of Django's message levels."""

    DEBUG = "debug", _("Debug")
    INFO = "info", _("Info")
    SUCCESS = "success", _("Success")
    WARNING = "warning", _("Warning")
    ERROR = "error", _("Error")


class Notification(models.Model):
    """One entry of the log, for one user or for a whole audience.

    ``seq`` is NULL from the insert until :mod:`sse_notify.log.sequence` numbers the row after the
    commit. Streams read rows in the order of ``seq``. The inbox also shows rows without ``seq``.
    """

    seq = models.BigIntegerField(_("sequence number"), null=True, unique=True, editable=False)
    audience = models.CharField(
        _("audience"), max_length=8, choices=Audience, default=Audience.USER
    )
    #: The routing key: "user:5", "group:3", "staff" or "everyone". Readers find their rows with one
    #: index on it.
    topic = models.CharField(_("topic"), max_length=100, editable=False)
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        db_index=False,
        **_OPTIONAL,
        verbose_name=_("recipient"),
    )
    group = models.ForeignKey(
        "auth.Group", models.CASCADE, null=True, **_OPTIONAL, verbose_name=_("group")
    )
    excluded = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Exclusion", **_OPTIONAL, verbose_name=_("excluded users")
    )

    event = models.CharField(_("event"), max_length=100, default="notification")
    level = models.CharField(_("level"), max_length=8, choices=Level, default=Level.INFO)
    title = models.CharField(_("title"), max_length=255)
    body = models.TextField(_("body"), blank=True)
    url = models.CharField(_("address"), max_length=2000, blank=True)
    category = models.CharField(_("category"), max_length=100, blank=True)
    icon = models.CharField(_("icon"), max_length=500, blank=True)
    actions = models.JSONField(_("actions"), default=list, blank=True)
    data = models.JSONField(_("data"), null=True, blank=True)
    #: The state of long work, see `sse_notify.progress.store`; NULL if there is none.
    progress_state = models.JSONField(null=True, editable=False)

    # The names are stored as text, so that they outlive the objects.
    actor_type = models.ForeignKey(
        "contenttypes.ContentType", models.SET_NULL, null=True, **_OPTIONAL
    )
    actor_pk = models.CharField(max_length=255, blank=True)
    actor_name = models.CharField(_("actor"), max_length=255, blank=True)
    # The types are stored like this. Otherwise Django would query a proxy model at every access.
    actor = GenericForeignKey("actor_type", "actor_pk", for_concrete_model=False)
    target_type = models.ForeignKey(
        "contenttypes.ContentType", models.SET_NULL, null=True, **_OPTIONAL
    )
    target_pk = models.CharField(max_length=255, blank=True)
    target_name = models.CharField(_("target"), max_length=255, blank=True)
    target = GenericForeignKey("target_type", "target_pk", for_concrete_model=False)

    # "No key" is NULL, not "", because every database allows repeated NULLs in a unique constraint.
    key = models.CharField(_("collapse key"), max_length=200, null=True, blank=True)
    idempotency_key = models.CharField(_("idempotency key"), max_length=200, null=True, blank=True)
    count = models.PositiveIntegerField(_("repeats"), default=1)
    silent = models.BooleanField(_("silent"), default=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    #: When it was recalled. The row stays and gets a new ``seq``; streams send ``remove`` for it.
    recalled_at = models.DateTimeField(_("recalled"), null=True, editable=False)

    objects = NotificationQuerySet.as_manager()

    # Added by NotificationQuerySet.visible_to().
    is_unread: bool
    is_unseen: bool
    is_archived: bool
    is_muted: bool

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        permissions = (("broadcast_notification", "Can broadcast notifications"),)
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("topic", "seq"), name="sse_notify_topic_seq"),
            # For the cascade when a user is deleted. No other query filters by recipient.
            models.Index(fields=("recipient",), name="sse_notify_recipient"),
        )
        constraints = (
            models.UniqueConstraint(fields=("topic", "key"), name="sse_notify_one_row_per_key"),
            models.UniqueConstraint(
                fields=("topic", "idempotency_key"), name="sse_notify_idempotent"
            ),
        )

    def __str__(self) -> str:
        return self.title

    @property
    def progress(self) -> dict[str, Any] | None:
        """The state of long work as clients get it now; ``None`` if there is no long work.

        The work is shown as stalled if its worker has not reported for ``stalls_after`` seconds.
        """
        if self.progress_state is None:
            return None
        progress = dict(self.progress_state)
        run = progress.pop("run", None)
        if run is None:  # the work has ended
            return progress
        progress["cancellable"] = run["cancellable"]
        left = run["stalls_after"] - (time() - run["heard_at"])
        if left <= 0:
            return {**progress, "state": "stalled", "eta": None, "stalls_in": None}
        # At most `stalls_after`: the worker's clock may be ahead. Not 0: a page would refetch.
        return {**progress, "stalls_in": max(0.1, round(min(left, run["stalls_after"]), 1))}

    def payload(self, *, muted: bool = False) -> dict[str, Any]:
        """Return the data that clients get, as JSON-serializable values.

        Args:
            muted: whether the user has muted the notification's category.
        """
        content: dict[str, Any] = {}
        for name, field in FIELDS.items():
            if field.is_sent:
                value = getattr(self, f"{name}_name" if field.kind is Kind.INSTANCE else name)
                content[name] = iso(value) if field.kind is Kind.MOMENT else value
        content["key"] = self.key or ""
        if (progress := self.progress) is not None:
            content["data"] = {**(self.data or {}), "progress": progress}
        return {
            "id": self.pk,
            "seq": self.seq,
            "count": self.count,
            "created_at": iso(self.created_at),
            **content,
            # `silent` must be the last field: see `sse_notify.sse.control.muted`.
            "silent": self.silent or muted,
            **({"muted": True} if muted else {}),
        }


def iso(moment: datetime | None) -> str | None:
    """Return ``moment`` in ISO 8601 with its UTC offset.

    Without the offset, a browser would read it in its own time zone. With ``USE_TZ = False``,
    moments are naive and in the project's time zone.
    """
    if moment is not None and timezone.is_naive(moment):
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return moment.isoformat() if moment is not None else None
