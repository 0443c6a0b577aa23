"""``notify.send()`` of django-notifications-hq, implemented with this package.

Change the import and nothing else::

    # was: from notifications.signals import notify
    from sse_notify.compat.notifications_hq import notify

    notify.send(request.user, recipient=post.author, verb="commented", target=post)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings  # noqa: TID251  (USE_TZ is Django's)
from django.contrib.auth import get_user_model
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from sse_notify.log.sequence import writing
from sse_notify.models import Notification
from sse_notify.models.content import Content
from sse_notify.notifications import send
from sse_notify.notifications.validation import check_instance

#: A Django signal, like the original. ``send()`` returns
#: ``[(notify_handler, [notification, ...])]``. Projects can connect more receivers.
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
        verb: what the actor did. The title is "actor verb action_object on target", without the
            parts that are missing.
        action_object, target: saved model instances. ``target`` is the notification's target;
            the action object is stored in ``data``.
        level: "success", "info", "warning" or "error".
        description: the body.
        timestamp: when it happened; now by default.
        public: stored in ``data``.
        data, extra: stored in ``data``, with or without ``USE_JSONFIELD``. Values that are not
            JSON serializable are stored as text.
        sse_notify: more arguments of :func:`sse_notify.notify`, such as
            ``{"category": "comments"}``. The default ``url`` is the ``get_absolute_url()`` of the
            target, or else of the action object.
        signal: this signal.

    Returns:
        The notifications, one for each recipient.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    check_instance("sender", sender)
    for name, thing in (("action_object", action_object), ("target", target)):
        if thing is not None:
            check_instance(name, thing)
    if timestamp is not None and settings.USE_TZ and timezone.is_naive(timestamp):
        raise ValueError("timestamp must be an aware datetime, as USE_TZ is True.")
    acted_on, aim = Thing.of(action_object), Thing.of(target)
    # The original passes these to its generic foreign keys; this package has none.
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
    title = phrase(Thing.of(sender), str(verb), acted_on, aim)
    with writing() as using:
        rows: list[Notification] = send.notify(to, title, str(description or ""), **content)
        if timestamp is not None:
            for row in rows:
                row.created_at = timestamp
            Notification.objects.using(using).bulk_update(rows, ["created_at"], 500)
    return rows


notify.connect(notify_handler, dispatch_uid="sse_notify.compat.notifications_hq")


# --- activities: "actor verb action_object on target" ---------------------------------------------


class Thing(NamedTuple):
    """An actor, a target or an action object. ``Thing()`` stands for a missing one."""

    type: str = ""
    """Its model, such as "auth.user"; "" if the model no longer exists."""
    pk: str = ""
    """Its primary key."""
    name: str = ""
    """Its name, for the title."""
    instance: Any = None
    """The instance; ``None`` if it was deleted."""

    @classmethod
    def of(cls, instance: Model | None) -> Thing:
        """Return the thing for ``instance``."""
        if instance is None:
            return cls()
        return cls(instance._meta.label_lower, str(instance.pk), str(instance), instance)


def phrase(actor: Thing, verb: str, action_object: Thing, target: Thing) -> str:
    """Return the title in the active language, worded as in django-notifications-hq."""
    names = {"actor": actor.name, "action_object": action_object.name, "target": target.name}
    if action_object.name and target.name:
        text = _("%(actor)s %(verb)s %(action_object)s on %(target)s") % {**names, "verb": verb}
    else:
        text = " ".join(filter(None, [actor.name, verb, action_object.name or target.name]))
    longest: Any = Notification._meta.get_field("title").max_length
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def data_of(
    data: Any, verb: str, action_object: Thing, *, public: bool, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the notification's ``data``: the caller's data, and the values without a column.

    Args:
        data: the caller's data. A value that is not a mapping gets the key "data".
        verb: the verb.
        action_object: stored with its type, key and name.
        public: stored; it has no effect in this package.
        extra: the caller's other keyword arguments.

    Raises:
        ValueError: a number has too many digits, or the nesting is too deep.
    """
    own = data if isinstance(data, Mapping) else {} if data is None else {"data": data}
    activity: dict[str, Any] = {"verb": verb, "public": public}
    if action_object.pk:
        type, pk, name, _instance = action_object
        activity["action_object"] = {"type": type, "pk": pk, "name": name}
    try:
        text = json.dumps({**own, **extra, "activity": activity}, default=_as_json)
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"data must be JSON serializable: {error}.") from error
    return json.loads(text)  # type: ignore[no-any-return]


def _as_json(value: Any) -> Any:
    """Return text for values that are not JSON serializable. The original drops them."""
    try:
        return DjangoJSONEncoder().default(value)
    except TypeError:
        return str(value)


def address_of(*things: Thing) -> str:
    """Return the URL of the first of ``things`` that has one, "" if none has."""
    for thing in things:
        if hasattr(thing.instance, "get_absolute_url"):
            with suppress(Exception):  # the project's code, which the original did not call
                return str(thing.instance.get_absolute_url() or "")
    return ""
