"""Whom a broadcast from the admin is for: in words, how many that are now, and how it is sent to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import transaction
from django.utils.translation import gettext as _

from sse_notify.delivery import CHUNK
from sse_notify.log import database
from sse_notify.models import Audience, Notification
from sse_notify.verbs import broadcast, notify

if TYPE_CHECKING:
    from django.contrib.auth.models import Group
    from django.db.models import QuerySet

    from sse_notify.content import Content

#: Users who are notified one by one at most; a row is written for each, in the admin's request. For more there are groups.
MAX_USERS = 10_000
#: Names that a description spells out.
NAMES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Addressees:
    """An audience of the verbs, several groups, or chosen users."""

    audience: Audience
    """Which kind."""
    groups: tuple[Group, ...] = ()
    """The groups, for ``Audience.GROUP``."""
    users: QuerySet[Any] | None = None
    """The users, for ``Audience.USER``."""

    def __str__(self) -> str:
        """Return who they are, in the language of the page."""
        if self.audience == Audience.GROUP:
            return _("Groups: %(names)s") % {
                "names": ", ".join(group.name for group in self.groups)
            }
        if self.users is not None:
            names = [str(user) for user in self.users[: NAMES + 1]]
            shown = ", ".join(names[:NAMES]) + (" …" if len(names) > NAMES else "")
            return _("Chosen users: %(names)s") % {"names": shown}
        return str(self.audience.label)

    def members(self) -> QuerySet[Any] | None:
        """Return the users whom it reaches now: those who can sign in. ``None`` if a query cannot tell who is staff."""
        users = active_users()
        if self.audience == Audience.STAFF:
            return users.filter(is_staff=True) if has_field("is_staff") else None
        if self.audience == Audience.GROUP:
            return users.filter(groups__in=self.groups).distinct()
        if self.users is not None:
            return users.filter(pk__in=self.users.order_by().values("pk"))
        return users

    def count(self) -> int | None:
        """Return how many it reaches now: one query. ``None`` if a query cannot tell."""
        members = self.members()
        return members.count() if members is not None else None

    def count_connected(self, connected: Iterable[str]) -> int | None:
        """Return how many of them are among ``connected``, the keys of users as text: a query for each 1,000 of these."""
        members = self.members()
        if members is None:
            return None
        keys = sorted(connected)
        return sum(
            members.filter(pk__in=keys[start : start + CHUNK]).count()
            for start in range(0, len(keys), CHUNK)
        )

    def send(self, title: str, body: str, content: Content) -> list[Notification]:
        """Send to them, inside one transaction: one row for each audience or group, or for each of the chosen users.

        Who is in several of the groups gets it once: each group's broadcast excludes the members of the groups before it.

        Raises:
            TypeError, ValueError: an argument is wrong, as for :func:`sse_notify.broadcast`; nothing is written.
        """
        if self.users is not None:
            return notify(self.users, title, body, **content)
        if self.audience != Audience.GROUP:
            return [broadcast(title, body, audience=self.audience, **content)]
        with transaction.atomic(using=database()):
            return [
                broadcast(
                    title,
                    body,
                    audience=group,
                    exclude=_members_of_both(group, self.groups[:number]),
                    **content,
                )
                for number, group in enumerate(self.groups)
            ]


def active_users() -> QuerySet[Any]:
    """Return the users who can sign in."""
    users: QuerySet[Any] = get_user_model()._default_manager.all()
    return users.filter(is_active=True) if has_field("is_active") else users


def has_field(name: str) -> bool:
    """Return whether the project's user model has a column or a relation of this name, not only an attribute."""
    try:
        get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


def _members_of_both(group: Group, others: tuple[Group, ...]) -> QuerySet[Any] | tuple[()]:
    if not others:
        return ()
    return (
        get_user_model()._default_manager.filter(groups=group).filter(groups__in=others).distinct()
    )
