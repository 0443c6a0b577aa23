"""The ``Notification`` model, which is the log; `sse_notify.models.content` declares its fields.

Rows may be written by a migration, a fixture, another version or SQL. What ``notify()`` would
refuse is read as the column's default. So nothing that uses rows has to check them: payloads,
templates, the admin, the project.
"""

import logging
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from time import time
from typing import Any, Self

from django.conf import settings  # noqa: TID251  (AUTH_USER_MODEL is Django's setting)
from django.contrib.contenttypes.fields import GenericForeignKey
from django.db import DataError, OperationalError, models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sse_notify.models.content import (
    FIELDS,
    LARGEST,
    LENGTHS,
    MAX_DEPTH,
    NUMBERS,
    Kind,
    Level,
    State,
    check_json,
    number,
)
from sse_notify.models.fields import ExactCharField, about
from sse_notify.models.querysets import NotificationQuerySet
from sse_notify.models.reading import READ, read_text
from sse_notify.sse.format import clean
from sse_notify.topics import Audience

logger = logging.getLogger("sse_notify")

#: What Django and the database's drivers raise for a value that they cannot read.
_ERRORS = (ArithmeticError, AttributeError, DataError, OperationalError, TypeError, ValueError)

_OPTIONAL: Any = {"blank": True, "related_name": "+"}
# Half characters and numbers that are none of JavaScript's. Other JSON text is not checked again.
_ODD = re.compile(r"\\u[dD][89a-fA-F]|Infinity|NaN|[0-9]{300}|[eE][+]?[0-9]{2}")


class Json(models.JSONField):
    """A JSON column. JSON that Python cannot read, or no stream can carry, is read as its text.

    PostgreSQL stores numbers of any length, and SQLite ``1e999`` and half characters.
    """

    def deconstruct(self) -> Any:
        """Return the column as Django's own, which it is for the database."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return the value, or its text."""
        try:
            read = super().from_db_value(value, expression, connection)
            is_plain = isinstance(value, str) and not _ODD.search(value)
            if read and not (is_plain and value.count("[") + value.count("{") <= MAX_DEPTH):
                check_json(read)
        except (RecursionError, ValueError):
            return read_text(value)
        return read


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
    topic = ExactCharField(_("topic"), max_length=100, editable=False)
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

    event = ExactCharField(_("event"), max_length=100, default="notification")
    level = models.CharField(_("level"), max_length=8, choices=Level, default=Level.INFO)
    title = models.CharField(_("title"), max_length=255)
    body = models.TextField(_("body"), blank=True)
    url = models.CharField(_("address"), max_length=2000, blank=True)
    category = ExactCharField(_("category"), max_length=100, blank=True)
    icon = models.CharField(_("icon"), max_length=500, blank=True)
    actions = Json(_("actions"), default=list, blank=True)
    data = Json(_("data"), null=True, blank=True)
    #: The state of long work, see `sse_notify.progress.store`; NULL if there is none.
    progress_state = Json(null=True, editable=False)

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
    key = ExactCharField(_("collapse key"), max_length=200, null=True, blank=True)
    idempotency_key = ExactCharField(_("idempotency key"), max_length=200, null=True, blank=True)
    count = models.PositiveIntegerField(_("repeats"), default=1)
    silent = models.BooleanField(_("silent"), default=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    #: When it was recalled. The row stays and gets a new ``seq``; streams send ``remove`` for it.
    recalled_at = models.DateTimeField(_("recalled"), null=True, editable=False)

    objects = NotificationQuerySet["Notification"].as_manager()

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

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Return the row, without what is not valid in it."""
        row = super().from_db(*args, **kwargs)
        columns = row.__dict__  # without those that are deferred
        for name in READ.keys() & columns.keys():
            value, (kinds, usual, read) = columns[name], READ[name]
            if type(value) not in kinds or (usual is not None and value not in usual):
                columns[name] = read(value)
        return row

    @property
    def progress(self) -> dict[str, Any] | None:
        """The state of long work as clients get it now; ``None`` if there is no long work.

        The work is shown as stalled if its worker has not reported for ``stalls_after`` seconds.
        The row may be written by hand, or by another version: what is invalid is left out.
        """
        stored = self.progress_state
        if not isinstance(stored, dict):
            return None
        state = stored.get("state")
        run: Any = stored.get("run")
        progress: dict[str, Any] = {"state": state}
        for name, most in NUMBERS.items():
            progress[name] = number(stored.get(name), most)
        for name, longest in LENGTHS.items():
            value = stored.get(name)
            progress[name] = clean(value)[:longest] if isinstance(value, str) else ""
        if state in (State.DONE, State.FAILED, State.CANCELLED):
            return progress
        is_run = isinstance(run, dict) and isinstance(run.get("id"), str)
        if state != State.RUNNING or not is_run:
            return None
        progress["cancellable"] = run.get("cancellable") is True
        stalls_after = number(run.get("stalls_after"), LARGEST) or 0
        left = stalls_after - (time() - (number(run.get("heard_at"), LARGEST) or 0))
        if left <= 0:
            return {**progress, "state": State.STALLED, "eta": None, "stalls_in": None}
        # At most `news_after`: the worker's clock may be ahead. Not 0: a page would refetch.
        news_after = number(run.get("news_after"), LARGEST) or stalls_after
        return {**progress, "stalls_in": max(0.1, round(min(left, news_after), 1))}

    def payload(self, *, muted: bool = False) -> dict[str, Any]:
        """Return the data that clients get, as JSON-serializable values.

        Args:
            muted: whether the user has muted the notification's category.
        """
        content: dict[str, Any] = {}
        for name, field in FIELDS.items():
            if field.kind is Kind.INSTANCE:
                kind, pk, text = (getattr(self, name + end) for end in ("_type_id", "_pk", "_name"))
                content[name] = about(kind, pk, text, self._state.db) if kind else None
                content[f"{name}_name"] = text
            elif field.is_sent:
                value = getattr(self, name)
                content[name] = iso(value) if field.kind is Kind.MOMENT else value
        content["key"] = self.key or ""
        return {
            "id": self.pk,
            "seq": self.seq,
            "count": self.count,
            "created_at": iso(self.created_at),
            "progress": self.progress,
            **content,
            # `silent` must be the last field: see `sse_notify.sse.control.muted`.
            "silent": self.silent or muted,
            **({"muted": True} if muted else {}),
        }


#: The columns of text and JSON that may be longer than 255 characters.
LONG_COLUMNS = [
    column.name
    for column in Notification._meta.concrete_fields
    if isinstance(column, (models.CharField, models.TextField, models.JSONField))
    and (column.max_length or LARGEST) > 255
]


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
