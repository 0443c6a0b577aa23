"""One message to several audiences at once, to nobody twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import transaction
from django.db.models import Q

from sse_notify import locks
from sse_notify.audience import EVERYONE, STAFF
from sse_notify.log import database
from sse_notify.verbs import broadcast, notify

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import Group

    from sse_notify.content import Content
    from sse_notify.models import Notification


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
    """Send to all of these, inside one transaction: a row for the staff, for each group, and for each of the users.

    Who is in several of them gets it once: each group's broadcast excludes who was reached before, and so do the users. Everyone
    includes all others, and is one row.

    Args:
        title, body, and all further: as for :func:`sse_notify.notify`.
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
    with transaction.atomic(using=database()):
        locks.begin_write(database())
        if staff:
            rows.append(broadcast(title, body, audience=STAFF, **content))
            if _is_a_column("is_staff"):
                reached.append(Q(is_staff=True))
        for group in groups:
            members = _among(Q(groups=group), reached)
            rows.append(broadcast(title, body, audience=group, exclude=members, **content))
            reached.append(Q(groups=group))
        chosen = list(users)
        twice = {user.pk for user in _among(Q(pk__in=[user.pk for user in chosen]), reached)}
        rows.extend(
            notify([user for user in chosen if user.pk not in twice], title, body, **content)
        )
    return rows


def _among(some: Q, reached: Sequence[Q]) -> Iterable[Any]:
    """Return the users of ``some`` whom one of the conditions ``reached``."""
    if not reached:
        return ()
    users = get_user_model()._default_manager
    # Each condition by itself: a user has several groups, and one join would look for all of them in one row.
    keys = [
        set(users.filter(some).filter(condition).values_list("pk", flat=True))
        for condition in reached
    ]
    return users.filter(pk__in=set().union(*keys))


def _is_a_column(name: str) -> bool:
    try:
        get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
