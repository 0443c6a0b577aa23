"""The table of django-notifications-hq, or of a fork of it, as rows to read: whether the package is still installed or gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.apps.registry import Apps
from django.conf import settings  # noqa: TID251  (the other package's setting)
from django.db import connections, models, router

from sse_notify.log import database

#: The table, unless the package is installed with a model of the project's own.
TABLE = "notifications_notification"

_OBJECT = ("content_type_id", "object_id")
#: Every column that is read, with whether the table must have it; early versions had not all.
_COLUMNS: dict[str, tuple[models.Field[Any, Any], bool]] = {
    "id": (models.BigAutoField(primary_key=True), True),
    # As the database has it: users' keys are of any type.
    "recipient_id": (models.TextField(), True),
    "level": (models.TextField(), True),
    "unread": (models.BooleanField(), True),
    "verb": (models.TextField(), True),
    "description": (models.TextField(null=True), True),
    "timestamp": (models.DateTimeField(), True),
    "public": (models.BooleanField(), False),
    "deleted": (models.BooleanField(), False),
    "emailed": (models.BooleanField(), False),
    "data": (models.TextField(null=True), False),
    **{
        f"{name}_content_type_id": (models.IntegerField(null=True), True)
        for name in ("actor", "target", "action_object")
    },
    **{
        f"{name}_object_id": (models.TextField(null=True), True)
        for name in ("actor", "target", "action_object")
    },
}


class NoSuchTable(Exception):
    """Raised when the table is not there, or is another package's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where the rows are."""

    using: str
    """The database's alias."""
    table: str
    """The table's name."""


def find(table: str = "", using: str = "") -> Source:
    """Return where the rows are: what is given, else the installed package's own table, else the usual one.

    Args:
        table: the table's name.
        using: the database's alias.
    """
    setting = getattr(settings, "NOTIFICATIONS_NOTIFICATION_MODEL", "notifications.Notification")
    try:
        model = apps.get_model(setting)
    except (LookupError, ValueError):  # it is gone from INSTALLED_APPS
        return Source(using=using or database(), table=table or TABLE)
    return Source(
        using=using or router.db_for_read(model) or database(), table=table or model._meta.db_table
    )


def rows(source: Source) -> models.QuerySet[Any]:
    """Return the rows of ``source``. What they lack is not among their attributes.

    Raises:
        NoSuchTable: see there; the message says what is missing.
        django.db.Error: the database refuses.
    """
    if source.using not in connections:
        raise NoSuchTable(f"there is no database {source.using!r} in DATABASES")
    connection = connections[source.using]
    with connection.cursor() as cursor:
        if source.table not in connection.introspection.table_names(cursor):
            raise NoSuchTable(f"the database {source.using!r} has no table {source.table!r}")
        there = {
            column.name
            for column in connection.introspection.get_table_description(cursor, source.table)
        }
    missing = [name for name, (_, needed) in _COLUMNS.items() if needed and name not in there]
    if missing:
        raise NoSuchTable(
            f"the table {source.table!r} has no {', '.join(missing)}: it is not of django-notifications"
        )
    # A registry of its own: to the project this model does not exist.
    meta = type(
        "Meta",
        (),
        {"app_label": "sse_notify", "apps": Apps(), "db_table": source.table, "managed": False},
    )
    fields = {name: field.clone() for name, (field, _) in _COLUMNS.items() if name in there}
    model: Any = type("Activity", (models.Model,), {"__module__": __name__, "Meta": meta, **fields})
    found: models.QuerySet[Any] = model._base_manager.using(source.using).order_by("pk")
    return found


def batches(found: models.QuerySet[Any], size: int) -> Iterator[list[Any]]:
    """Yield all rows in lists of ``size`` at most, by key: a short query each, whatever the table's size."""
    last: Any = None
    while batch := list((found if last is None else found.filter(pk__gt=last))[:size]):
        yield batch
        last = batch[-1].pk


def data_of(row: Any) -> Any:
    """Return the row's ``data``, which is text, or JSON of the database's own."""
    data = getattr(row, "data", None)
    if not isinstance(data, str):
        return data
    try:
        return json.loads(data) if data else None
    except ValueError:
        return data
