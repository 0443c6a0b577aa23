"""Send notifications: ``notify``, ``broadcast``, ``recall``, ``publish`` and their async twins.

The first three write inside the caller's transaction, and subscribers get the event after its
commit; a rollback leaves nothing. ``publish`` writes nothing. An async twin runs the same function
through ``sync_to_async``, as Django's own async ORM does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Unpack, overload

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet

from sse_notify import telemetry
from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
from sse_notify.concurrency.threadpool import twin
from sse_notify.log.sequence import database, writing
from sse_notify.models import Audience, Notification
from sse_notify.models.notification import Content, Text
from sse_notify.notifications import validation
from sse_notify.notifications.store import take_back, to_user, write
from sse_notify.sse import format as sse_format
from sse_notify.topics import EVERYONE, STAFF, check_name, group_topic

Users = Iterable[AbstractBaseUser] | QuerySet[Any] | Group


@overload
def notify(
    to: AbstractBaseUser, title: Text, body: Text = "", **content: Unpack[Content]
) -> Notification: ...
@overload
def notify(
    to: Users, title: Text, body: Text = "", **content: Unpack[Content]
) -> list[Notification]: ...
def notify(
    to: AbstractBaseUser | Users, title: Text, body: Text = "", **content: Unpack[Content]
) -> Notification | list[Notification]:
    """Notify one user or many.

    Each user gets a row, written in a constant number of queries per 1,000 users. The rows are
    written inside the current transaction and sent after its commit; a rollback leaves nothing. The
    call waits for no client. It logs a channel layer that is down and does not raise.

    Args:
        to: a user, an iterable or QuerySet of users, or a ``Group`` for its members now. A user who
            is named twice is notified once.
        title: one line of text, at most 255 characters.
        body: more text.
        level: "debug", "info" (the default), "success", "warning" or "error", as Django's message
            levels.
        url: where a click leads: a path, an address of http, https, mailto or tel, or an object
            with ``get_absolute_url()``.
        category: what users filter by, at most 100 characters.
        event: the SSE event name, "notification" by default. The stream's own names are refused.
        data: anything that JSON can hold, nested at most 100 levels. It is for scripts and never
            rendered.
        actor, target: model instances: who did it, and to what. Their names are kept as text.
        icon: the address of an image.
        actions: buttons, a list of ``{"label": ..., "url": ...}``.
        key: a repeat for the same recipient updates the same row, which becomes unread, counts one
            more and is sent again.
        idempotency_key: a repeat for the same recipient returns the first row and sends nothing. A
            row with a ``key`` remembers only the idempotency key of its last update, so a retry
            after a later call counts as a new call.
        expires_at: from then on it is neither listed, counted nor replayed.
        silent: listed and counted, but not announced or toasted.

    Returns:
        The notification of one user, or the list of those of many, in the order of the users.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    with telemetry.span("notify") as span:
        checked = validation.check(title, body, content)
        model = get_user_model()
        one = isinstance(to, model)
        if isinstance(to, Group):
            to = model._default_manager.filter(groups=validation.check_instance("to", to))
        keys = (
            [validation.check_instance("to", to).pk]
            if one
            else validation.instance_keys("to", to, model)
        )
        rows = write(checked, [to_user(key) for key in keys])
        span.set_attribute("sse_notify.notifications", len(rows))
    return rows[0] if one else rows


def broadcast(
    title: Text,
    body: Text = "",
    *,
    audience: Audience | Group = EVERYONE,
    exclude: Iterable[AbstractBaseUser] = (),
    **content: Unpack[Content],
) -> Notification:
    """Notify a whole audience with one row, whatever its size.

    Membership is decided when users read: who is staff, or in the group, *now*. Users see what was
    broadcast after they joined.

    Args:
        title, body, and all further: as for :func:`notify`.
        audience: ``EVERYONE``, ``STAFF`` or a ``Group``.
        exclude: users who do not get it, live or in replay.

    Returns:
        The one row.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    with telemetry.span("broadcast") as span:
        checked = validation.check(title, body, content)
        recipient = _to_audience(audience)
        excluded = validation.instance_keys("exclude", exclude, get_user_model())
        span.set_attribute("sse_notify.topic", recipient["topic"])
        return write(checked, [recipient], excluded)[0]


def _to_audience(audience: Audience | Group) -> dict[str, Any]:
    """Return the columns of a notification for an audience."""
    if isinstance(audience, Group):
        pk = validation.check_instance("audience", audience).pk
        return {"audience": Audience.GROUP, "topic": group_topic(pk), "group_id": pk}
    if audience not in (EVERYONE, STAFF):
        raise TypeError(f"audience must be EVERYONE, STAFF or a Group, not {audience!r}.")
    return {"audience": Audience(audience), "topic": Audience(audience).value}


def recall(notifications: Notification | Iterable[Notification] | QuerySet[Notification]) -> int:
    """Recall notifications from everybody they were sent to.

    They are neither listed nor counted from then on. Open pages drop them at once: after the commit
    they get ``remove``, which carries only the ids; pages that are closed get it when they come
    back. The rows stay in the log for the admin. A repeat under a ``key`` is a new notification; a
    repeat under an ``idempotency_key`` still sends nothing.

    Args:
        notifications: a notification, or an iterable or QuerySet of them. Those that were recalled
            before are left alone.

    Returns:
        How many were recalled now.

    Raises:
        TypeError, ValueError: the argument is wrong; the message names it, and nothing is written.
    """
    rows = [notifications] if isinstance(notifications, Notification) else notifications
    return take_back(sorted(validation.instance_keys("notifications", rows, Notification)))


def publish(topic: str, data: Any, *, event: str | None = None) -> None:
    """Send an event to those who subscribe to ``topic`` now, without a row, an id or replay.

    It is sent at once, not after the commit: use it for what the next event makes obsolete anyway.

    Args:
        topic: a topic that some ``@topic`` pattern matches.
        data: text is sent as it is, anything else as JSON.
        event: the SSE event name; the topic's name by default. With another name the event has a
            ``topic`` field, which tells several topics on one connection apart.

    Raises:
        TypeError, ValueError: an argument is wrong, or the event exceeds ``EVENT_MAX_BYTES``; the
            message names it.
    """
    check_name(topic)
    name = validation.check_event(topic if event is None else event)
    field = None if name == topic else topic
    frame = sse_format.encode(sse_format.as_text(data), event=name, topic=field)
    publisher.ring(Ephemeral(topic, validation.check_frame(frame, {"data": data})))


async def apublish(topic: str, data: Any, *, event: str | None = None) -> None:
    """Do what :func:`publish` does, from async code. It never blocks, so it runs in place."""
    publish(topic, data, event=event)


anotify = twin(notify)
abroadcast = twin(broadcast)
arecall = twin(recall)


def send(
    title: str,
    body: str = "",
    *,
    users: Iterable[AbstractBaseUser] = (),
    groups: Sequence[Group] = (),
    staff: bool = False,
    everyone: bool = False,
    **content: Unpack[Content],
) -> list[Notification]:
    """Send one message to several audiences in one transaction, notifying each user once.

    Each group's broadcast excludes the users whom the rows before it reach, and so do the rows of
    users. Everyone includes all others and is one row.

    Args:
        title, body, and all further: as for :func:`notify`.
        users: who get a row of their own.
        groups: their members, present and future.
        staff: whether all staff is to get it.
        everyone: whether everybody is to get it.

    Returns:
        The rows: the staff's, the groups', the users'.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    if everyone:
        return [broadcast(title, body, audience=EVERYONE, **content)]
    rows: list[Notification] = []
    reached: list[Q] = []
    with writing(database()):
        if staff:
            rows.append(broadcast(title, body, audience=STAFF, **content))
            if has_user_field("is_staff"):
                reached.append(Q(is_staff=True))
        for group in groups:
            members = _reached_of(Q(groups=group), reached)
            rows.append(broadcast(title, body, audience=group, exclude=members, **content))
            reached.append(Q(groups=group))
        if reached:
            users = list(users)
            twice = set(_reached_of(Q(pk__in=[user.pk for user in users]), reached))
            users = [user for user in users if user not in twice]
        rows.extend(notify(users, title, body, **content))
    return rows


def _reached_of(some: Q, reached: Sequence[Q]) -> QuerySet[Any]:
    """Return the users of ``some`` who also meet one of the conditions ``reached``."""
    users = get_user_model()._default_manager
    again = Q(pk__in=())
    for condition in reached:  # each by itself: one join would look for all groups in one row
        again |= Q(pk__in=users.filter(condition).values("pk"))
    return users.filter(some & again).distinct()


def has_user_field(name: str) -> bool:
    """Return whether the user model has a field of this name, not only an attribute."""
    return any(field.name == name for field in get_user_model()._meta.get_fields())


def users_by_name(names: Iterable[str]) -> dict[str, Any]:
    """Return those users who sign in with one of these names, by their names: one query."""
    model = get_user_model()
    found = model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": names})
    return {str(user.get_username()): user for user in found}
