"""``notify.send(actor, recipient=..., verb=...)`` of django-notifications-hq, sent by this package.

Change the import and nothing else::

    from sse_notify.compat.notifications_hq import notify  # was: from notifications.signals import notify

    notify.send(request.user, recipient=post.author, verb="commented", action_object=comment, target=post)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings  # noqa: TID251  (USE_TZ is Django's)
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Model, QuerySet
from django.dispatch import Signal
from django.utils import timezone

from sse_notify import locks, verbs
from sse_notify.compat.activities import address_of, data_of, phrase
from sse_notify.log import database
from sse_notify.models import Notification

if TYPE_CHECKING:
    from datetime import datetime

    from sse_notify.content import Content

#: A Django signal, as there: ``send()`` returns ``[(notify_handler, [notification, ...])]``, and projects may connect receivers of their own.
notify = Signal()


def notify_handler(
    sender: Any,
    *,
    recipient: Any,
    verb: Any,
    action_object: Model | None = None,
    target: Model | None = None,
    level: str = "info",
    description: Any = None,
    timestamp: datetime | None = None,
    public: bool = True,
    data: Any = None,
    sse_notify: Content | None = None,
    signal: Signal | None = None,
    **extra: Any,
) -> list[Notification]:
    """Notify the recipients that ``sender`` did something.

    Args:
        sender: the actor, a saved model instance.
        recipient: a user, a ``Group``, or a list or QuerySet of users.
        verb: what the actor did. The title is "actor verb action_object on target", of what is given.
        action_object, target: saved model instances. ``target`` is the notification's target; the action object is kept in ``data``.
        level: "success", "info", "warning" or "error".
        description: the body.
        timestamp: when it happened; now by default.
        public: kept in ``data``.
        data, extra: kept in ``data``, with or without ``USE_JSONFIELD``. What JSON cannot hold is kept as text.
        sse_notify: further arguments of :func:`sse_notify.notify`: ``{"category": "comments", "key": ...}``. Without a ``url`` a
            click leads to the target's ``get_absolute_url()``, or the action object's.
        signal: this signal.

    Returns:
        The notifications, one for each recipient.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    _check_sender(sender)
    moment = _check_timestamp(timestamp)
    extra = {
        name: value for name, value in extra.items() if not name.endswith("_for_concrete_model")
    }
    if extra:
        data = {
            **(data if isinstance(data, Mapping) else {} if data is None else {"data": data}),
            **extra,
        }
    acted_on = None
    if action_object is not None:
        acted_on = {
            "type": action_object._meta.label_lower,
            "pk": str(action_object.pk),
            "name": str(action_object),
        }
    names = [str(thing) if thing is not None else "" for thing in (action_object, target)]
    content: Content = {
        "level": level,
        "actor": sender,
        "target": target,
        "url": address_of(target, action_object),
        "data": data_of(data, str(verb), acted_on, public=bool(public)),
        **(sse_notify or {}),
    }
    with transaction.atomic(using=database()):
        locks.begin_write(database())
        rows: list[Notification] = verbs.notify(
            _users(recipient),
            phrase(str(sender), str(verb), *names),
            str(description or ""),
            **content,
        )
        if moment is not None:
            _date(rows, moment)
    return rows


notify.connect(notify_handler, dispatch_uid="sse_notify.compat.notifications_hq")


def _users(recipient: Any) -> Any:
    if isinstance(
        recipient, get_user_model()
    ):  # first, as ``request.user`` is lazy, and looks as if it could be iterated over
        return [recipient]
    if isinstance(recipient, (Group, QuerySet)) or (
        isinstance(recipient, Iterable) and not isinstance(recipient, (str, bytes))
    ):
        return recipient
    return [recipient]


def _date(rows: list[Notification], moment: datetime) -> None:
    for row in rows:
        row.created_at = moment
    Notification.objects.using(database()).bulk_update(rows, ["created_at"], batch_size=500)


def _check_sender(sender: Any) -> None:
    if not isinstance(sender, Model):
        raise TypeError(f"sender: a model instance is needed, not {sender!r}")


def _check_timestamp(timestamp: datetime | None) -> datetime | None:
    if timestamp is not None and settings.USE_TZ and timezone.is_naive(timestamp):
        raise ValueError("timestamp: an aware datetime is needed, as USE_TZ is on")
    return timestamp
