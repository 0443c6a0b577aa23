"""``manage.py import_notifications_hq``: import the notifications of django-notifications-hq.

An imported notification appears in its user's list, read or unread as before. No stream sends it,
because its ``event`` is empty (see `sse_notify.log.sequence`). At the end, each user's open pages
get one event that makes them fetch their list again. The ``idempotency_key`` of each row holds the
key of its source row, so a second run imports only new rows.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.apps.registry import Apps
from django.conf import settings  # noqa: TID251  (the other package's setting)
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, connections, models, router

from sse_notify import retention
from sse_notify.compat.notifications_hq import Thing, address_of, data_of, phrase
from sse_notify.inbox.marks import check_number
from sse_notify.log.announcing import announce_on_commit
from sse_notify.log.sequence import database, insert_missing, writing
from sse_notify.management import progress
from sse_notify.models import Inbox, Notification, Receipt
from sse_notify.models.content import Content
from sse_notify.notifications import validation
from sse_notify.notifications.store import ATTEMPTS, insert, to_user
from sse_notify.topics import user_topic

#: The table's default name. An installed package may use a custom model with another table.
TABLE = "notifications_notification"
#: Rows or inboxes per transaction.
BATCH = 500

_THINGS = ("actor", "target", "action_object")
_TEXT = models.TextField(null=True)
#: The columns to read. Foreign keys are read as text, because they can have any type.
_COLUMNS: dict[str, models.Field[Any, Any]] = {
    "id": models.BigAutoField(primary_key=True),
    "timestamp": models.DateTimeField(),
    **dict.fromkeys(("unread", "public", "deleted"), models.BooleanField()),
    **dict.fromkeys(("recipient_id", "level", "verb", "description", "data"), _TEXT),
    **{f"{thing}_object_id": _TEXT for thing in _THINGS},
    **{f"{thing}_content_type_id": models.IntegerField(null=True) for thing in _THINGS},
}


class Command(BaseCommand):
    """Read the other package's table, and never write to it. The package may be uninstalled."""

    help = (
        "Import the notifications of django-notifications-hq (or django-notifications-community), "
        "read or unread as they are. Their table is only read. The package may be installed or "
        "gone. A second run imports only what is new. Nobody is alerted; open pages fetch their "
        "list once. Exit codes: 0 done; 1 no such table, a wrong value, or the database refuses; "
        "130 stopped by Ctrl-C, and the next run goes on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        age = parser.add_mutually_exclusive_group()
        days = "leave out what is older than this (RETENTION_DAYS), as it would be pruned at once"
        age.add_argument("--days", type=float, help=days)
        age.add_argument("--all", action="store_true", help="import everything, however old")
        batch = "rows of one transaction (%(default)s)"
        parser.add_argument("--batch", type=int, default=BATCH, help=batch)
        dry_run = "say what would be imported, and write nothing"
        parser.add_argument("--dry-run", action="store_true", help=dry_run)
        table = f"the table (that of the installed package, or {TABLE})"
        parser.add_argument("--table", default="", help=table)
        database = "the database of the table (that of the installed package, or this package's)"
        parser.add_argument("--database", default="", metavar="ALIAS", help=database)

    def handle(self, *args: Any, batch: int, dry_run: bool, verbosity: int, **given: Any) -> None:
        """Import the rows; print how many, and how many were left out and why."""
        try:
            check_number("batch", batch, 1, retention.MAX_BATCH, is_whole=True)
            since = None if given["all"] else retention.oldest_kept(given["days"])
            rows = _find_rows(given["table"], given["database"])
        except ValueError as error:
            raise CommandError(f"--{error}") from error
        except LookupError as error:
            raise CommandError(f"Nothing to import. {error}") from error
        report: Counter[str] = Counter(imported=0)
        users: set[Any] = set()
        last = 0
        with progress(self.stderr, rows.count(), verbosity) as advance:
            try:
                # Page by primary key: that stays fast in a large table.
                while chunk := list(rows.filter(pk__gt=last)[:batch]):
                    young = [row for row in chunk if since is None or row.timestamp >= since]
                    report["older"] += len(chunk) - len(young)
                    users |= _import(young, report, dry_run=dry_run)
                    last = chunk[-1].pk
                    advance(len(chunk))
            finally:
                _reset_inboxes(sorted(users))
        if verbosity > 0:
            imported = f"{report.pop('imported'):,} notifications."
            self.stdout.write(f"{'Would import' if dry_run else 'Imported'} {imported}")
            for why, number in (+report).most_common():
                self.stdout.write(f"Left out: {number:,}, {why}")
            if report["older"]:
                older = "--all imports the older ones too"
                self.stdout.write(f"{older}; prune_notifications deletes them at its next run.")


def _find_rows(table: str, using: str) -> models.QuerySet[Any]:
    """Return the rows of ``table``, or of the installed package's table, or of :data:`TABLE`.

    Raises:
        LookupError: there is no such table, or its columns do not match.
    """
    with suppress(LookupError, ValueError):  # it is not in INSTALLED_APPS
        name = getattr(settings, "NOTIFICATIONS_NOTIFICATION_MODEL", "notifications.Notification")
        installed = apps.get_model(name)
        using = using or router.db_for_read(installed)
        table = table or installed._meta.db_table
    using, table = using or database(), table or TABLE
    if using not in connections:
        raise LookupError(f"DATABASES has no alias {using!r}.")
    introspection = connections[using].introspection
    with connections[using].cursor() as cursor:
        if table not in introspection.table_names(cursor):
            raise LookupError(f"The database {using!r} has no table {table!r}.")
        found = {column.name for column in introspection.get_table_description(cursor, table)}
    if missing := ", ".join(sorted(_COLUMNS.keys() - found)):
        text = f"The table {table!r} is not of django-notifications: it has no {missing}."
        raise LookupError(text)
    # A separate registry hides this model from the project.
    options = {"app_label": "sse_notify", "apps": Apps(), "db_table": table}
    fields = {name: field.clone() for name, field in _COLUMNS.items()}
    body = {"__module__": __name__, "Meta": type("Meta", (), options), **fields}
    model: Any = type("Activity", (models.Model,), body)
    return model._base_manager.using(using).order_by("pk")  # type: ignore[no-any-return]


def _import(
    rows: list[Any], report: Counter[str], *, dry_run: bool, attempts: int = ATTEMPTS
) -> set[Any]:
    """Import the rows in one transaction and return the keys of their users."""
    left = Counter[str]()
    new = list(_new(rows, left))
    if not dry_run:
        try:
            with writing(reads=False) as using:
                insert([notification for notification, _ in new], using)
                Receipt.objects.using(using).bulk_create(filter(None, (row[1] for row in new)))
                announce_on_commit()
        except IntegrityError:  # a parallel run imported some, or a user was deleted
            if attempts == 1:
                raise
            return _import(rows, report, dry_run=False, attempts=attempts - 1)
    report.update(left, imported=len(new))
    return set() if dry_run else {notification.recipient_id for notification, _ in new}


def _new(rows: list[Any], left: Counter[str]) -> Iterator[tuple[Notification, Receipt | None]]:
    """Yield a notification and receipt per new row; count the other rows in ``left``."""
    model: Any = get_user_model()
    for row in rows:
        row.recipient = model._meta.pk.to_python(row.recipient_id)
        row.key = f"notifications-hq:{row.pk}"
    users = model._base_manager.filter(pk__in={row.recipient for row in rows})
    existing = set(users.values_list("pk", flat=True))
    imported = Notification.objects.using(database()).filter(
        topic__in=[user_topic(pk) for pk in existing], idempotency_key__in=[row.key for row in rows]
    )
    known = set(imported.values_list("idempotency_key", flat=True))
    things = _load_things(rows)
    for row in rows:
        if row.recipient not in existing:
            left["no such user"] += 1
        elif row.key in known:
            left["there already"] += 1
        else:
            try:
                yield _convert(row, *(things[_reference(row, which)] for which in _THINGS))
            except (TypeError, ValueError) as error:
                left[str(error)] += 1


def _convert(
    row: Any, actor: Thing, target: Thing, acted_on: Thing
) -> tuple[Notification, Receipt | None]:
    data = row.data
    if isinstance(data, str):  # otherwise the column is a JSONField
        with suppress(ValueError):
            data = json.loads(data) if data else None
    title = _clean(phrase(actor, row.verb, acted_on, target))
    data = data_of(data, row.verb, acted_on, public=row.public, extra={})
    content: Content = {"level": row.level, "data": data, "idempotency_key": row.key}
    body, url = _clean(row.description or ""), _clean(address_of(target, acted_on))
    try:
        columns = validation.check(title, body, {**content, "url": url})
    except (TypeError, ValueError):  # such as a "javascript:" URL, which is not allowed
        columns = validation.check(title, body, content)
    notification = Notification(**columns, **to_user(row.recipient))
    notification.event, notification.silent, notification.created_at = "", True, row.timestamp
    for which, thing in (("actor", actor), ("target", target)):
        type_id = _reference(row, which)[0] if thing.type else None
        setattr(notification, f"{which}_type_id", type_id)
        setattr(notification, f"{which}_pk", thing.pk)
        setattr(notification, f"{which}_name", _clean(thing.name)[:255])  # the column's max_length
    if row.unread and not row.deleted:
        return notification, None
    # The other package stores no time of reading: use the time of the notification.
    receipt = Receipt(user_id=row.recipient, notification=notification, seen_at=row.timestamp)
    receipt.read_at = None if row.unread else row.timestamp
    receipt.archived_at = row.timestamp if row.deleted else None
    return notification, receipt


def _clean(text: str) -> str:
    """Return ``text`` without characters that no column or stream can hold."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _reference(row: Any, which: str) -> tuple[Any, str]:
    return getattr(row, f"{which}_content_type_id"), str(getattr(row, f"{which}_object_id"))


def _load_things(rows: list[Any]) -> dict[tuple[Any, str], Thing]:
    """Return all objects that the rows refer to, with one query per content type."""
    wanted = {_reference(row, which) for row in rows for which in _THINGS}
    types = ContentType.objects.in_bulk({type_id for type_id, _ in wanted})
    things = {(type_id, pk): Thing(pk=pk, name=f"? {pk}") for type_id, pk in wanted}
    things |= {(type_id, pk): Thing() for type_id, pk in wanted if type_id is None}
    for type_id, kind in types.items():
        model: Any = kind.model_class()
        keys = {}
        for pk in (pk for wanted_type, pk in wanted if wanted_type == type_id):
            # The name of a deleted object, such as "comment 5".
            things[type_id, pk] = Thing(f"{kind.app_label}.{kind.model}", pk, f"{kind.name} {pk}")
            # The key is invalid for this model (its field may raise anything), or no model exists.
            with suppress(Exception):
                keys[model._meta.pk.to_python(pk)] = pk
        for instance in model._base_manager.filter(pk__in=keys) if keys else ():
            thing = things[type_id, keys[instance.pk]]._replace(instance=instance)
            with suppress(Exception):  # the project's ``__str__`` may raise anything
                thing = thing._replace(name=str(instance))
            things[type_id, keys[instance.pk]] = thing
    return things


def _reset_inboxes(users: list[Any]) -> None:
    """Send each user's open pages one event that makes them fetch their list again."""
    lost = Inbox()
    lost.note()
    for start in range(0, len(users), BATCH):
        pks = users[start : start + BATCH]
        with writing(reads=False) as using:
            inboxes = Inbox.objects.using(using)
            insert_missing(Inbox, pks, using)
            # Lock in order, so that two parallel runs cannot deadlock.
            list(inboxes.filter(pk__in=pks).order_by("pk").select_for_update())
            inboxes.filter(pk__in=pks).update(changes=lost.changes, state_seq=lost.state_seq)
            announce_on_commit()
