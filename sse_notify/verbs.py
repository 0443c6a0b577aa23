"""The verbs: ``notify``, ``broadcast`` and ``recall`` write to the log, ``publish`` rings whoever listens now.

They write inside the caller's transaction and ring after its commit; a rollback leaves nothing. Each has an async twin with the
same arguments that runs the same body through Django's ``sync_to_async``, as its own async ORM does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack, overload

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db.models import QuerySet

from sse_notify import fanout, tracing, wire
from sse_notify.audience import EVERYONE, route
from sse_notify.content import Content, check, check_frame
from sse_notify.delivery import Recipient, take_back, write
from sse_notify.messages import Ephemeral
from sse_notify.models import Audience, Notification
from sse_notify.topics import check_name, user_topic

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.utils.functional import Promise

    Users = Iterable[AbstractBaseUser] | QuerySet[Any] | Group


@overload
def notify(
    to: AbstractBaseUser, title: str | Promise, body: str | Promise = "", **content: Unpack[Content]
) -> Notification: ...
@overload
def notify(
    to: Users, title: str | Promise, body: str | Promise = "", **content: Unpack[Content]
) -> list[Notification]: ...
def notify(
    to: AbstractBaseUser | Users,
    title: str | Promise,
    body: str | Promise = "",
    **content: Unpack[Content],
) -> Notification | list[Notification]:
    """Notify a user, or each of many: a row for each, in a constant number of queries per 1,000 users.

    The rows are written inside the current transaction and sent after its commit; a rollback leaves nothing. The call waits for
    no client, and a channel layer that is down is logged, not raised.

    Args:
        to: a user; or an iterable or QuerySet of users; or a ``Group``, for its members now. A user who comes twice is notified once.
        title: one line of text, at most 255 characters.
        body: more text.
        level: "debug", "info" (the default), "success", "warning" or "error": Django's message levels.
        url: where a click leads: a path or an http(s) address, or an object with ``get_absolute_url()``.
        category: what users filter by, at most 100 characters.
        event: the SSE event name, "notification" by default. The stream's own names are refused.
        data: anything that JSON can hold, nested at most 100 levels, for scripts; never rendered.
        actor, target: model instances: who did it, and to what. Their names are kept as text.
        icon: the address of an image.
        actions: buttons, a list of ``{"label": ..., "url": ...}``.
        key: a repeat for the same recipient updates the same row: unread again, ``count`` one more, sent anew.
        idempotency_key: a repeat for the same recipient returns the first row and sends nothing. A row that has a ``key`` as well remembers
            that of its last update alone: what is retried after a later call counts as a new one.
        expires_at: from then on it is neither listed, counted nor replayed.
        silent: listed and counted, but not announced or toasted.

    Returns:
        The notification of one user, or the list of those of many, in the order of the users.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    with tracing.span("notify") as span:
        checked = check(title, body, content)
        one = isinstance(to, get_user_model())
        rows = write(checked, [_recipient(to)] if one else _recipients(to))
        span.set_attribute("sse_notify.notifications", len(rows))
    return rows[0] if one else rows


def broadcast(
    title: str | Promise,
    body: str | Promise = "",
    *,
    audience: Audience | Group = EVERYONE,
    exclude: Iterable[AbstractBaseUser] = (),
    **content: Unpack[Content],
) -> Notification:
    """Notify a whole audience with one row, whatever its size.

    Who belongs to the audience is decided when reading: who is staff, or in the group, *now*. Users see what was broadcast after
    they joined.

    Args:
        title, body, and all further: as for :func:`notify`.
        audience: ``EVERYONE``, ``STAFF`` or a ``Group``.
        exclude: users who do not get it, live or in replay.

    Returns:
        The one row.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    with tracing.span("broadcast") as span:
        checked = check(title, body, content)
        kind, topic, group_id = route(audience)
        excluded = tuple(_keys("exclude", exclude))
        recipient = Recipient(
            topic=topic,
            columns={"audience": kind, "topic": topic, "group_id": group_id},
            excluded=excluded,
        )
        span.set_attribute("sse_notify.topic", topic)
        return write(checked, [recipient])[0]


def recall(notifications: Notification | Iterable[Notification] | QuerySet[Notification]) -> int:
    """Take back what was sent, from everybody it was sent to.

    It is neither listed nor counted from then on, and open pages drop it at once: after the commit they are told ``remove``, which
    carries the ids alone. Who is away is told on coming back. The row stays in the log, for the admin's eyes. A repeat under its
    ``key`` is a new notification; one under its ``idempotency_key`` still sends nothing.

    Args:
        notifications: one, an iterable, or a QuerySet of them. What was recalled before is left alone.

    Returns:
        How many were taken back now.

    Raises:
        TypeError, ValueError: the argument is wrong; the message names it, and nothing is written.
    """
    return take_back(_notification_keys(notifications))


def publish(topic: str, data: Any, *, event: str | None = None) -> None:
    """Send an event to whoever listens to ``topic`` now: no row, no id, no replay.

    It is sent at once, not after the commit: it is for what the next event makes obsolete anyway.

    Args:
        topic: a topic that some ``@topic`` pattern matches.
        data: text as it is, anything else as JSON.
        event: the SSE event name; the topic's name by default. With another, the block has a ``topic`` field, so that several topics on one
            connection tell themselves apart.

    Raises:
        TypeError, ValueError: an argument is wrong, or the event exceeds ``EVENT_MAX_BYTES``; the message names it.
    """
    check_name(topic)
    name = topic if event is None else event
    if name in wire.RESERVED_EVENTS:
        raise ValueError(f"event: {name!r} is a name that the stream itself uses")
    try:
        text = data if isinstance(data, str) else wire.dumps(data)
    except RecursionError as error:
        raise ValueError("data: nested too deeply for JSON") from error
    except (TypeError, ValueError) as error:
        raise type(error)(f"data: JSON cannot hold it ({error})") from error
    frame = check_frame(
        wire.encode(text, event=name, topic=None if name == topic else topic), {"data": data}
    )
    fanout.ring(Ephemeral(topic, frame))


@overload
async def anotify(
    to: AbstractBaseUser, title: str | Promise, body: str | Promise = "", **content: Unpack[Content]
) -> Notification: ...
@overload
async def anotify(
    to: Users, title: str | Promise, body: str | Promise = "", **content: Unpack[Content]
) -> list[Notification]: ...
async def anotify(
    to: AbstractBaseUser | Users,
    title: str | Promise,
    body: str | Promise = "",
    **content: Unpack[Content],
) -> Notification | list[Notification]:
    """Do what :func:`notify` does, from async code."""
    return await sync_to_async(notify)(to, title, body, **content)  # type: ignore[arg-type]  # overloads are not combined


async def abroadcast(
    title: str | Promise,
    body: str | Promise = "",
    *,
    audience: Audience | Group = EVERYONE,
    exclude: Iterable[AbstractBaseUser] = (),
    **content: Unpack[Content],
) -> Notification:
    """Do what :func:`broadcast` does, from async code."""
    return await sync_to_async(broadcast)(
        title, body, audience=audience, exclude=exclude, **content
    )


async def arecall(
    notifications: Notification | Iterable[Notification] | QuerySet[Notification],
) -> int:
    """Do what :func:`recall` does, from async code."""
    return await sync_to_async(recall)(notifications)


async def apublish(topic: str, data: Any, *, event: str | None = None) -> None:
    """Do what :func:`publish` does; it never blocks, so the twin is for symmetry."""
    publish(topic, data, event=event)


def _notification_keys(notifications: Any) -> list[int]:
    """Return the notifications' keys in ascending order, each once."""
    if isinstance(notifications, QuerySet):
        if not issubclass(notifications.model, Notification):
            raise TypeError(
                f"notifications: notifications are needed, not {notifications.model.__name__} objects"
            )
        return sorted(set(notifications.values_list("pk", flat=True)))
    if isinstance(notifications, Notification):
        notifications = [notifications]
    if isinstance(notifications, (str, bytes)) or not isinstance(notifications, Iterable):
        raise TypeError(
            f"notifications: notifications are needed, not {type(notifications).__name__}"
        )
    pks = set()
    for notification in notifications:
        if not isinstance(notification, Notification):
            raise TypeError(
                f"notifications: a notification is needed, not {type(notification).__name__}"
            )
        if notification.pk is None:
            raise ValueError("notifications: the notification is not saved")
        pks.add(notification.pk)
    return sorted(pks)


def _recipients(to: Any) -> list[Recipient]:
    """Return the recipients in order, each once."""
    model = get_user_model()
    if isinstance(to, Group):
        if to.pk is None:
            raise ValueError("to: the group is not saved")
        to = model._default_manager.filter(groups=to)
    if isinstance(to, QuerySet):
        if not issubclass(to.model, model):
            raise TypeError(f"to: users are needed, not {to.model.__name__} objects")
        return [_recipient_by_key(pk) for pk in dict.fromkeys(to.values_list("pk", flat=True))]
    return [_recipient_by_key(pk) for pk in dict.fromkeys(_keys("to", to))]


def _keys(name: str, users: Any) -> list[Any]:
    is_anonymous = (
        getattr(users, "is_anonymous", False) is True
    )  # a lazy one looks as if it could be iterated over
    if is_anonymous or isinstance(users, (str, bytes)) or not isinstance(users, Iterable):
        kind = "an anonymous user" if is_anonymous else type(users).__name__
        raise TypeError(f"{name}: users are needed, not {kind}")
    return [_check_user(name, user).pk for user in users]


def _recipient(user: Any) -> Recipient:
    return _recipient_by_key(_check_user("to", user).pk)


def _recipient_by_key(pk: Any) -> Recipient:
    topic = user_topic(pk)
    return Recipient(
        topic=topic, columns={"audience": Audience.USER, "topic": topic, "recipient_id": pk}
    )


def _check_user(name: str, user: Any) -> AbstractBaseUser:
    model = get_user_model()
    if not isinstance(user, model):
        kind = "an anonymous user" if getattr(user, "is_anonymous", False) else type(user).__name__
        raise TypeError(f"{name}: a user is needed, not {kind}")
    if user.pk is None:
        raise ValueError(f"{name}: the user is not saved")
    return user
