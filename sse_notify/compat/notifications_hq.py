"""``notify.send(actor, recipient=..., verb=...)`` of django-notifications-hq, sent by this package.

Change the import and nothing else::

    # was: from notifications.signals import notify
    from sse_notify.compat.notifications_hq import notify

    notify.send(request.user, recipient=post.author, verb="commented", target=post)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings  # noqa: TID251  (USE_TZ is Django's)
from django.contrib.auth import get_user_model
from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone

from sse_notify.compat.activities import Thing, address_of, data_of, phrase
from sse_notify.log.sequence import begin_write, database
from sse_notify.models import Notification
from sse_notify.notifications import send
from sse_notify.notifications.validation import check_instance

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import Model

    from sse_notify.models.notification import Content

#: A Django signal, as there: ``send()`` returns ``[(notify_handler, [notification, ...])]``.
#: Projects can connect more receivers.
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
        verb: what the actor did. The title is "actor verb action_object on target", of what is
            given.
        action_object, target: saved model instances. ``target`` is the notification's target;
            ``data`` keeps the action object.
        level: "success", "info", "warning" or "error".
        description: the body.
        timestamp: when it happened; now by default.
        public: kept in ``data``.
        data, extra: kept in ``data``, with or without ``USE_JSONFIELD``. What JSON cannot hold is
            kept as text.
        sse_notify: more arguments of :func:`sse_notify.notify`, such as
            ``{"category": "comments"}``. Without a ``url``, a click leads to the ``get_absolute_url()`` of the target, or of the
            action object.
        signal: this signal.

    Returns:
        The notifications, one for each recipient.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    things = {"sender": sender, "action_object": action_object, "target": target}
    for name, thing in things.items():
        if thing is not None or name == "sender":
            check_instance(name, thing)
    if timestamp is not None and settings.USE_TZ and timezone.is_naive(timestamp):
        raise ValueError("timestamp must be an aware datetime, as USE_TZ is True.")
    actor, acted_on, aim = map(Thing.of, things.values())
    # Callers there pass these to the model's generic foreign keys, which means nothing here.
    extra = {name: extra[name] for name in extra if not name.endswith("_for_concrete_model")}
    content: Content = {
        "level": level,
        "actor": sender,
        "target": target,
        "url": address_of(aim, acted_on),
        "data": data_of(data, str(verb), acted_on, public=bool(public), extra=extra),
        **(sse_notify or {}),
    }
    to = [recipient] if isinstance(recipient, get_user_model()) else recipient
    with transaction.atomic(using=database()):
        begin_write(database())
        title, body = phrase(actor, str(verb), acted_on, aim), str(description or "")
        rows: list[Notification] = send.notify(to, title, body, **content)
        if timestamp is not None:
            for row in rows:
                row.created_at = timestamp
            notifications = Notification.objects.using(database())
            notifications.bulk_update(rows, ["created_at"], batch_size=500)
    return rows


notify.connect(notify_handler, dispatch_uid="sse_notify.compat.notifications_hq")
