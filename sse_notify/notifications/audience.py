"""The audiences of a broadcast: everyone, staff, or a group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from sse_notify.topics import EVERYONE, EVERYONE_TOPIC, STAFF, STAFF_TOPIC, Audience, group_topic


def route(audience: Audience | Group) -> tuple[Audience, str, int | None]:
    """Return the audience's kind, its topic, and the group's key if it is a group.

    Raises:
        TypeError, ValueError: it is not :data:`EVERYONE`, :data:`STAFF` or a saved ``Group``.
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


def users_by_name(names: Iterable[str]) -> dict[str, Any]:
    """Return those users who sign in with one of these names, by their names: one query."""
    model = get_user_model()
    found = model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": names})
    return {str(user.get_username()): user for user in found}


def has_user_field(name: str) -> bool:
    """Return whether the user model has a field of this name, not only an attribute."""
    return any(field.name == name for field in get_user_model()._meta.get_fields())
