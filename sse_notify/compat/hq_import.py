"""Bringing the rows of django-notifications-hq over, batch by batch. Their table is read and never written.

An old notification is history: it is in its user's list, read or unread as it was, and no stream tells of it, live or in replay, as
it has no event (see `sse_notify.log`). When all are in, each user's open pages are told once to fetch their list anew.

Each row has an ``idempotency_key`` that names the row it came from, so that a second run brings only what is new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction

from sse_notify import changes, content, fanout
from sse_notify.compat import hq_table
from sse_notify.compat.activities import address_of, data_of, phrase
from sse_notify.delivery import ATTEMPTS, insert
from sse_notify.log import database
from sse_notify.models import Audience, Inbox, Notification, Receipt
from sse_notify.topics import user_topic

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

#: Rows of one transaction.
BATCH = 500
#: Inboxes that are told in one transaction.
TOLD = 500

_THINGS = ("actor", "target", "action_object")


@dataclass(kw_only=True, slots=True)
class Report:
    """What was done with the rows."""

    imported: int = 0
    """Brought over now, or in a dry run, what would be."""
    left: Counter[str] = field(default_factory=Counter)
    """What was left out, by reason."""


def bring_over(
    found: QuerySet[Any],
    *,
    since: datetime | None = None,
    batch: int = BATCH,
    dry: bool = False,
    on_batch: Callable[[int], Any] | None = None,
) -> Report:
    """Import rows. Call it outside a transaction. Interrupted, it has done what it has done; the next call goes on.

    Args:
        found: the rows, of :func:`sse_notify.compat.hq_table.rows`.
        since: older ones are left out; ``None``: none is.
        batch: rows of one transaction.
        dry: write nothing.
        on_batch: called after each batch with the number of rows that it looked at.

    Raises:
        django.db.Error: the database refuses; nothing of the current batch is written.
    """
    report = Report()
    users: set[Any] = set()
    try:
        for rows in hq_table.batches(found, batch):
            young = [row for row in rows if since is None or row.timestamp >= since]
            report.left["older"] += len(rows) - len(young)
            users |= _bring(young, report, dry=dry)
            if on_batch is not None:
                on_batch(len(rows))
    finally:
        _tell(users)
    return report


class _Batch:
    """Some rows, and what they refer to: a few queries for all."""

    def __init__(self, rows: list[Any]) -> None:
        #: What is left out, by reason.
        self.left: Counter[str] = Counter()
        model = get_user_model()
        key: Any = model._meta.pk
        keys = {row.pk: key.to_python(row.recipient_id) for row in rows}
        there = set(
            model._base_manager.filter(pk__in=set(keys.values())).values_list("pk", flat=True)
        )
        self._recipients = {row.pk: keys[row.pk] for row in rows if keys[row.pk] in there}
        self._rows = [row for row in rows if row.pk in self._recipients]
        self._things = _Things(self._rows)
        self.left["no such user"] += len(rows) - len(self._rows)

    def new(self) -> list[tuple[Any, Notification]]:
        """Return the rows that are not there yet, each with what it becomes."""
        names = {row.pk: f"notifications-hq:{row.pk}" for row in self._rows}
        topics = {user_topic(pk) for pk in self._recipients.values()}
        there = set(
            Notification.objects.using(database())
            .filter(topic__in=topics, idempotency_key__in=names.values())
            .values_list("idempotency_key", flat=True)
        )
        self.left["there already"] += len(there)
        new = [
            (row, self._convert(row, names[row.pk]))
            for row in self._rows
            if names[row.pk] not in there
        ]
        return [(row, notification) for row, notification in new if notification is not None]

    def _convert(self, row: Any, name: str) -> Notification | None:
        actor, target, action_object = (self._things.name_of(row, which) for which in _THINGS)
        acted_on = self._things.describe(row, "action_object")
        data = data_of(
            hq_table.data_of(row), row.verb, acted_on, public=getattr(row, "public", True)
        )
        title, body = (
            _clean(phrase(actor, row.verb, action_object, target)),
            _clean(row.description or ""),
        )
        address = _clean(
            address_of(self._things.of(row, "target"), self._things.of(row, "action_object"))
        )
        said: content.Content = {
            "level": row.level,
            "url": address,
            "data": data,
            "idempotency_key": name,
        }
        try:
            checked = self._check(title, body, said)
        except (TypeError, ValueError) as error:
            self.left[str(error)] += 1
            return None
        recipient = self._recipients[row.pk]
        notification = checked.row(
            audience=Audience.USER, topic=user_topic(recipient), recipient_id=recipient
        )
        notification.event, notification.silent, notification.created_at = "", True, row.timestamp
        for which in ("actor", "target"):
            self._things.refer(notification, row, which)
        return notification

    def _check(self, title: str, body: str, said: content.Content) -> content.Checked:
        try:
            return content.check(title, body, said)
        except (TypeError, ValueError):
            # Its address may be one that is not allowed here, such as "javascript:". The rest is worth having.
            return content.check(title, body, {**said, "url": ""})


class _Things:
    """What actors, targets and action objects are by now, for the rows of a batch: a query for each type."""

    def __init__(self, rows: list[Any]) -> None:
        wanted: dict[int, set[str]] = {}
        for row in rows:
            for which in _THINGS:
                type_id, pk = _reference(row, which)
                if type_id is not None:
                    wanted.setdefault(type_id, set()).add(pk)
        self._types = ContentType.objects.in_bulk(wanted)
        self._found = {
            (type_id, pk): thing
            for type_id in self._types
            for pk, thing in self._load(type_id, wanted[type_id])
        }

    def of(self, row: Any, which: str) -> Any:
        """Return the instance; ``None`` if there is none, or none any more."""
        return self._found.get(_reference(row, which))

    def name_of(self, row: Any, which: str) -> str:
        """Return its name; of what is gone, what it was, such as "comment 5"; "" if there is none."""
        type_id, pk = _reference(row, which)
        if type_id is None:
            return ""
        with suppress(Exception):  # whatever a model's own ``__str__`` raises, years later
            if (type_id, pk) in self._found:
                return str(self._found[type_id, pk])
        return f"{self._types[type_id].name if type_id in self._types else '?'} {pk}"

    def describe(self, row: Any, which: str) -> dict[str, str] | None:
        """Return its type, key and name; ``None`` if there is none."""
        type_id, pk = _reference(row, which)
        if type_id is None:
            return None
        kind = self._types.get(type_id)
        return {
            "type": f"{kind.app_label}.{kind.model}" if kind else "",
            "pk": pk,
            "name": self.name_of(row, which),
        }

    def refer(self, notification: Notification, row: Any, which: str) -> None:
        """Have ``notification`` refer to it, as ``actor`` or ``target``."""
        type_id, pk = _reference(row, which)
        if type_id is None:
            return
        longest: int = getattr(Notification._meta.get_field(f"{which}_name"), "max_length")  # noqa: B009  (the stubs' union)
        setattr(notification, f"{which}_type_id", type_id if type_id in self._types else None)
        setattr(notification, f"{which}_pk", pk)
        setattr(notification, f"{which}_name", _clean(self.name_of(row, which))[:longest])

    def _load(self, type_id: int, pks: Iterable[str]) -> list[tuple[str, Any]]:
        model: Any = self._types[type_id].model_class()
        if model is None:  # its app is gone
            return []
        keys: dict[Any, str] = {}
        for pk in pks:
            with suppress(Exception):  # not a key of this model, whatever its field raises
                keys[model._meta.pk.to_python(pk)] = pk
        return [(keys[thing.pk], thing) for thing in model._base_manager.filter(pk__in=keys)]


def _reference(row: Any, which: str) -> tuple[Any, str]:
    return getattr(row, f"{which}_content_type_id"), str(getattr(row, f"{which}_object_id"))


def _bring(rows: list[Any], report: Report, *, dry: bool) -> set[Any]:
    """Import a batch, and return the keys of its users."""
    for attempt in count(1):
        batch = _Batch(rows)
        new = batch.new()
        try:
            users = set() if dry else _write(new)
        except IntegrityError:  # another run has imported some in this moment, or a user is gone: the next look finds out
            if attempt == ATTEMPTS:
                raise
            continue
        report.imported += len(new)
        report.left += batch.left
        return users
    raise AssertionError("unreachable")


def _write(new: list[tuple[Any, Notification]]) -> set[Any]:
    using = database()
    with transaction.atomic(using=using):
        rows = insert([notification for _, notification in new], using)
        receipts = [
            _receipt(row, notification) for (row, _), notification in zip(new, rows, strict=True)
        ]
        Receipt.objects.using(using).bulk_create(
            [receipt for receipt in receipts if receipt is not None]
        )
        fanout.announce_on_commit()
    return {notification.recipient_id for notification in rows}


def _receipt(row: Any, notification: Any) -> Receipt | None:
    """Return what the user did with it, as far as is known: when, is not, so that it was at once."""
    was_read, was_deleted = not row.unread, getattr(row, "deleted", False)
    if not (was_read or was_deleted):
        return None
    return Receipt(
        user_id=notification.recipient_id,
        notification_id=notification.pk,
        read_at=row.timestamp if was_read else None,
        seen_at=row.timestamp,
        archived_at=row.timestamp if was_deleted else None,
    )


def _tell(users: set[Any]) -> None:
    """Have each user's pages start over, once."""
    using = database()
    pks = sorted(users)
    for start in range(0, len(pks), TOLD):
        chunk = pks[start : start + TOLD]
        with transaction.atomic(using=using):
            inboxes = Inbox.objects.using(using)
            inboxes.bulk_create([Inbox(pk=pk) for pk in chunk], ignore_conflicts=True)
            told = list(inboxes.filter(pk__in=chunk).order_by("pk").select_for_update())
            for inbox in told:
                changes.lose(inbox)
            inboxes.bulk_update(told, ["changes", "state_seq"], batch_size=100)
            fanout.announce_on_commit()


def _clean(text: str) -> str:
    """Return ``text`` without what no column and no stream can hold."""
    return text.replace("\0", "").encode(errors="replace").decode()
