"""Send notifications: ``notify``, ``broadcast``, ``recall``, ``publish`` and their async twins.

The first three write inside the caller's transaction, and subscribers get the event after the
commit. After a rollback, nothing is stored or sent. ``publish`` writes nothing. The async twins run
the same functions through ``sync_to_async``, as Django's async ORM does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Unpack, overload

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet

from sse_notify import telemetry
from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
from sse_notify.concurrency.threadpool import twin
from sse_notify.log.sequence import writing
from sse_notify.models import Audience, Notification
from sse_notify.models.content import Content, Text
from sse_notify.notifications import validation
from sse_notify.notifications.store import check_chunked, take_back, to_user, write, write_in_chunks
from sse_notify.sse import format as sse_format
from sse_notify.sse.format import shown
from sse_notify.topics import EVERYONE, STAFF, check_name, group_topic, groups_field

Users = Iterable[AbstractBaseUser] | QuerySet[Any] | Group


@overload
def notify(
    to: AbstractBaseUser, title: Text, body: Text = "", **content: Unpack[Content]
) -> Notification: ...
@overload
def notify(
    to: Users, title: Text, body: Text = "", **content: Unpack[Content]
) -> list[Notification]: ...
@overload
def notify(
    to: Users,
    title: Text,
    body: Text = "",
    *,
    chunked: Literal[True],
    on_progress: Callable[[int, int], object] | None = None,
    **content: Unpack[Content],
) -> int: ...
def notify(
    to: AbstractBaseUser | Users,
    title: Text,
    body: Text = "",
    *,
    chunked: bool = False,
    on_progress: Callable[[int, int], object] | None = None,
    **content: Unpack[Content],
) -> Notification | list[Notification] | int:
    """Notify one user or many.

    Each user gets a row. Writing takes a constant number of queries per 1,000 users. The rows are
    written inside the current transaction and sent after its commit. After a rollback, nothing is
    stored or sent. The call does not wait for clients. If the channel layer is down, the error is
    logged and not raised.

    Args:
        to: a user, an iterable or QuerySet of users, or a ``Group`` for its current members. A user
            who is in it twice is notified once.
        title: one line of text, at most 255 characters.
        body: more text.
        level: "debug", "info" (the default), "success", "warning" or "error", as Django's message
            levels.
        url: the target of a click: a path, a URL with the scheme http, https, mailto or tel, or an
            object with ``get_absolute_url()``.
        category: users can filter by it; at most 100 characters.
        event: the SSE event name, "notification" by default. The stream's own names are refused.
        data: any JSON-serializable value, nested at most 100 levels (30 on MySQL and MariaDB). It
            is for scripts and is not rendered.
        actor, target: model instances: who did it, and to what. Their names are stored as text.
        icon: the URL of an image.
        actions: buttons, a list of ``{"label": ..., "url": ...}``.
        key: a repeat for the same recipient updates the same row, marks it unread, adds one to its
            count and sends it again.
        idempotency_key: a repeat for the same recipient returns the first row and sends nothing. A
            row with a ``key`` stores only the idempotency key of its last update, so a retry after
            a later call counts as a new call.
        expires_at: from then on, the notification is not listed, counted or replayed.
        silent: list and count the notification, but do not announce it or show a toast.
        chunked: for very many users: write 1,000 users in a transaction each, instead of all in
            one, and keep no notification in memory. If it fails, those of the chunks before stay.
            Call it outside a transaction.
        on_progress: with ``chunked``, called after each commit with the number of users that are
            notified, and of all.

    Returns:
        One user's notification, or a list of notifications in the order of the users. With
        ``chunked``, the number of users.

    Raises:
        TypeError, ValueError: an argument is invalid. The message names it. Nothing is written.
    """
    with telemetry.span("notify") as span:
        check_chunked(to, chunked=chunked, on_progress=on_progress)
        checked = validation.check(title, body, content)
        model = get_user_model()
        one = isinstance(to, model)
        if isinstance(to, Group):
            to = model._default_manager.filter(in_group(validation.check_instance("to", to)))
        keys = validation.instance_keys("to", [to] if one else to, model)
        if chunked:
            span.set_attribute("sse_notify.notifications", len(keys))
            return write_in_chunks(checked, keys, on_progress)
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

    Membership is checked when users read: the audience is the users who are staff, or in the group,
    *now*. Users see only broadcasts that were sent after they joined.

    Args:
        title, body, and all others: as for :func:`notify`.
        audience: ``EVERYONE``, ``STAFF`` or a ``Group``.
        exclude: users who do not get the broadcast, live or in a replay.

    Returns:
        The row.

    Raises:
        TypeError, ValueError: an argument is invalid. The message names it. Nothing is written.
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
        id = validation.check_instance("audience", audience).id
        return {"audience": Audience.GROUP, "topic": group_topic(id), "group_id": id}
    if audience not in (EVERYONE, STAFF):
        raise TypeError(f"audience must be EVERYONE, STAFF or a Group, not {shown(audience)}.")
    return {"audience": Audience(audience), "topic": Audience(audience).value}


def recall(notifications: Notification | Iterable[Notification] | QuerySet[Notification]) -> int:
    """Recall notifications from all their recipients.

    Recalled notifications are not listed or counted. After the commit, open pages get ``remove``,
    which contains only the ids, and remove them. Other clients get it when they reconnect. The rows
    stay in the log for the admin. A repeat under a ``key`` is a new notification. A repeat under an
    ``idempotency_key`` still sends nothing.

    Args:
        notifications: a notification, or an iterable or QuerySet of notifications. Those that are
            already recalled do not change.

    Returns:
        The number of newly recalled notifications.

    Raises:
        TypeError, ValueError: the argument is invalid. The message names it. Nothing is written.
    """
    rows = [notifications] if isinstance(notifications, Notification) else notifications
    return take_back(sorted(validation.instance_keys("notifications", rows, Notification)))


def publish(topic: str, data: Any, *, event: str | None = None) -> None:
    """Send an event to the current subscribers of ``topic``, without a row, an id or a replay.

    It is sent at once, not after the commit. Use it for data that the next event replaces.

    Args:
        topic: a topic that an ``@topic`` pattern matches.
        data: a string is sent unchanged, any other value as JSON.
        event: the SSE event name; the topic's name by default. With another name, the event has a
            ``topic`` field, which identifies the topic if a connection has several. So has every
            event "progress": those of long work have none.

    Raises:
        TypeError, ValueError: an argument is invalid, or the event exceeds ``EVENT_MAX_BYTES``. The
            message names the argument.
    """
    check_name(topic)
    name = validation.check_event(topic if event is None else event)
    # The topic tells an event from those of long work, too.
    field = None if name == topic and name != sse_format.PROGRESS else topic
    frame = sse_format.encode(sse_format.as_text(data), event=name, topic=field)
    publisher.ring(Ephemeral(topic, validation.check_frame(frame, {"event": name, "data": data})))


async def apublish(topic: str, data: Any, *, event: str | None = None) -> None:
    """Do what :func:`publish` does, from async code. It does not block, so it needs no thread."""
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

    The staff's row is written first, then the groups' rows, then the users' rows. Each leaves out
    the users whom the rows before it reach. ``everyone`` includes all users and needs one row.

    Args:
        title, body, and all others: as for :func:`notify`.
        users: users who get a row each.
        groups: groups whose present and future members get the message.
        staff: whether all staff get the message.
        everyone: whether all users get the message.

    Returns:
        The rows of the staff, the groups and the users, in this order.

    Raises:
        TypeError, ValueError: an argument is invalid. The message names it. Nothing is written.
    """
    if everyone:
        return [broadcast(title, body, audience=EVERYONE, **content)]
    rows: list[Notification] = []
    reached: list[Q] = []
    with writing():
        if staff:
            rows.append(broadcast(title, body, audience=STAFF, **content))
            if has_user_field("is_staff"):
                reached.append(Q(is_staff=True))
        for group in groups:
            members = _reached_of(in_group(group), reached)
            rows.append(broadcast(title, body, audience=group, exclude=members, **content))
            reached.append(in_group(group))
        if reached:
            users = list(users)
            twice = set(_reached_of(Q(pk__in=[user.pk for user in users]), reached))
            users = [user for user in users if user not in twice]
        rows.extend(notify(users, title, body, **content))
    return rows


def _reached_of(some: Q, reached: Sequence[Q]) -> QuerySet[Any]:
    """Return the users who meet ``some`` and at least one of the conditions ``reached``."""
    users = get_user_model()._default_manager
    again = Q(pk__in=())
    for condition in reached:  # one subquery each: one join would need all in one row
        again |= Q(pk__in=users.filter(condition).values("pk"))
    return users.filter(some & again).distinct()


def in_group(*groups: Group) -> Q:
    """Return the condition that a user is in one of ``groups``; see :func:`groups_field`."""
    return Q(groups__id__in=[group.id for group in groups]) if groups_field() else Q(pk__in=())


def has_user_field(name: str) -> bool:
    """Return whether the user model has a field ``name``, not only an attribute.

    Only a field for Django's groups counts as ``groups``.
    """
    if name == "groups":
        return groups_field() is not None
    return any(field.name == name for field in get_user_model()._meta.get_fields())
