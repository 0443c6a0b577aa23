"""Whom a notification is for: one user, several, a group, the staff or everyone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet

from sse_notify.topics import EVERYONE_TOPIC, STAFF_TOPIC, Audience, group_topic

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    Users = Iterable[AbstractBaseUser] | QuerySet[Any] | Group

#: Every user who has an account when reading, and had one when the broadcast was sent.
EVERYONE: Final = Audience.EVERYONE
#: Every user who is staff when reading.
STAFF: Final = Audience.STAFF


def route(audience: Audience | Group) -> tuple[Audience, str, int | None]:
    """Return the audience's kind, its topic, and the group's key if it is a group.

    Raises:
        TypeError, ValueError: it is neither :data:`EVERYONE` nor :data:`STAFF` nor a saved ``Group``.
    """
    if isinstance(audience, Group):
        if audience.pk is None:
            raise ValueError("audience must be saved.")
        return Audience.GROUP, group_topic(audience.pk), audience.pk
    if audience == EVERYONE:
        return Audience.EVERYONE, EVERYONE_TOPIC, None
    if audience == STAFF:
        return Audience.STAFF, STAFF_TOPIC, None
    raise TypeError(f"audience must be EVERYONE, STAFF or a Group, not {audience!r}.")


def check_user(name: str, user: Any) -> AbstractBaseUser:
    """Return the argument ``name`` if it is a user of the project who is saved.

    Raises:
        TypeError, ValueError: it is not; the message begins with ``name``.
    """
    if not isinstance(user, get_user_model()):
        raise TypeError(f"{name} must be a user, not {_kind(user)}.")
    if user.pk is None:
        raise ValueError(f"{name} must be saved.")
    return user


def user_keys(name: str, users: Any) -> list[Any]:
    """Return the keys of the users that the argument ``name`` stands for, in order, each once.

    Args:
        name: the argument, for errors.
        users: an iterable or QuerySet of users, or a ``Group`` for its members now.

    Raises:
        TypeError, ValueError: it is none of these, or holds what is no saved user; the message begins with ``name``.
    """
    model = get_user_model()
    if isinstance(users, Group):
        if users.pk is None:
            raise ValueError(f"{name} must be saved.")
        users = model._default_manager.filter(groups=users)
    if isinstance(users, QuerySet):
        if not issubclass(users.model, model):
            raise TypeError(f"{name} must be users, not {users.model.__name__} objects.")
        return list(dict.fromkeys(users.values_list("pk", flat=True)))
    # An anonymous user who is lazy looks as if it could be iterated over.
    is_anonymous = getattr(users, "is_anonymous", False) is True
    if is_anonymous or isinstance(users, (str, bytes)) or not isinstance(users, Iterable):
        raise TypeError(f"{name} must be users, not {_kind(users)}.")
    return list(dict.fromkeys(check_user(name, user).pk for user in users))


def has_user_field(name: str) -> bool:
    """Return whether the project's user model has a column or a relation of this name, not only an attribute."""
    try:
        get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


def _kind(value: Any) -> str:
    is_anonymous = getattr(value, "is_anonymous", False) is True
    return "an anonymous user" if is_anonymous else type(value).__name__
