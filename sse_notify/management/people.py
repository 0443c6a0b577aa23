"""Find users and groups by the names that operators type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management.base import CommandError


def users(names: Sequence[str]) -> list[Any]:
    """Return the users of these names, each once.

    Raises:
        CommandError: some are not there; the message names them.
    """
    model = get_user_model()
    found = {
        user.get_username(): user
        for user in model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": names})
    }
    return _all_of("--user: no user", names, {str(name): user for name, user in found.items()})


def groups(names: Sequence[str]) -> list[Group]:
    """Return the groups of these names, each once. Errors as for :func:`users`."""
    return _all_of(
        "--group: no group",
        names,
        {group.name: group for group in Group.objects.filter(name__in=names)},
    )


def _all_of(error: str, names: Sequence[str], found: dict[str, Any]) -> list[Any]:
    missing = [name for name in names if name not in found]
    if missing:
        raise CommandError(f"{error} {', '.join(map(repr, missing))}")
    return [found[name] for name in dict.fromkeys(names)]
