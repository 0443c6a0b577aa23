"""Import the rows of django-notifications-hq, or of a fork of it. Their table is only read.

The other package may be installed or gone. An imported notification is history: it is in its user's
list, read or unread as it was, and no stream sends it, as it has no event (see `sse_notify.log`).
At the end each user's open pages are told once to fetch their list again. Each row has an
``idempotency_key`` that names the row it came from, so a second run imports only what is new.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.apps.registry import Apps
from django.conf import settings  # noqa: TID251  (the other package's setting)
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connections, models, router, transaction

from sse_notify.compat.activities import Thing, address_of, data_of, phrase
from sse_notify.log import entries
from sse_notify.log.sequence import announce_on_commit, database
from sse_notify.models import Inbox, Notification, Receipt
from sse_notify.notifications import validation
from sse_notify.notifications.store import ATTEMPTS, insert, to_user
from sse_notify.topics import user_topic

if TYPE_CHECKING:
    from datetime import datetime

    from sse_notify.models.notification import Content

#: Their table, unless the package is installed with a model of the project's own.
TABLE = "notifications_notification"
#: Rows, or inboxes, of one transaction.
BATCH = 500

#: The longest name of an actor or a target, in characters: what the columns hold.
NAME_LENGTH = 255

_THINGS = ("actor", "target", "action_object")
_TEXT = models.TextField(null=True)
#: The columns that are read. Keys of users and things are read as text: they are of any type.
_COLUMNS: dict[str, models.Field[Any, Any]] = {
    "id": models.BigAutoField(primary_key=True),
    "timestamp": models.DateTimeField(),
    **dict.fromkeys(("unread", "public", "deleted"), models.BooleanField()),
    **dict.fromkeys(("recipient_id", "level", "verb", "description", "data"), _TEXT),
    **{f"{thing}_object_id": _TEXT for thing in _THINGS},
    **{f"{thing}_content_type_id": models.IntegerField(null=True) for thing in _THINGS},
}
#: The columns that early versions lack, with what a row has in their place.
_OPTIONAL = {"public": True, "deleted": False, "data": None}


def find_rows(table: str = "", using: str = "") -> models.QuerySet[Any]:
    """Return the rows of ``table``, or of the installed package's table, or of :data:`TABLE`.

    Args:
        table: the name of the table.
        using: the alias of the database.

    Raises:
        LookupError: there is no such table, or it is another package's. The message says what is
            missing.
        django.db.Error: the database refuses.
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
    if missing := [name for name in _COLUMNS if name not in {*found, *_OPTIONAL}]:
        names = ", ".join(missing)
        raise LookupError(f"The table {table!r} is not of django-notifications: it has no {names}.")
    # A registry of its own: to the project this model does not exist.
    options = {"app_label": "sse_notify", "apps": Apps(), "db_table": table, "managed": False}
    fields = {name: field.clone() for name, field in _COLUMNS.items() if name in found}
    body = {**_OPTIONAL, "__module__": __name__, "Meta": type("Meta", (), options), **fields}
    model: Any = type("Activity", (models.Model,), body)
    rows: models.QuerySet[Any] = model._base_manager.using(using).order_by("pk")
    return rows


def import_rows(
    rows: models.QuerySet[Any],
    *,
    since: datetime | None = None,
    batch: int = BATCH,
    dry: bool = False,
    on_batch: Callable[[int], Any] | None = None,
) -> Counter[str]:
    """Import rows. Call it outside a transaction. If it is interrupted, the next call goes on.

    Args:
        rows: what :func:`find_rows` returned.
        since: older rows are left out; ``None``: none is.
        batch: rows of one transaction.
        dry: write nothing.
        on_batch: called after each batch with the number of its rows.

    Returns:
        The number of rows that were "imported" (in a dry run, that would be), and of those that
        were left out, by reason.

    Raises:
        django.db.Error: the database refuses; nothing of the current batch is written.
    """
    report: Counter[str] = Counter(imported=0)
    users: set[Any] = set()
    last = 0
    try:
        # By key: a short query, however large the table is.
        while chunk := list(rows.filter(pk__gt=last)[:batch]):
            young = [row for row in chunk if since is None or row.timestamp >= since]
            report["older"] += len(chunk) - len(young)
            users |= _import_batch(young, report, dry=dry)
            if on_batch is not None:
                on_batch(len(chunk))
            last = chunk[-1].pk
    finally:
        _reset_inboxes(users)
    return report


def _import_batch(
    rows: list[Any], report: Counter[str], *, dry: bool, attempts: int = ATTEMPTS
) -> set[Any]:
    """Import a batch, and return the keys of its users."""
    left: Counter[str] = Counter()
    new = list(_new(rows, left))
    try:
        if not dry:
            _write(new)
    except IntegrityError:  # meanwhile another run imported some of them, or a user was deleted
        if attempts == 1:
            raise
        return _import_batch(rows, report, dry=dry, attempts=attempts - 1)
    report.update(left, imported=len(new))
    return set() if dry else {notification.recipient_id for notification, _ in new}


def _new(rows: list[Any], left: Counter[str]) -> Iterator[tuple[Notification, Receipt | None]]:
    """Yield what becomes of the rows that are not imported yet; count the others in ``left``."""
    model: Any = get_user_model()
    for row in rows:
        row.recipient = model._meta.pk.to_python(row.recipient_id)
        row.key = f"notifications-hq:{row.pk}"
    users = model._base_manager.filter(pk__in={row.recipient for row in rows})
    existing = set(users.values_list("pk", flat=True))
    topics, keys = [user_topic(pk) for pk in existing], [row.key for row in rows]
    imported = Notification.objects.using(database())
    imported = imported.filter(topic__in=topics, idempotency_key__in=keys)
    known = set(imported.values_list("idempotency_key", flat=True))
    things = _load_things(rows)
    for row in rows:
        if row.recipient not in existing:
            left["no such user"] += 1
        elif row.key in known:
            left["there already"] += 1
        else:
            try:
                yield _convert(row, things)
            except (TypeError, ValueError) as error:
                left[str(error)] += 1


def _convert(row: Any, things: dict[tuple[Any, str], Thing]) -> tuple[Notification, Receipt | None]:
    actor, target, acted_on = (things.get(_reference(row, which), Thing()) for which in _THINGS)
    title = _clean(phrase(actor, row.verb, acted_on, target))
    body = _clean(row.description or "")
    data = data_of(_data_of(row), row.verb, acted_on, public=row.public, extra={})
    said: Content = {"level": row.level, "data": data, "idempotency_key": row.key}
    address = _clean(address_of(target, acted_on))
    try:
        columns = validation.check(title, body, {**said, "url": address})
    except (TypeError, ValueError):  # such as an address that is not allowed here, "javascript:"
        columns = validation.check(title, body, said)
    to = row.recipient
    notification = Notification(**columns, **to_user(to))
    notification.event, notification.silent, notification.created_at = "", True, row.timestamp
    for which, thing in (("actor", actor), ("target", target)):
        type_id = _reference(row, which)[0] if thing.type else None
        setattr(notification, f"{which}_type_id", type_id)
        setattr(notification, f"{which}_pk", thing.pk)
        setattr(notification, f"{which}_name", _clean(thing.name)[:NAME_LENGTH])
    if row.unread and not row.deleted:
        return notification, None
    # When the user did it is not known, so it was at once.
    receipt = Receipt(user_id=to, notification=notification, seen_at=row.timestamp)
    receipt.read_at = None if row.unread else row.timestamp
    receipt.archived_at = row.timestamp if row.deleted else None
    return notification, receipt


def _data_of(row: Any) -> Any:
    """Return the row's ``data``, which is text, or JSON of the database's own."""
    if isinstance(row.data, str):
        with suppress(ValueError):
            return json.loads(row.data) if row.data else None
    return row.data


def _clean(text: str) -> str:
    """Return ``text`` without what no column and no stream can hold."""
    return text.replace("\0", "").encode(errors="replace").decode()


# --- actors, targets and action objects -------------------------------------------------------


def _reference(row: Any, which: str) -> tuple[Any, str]:
    return getattr(row, f"{which}_content_type_id"), str(getattr(row, f"{which}_object_id"))


def _load_things(rows: list[Any]) -> dict[tuple[Any, str], Thing]:
    """Return everything that the rows refer to, as it is now: one query for each type."""
    wanted: dict[Any, set[str]] = defaultdict(set)
    for type_id, pk in (_reference(row, which) for row in rows for which in _THINGS):
        wanted[type_id].add(pk)
    wanted.pop(None, None)
    things = {(of, pk): Thing("", pk, f"? {pk}") for of, pks in wanted.items() for pk in pks}
    for type_id, kind in ContentType.objects.in_bulk(wanted).items():
        label = f"{kind.app_label}.{kind.model}"
        for pk in wanted[type_id]:  # what is gone is named as what it was, such as "comment 5"
            things[type_id, pk] = Thing(label, pk, f"{kind.name} {pk}")
        for pk, instance in _instances(kind.model_class(), wanted[type_id]):
            name = things[type_id, pk].name
            with suppress(Exception):  # whatever the project's own ``__str__`` raises
                name = str(instance)
            things[type_id, pk] = Thing(label, pk, name, instance)
    return things


def _instances(model: Any, pks: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield those of the keys that have an instance, each with its instance."""
    if model is None:  # its app is gone
        return
    keys: dict[Any, str] = {}
    for pk in pks:
        with suppress(Exception):  # not a key of this model, whatever its field raises
            keys[model._meta.pk.to_python(pk)] = pk
    for instance in model._base_manager.filter(pk__in=keys):
        yield keys[instance.pk], instance


# --- writing ----------------------------------------------------------------------------------


def _write(new: list[tuple[Notification, Receipt | None]]) -> None:
    using = database()
    with transaction.atomic(using=using):
        insert([notification for notification, _ in new], using)
        Receipt.objects.using(using).bulk_create([receipt for _, receipt in new if receipt])
        announce_on_commit()


def _reset_inboxes(users: set[Any]) -> None:
    """Tell the pages of each user to fetch their list again, once."""
    using, lost = database(), Inbox()
    entries.lose(lost)
    pks = sorted(users)
    for chunk in (pks[start : start + BATCH] for start in range(0, len(pks), BATCH)):
        with transaction.atomic(using=using):
            inboxes = Inbox.objects.using(using)
            inboxes.bulk_create([Inbox(pk=pk) for pk in chunk], ignore_conflicts=True)
            # In order, so that two runs at once do not wait for each other.
            list(inboxes.filter(pk__in=chunk).order_by("pk").select_for_update())
            inboxes.filter(pk__in=chunk).update(changes=lost.changes, state_seq=lost.state_seq)
            announce_on_commit()
