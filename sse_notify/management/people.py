"""Find users and groups by the names that operators type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import CommandError

from sse_notify.notifications.send import users_by_name


def users(names: Sequence[str]) -> list[Any]:
    """Return the users of these names, each once.

    Raises:
        CommandError: some are not there; the message names them.
    """
    return _all_of("--user: no user", names, users_by_name(names))


def groups(names: Sequence[str]) -> list[Group]:
    """Return the groups of these names, each once. Errors as for :func:`users`."""
    found = {group.name: group for group in Group.objects.filter(name__in=names)}
    return _all_of("--group: no group", names, found)


def _all_of(error: str, names: Sequence[str], found: dict[str, Any]) -> list[Any]:
    missing = [name for name in names if name not in found]
    if missing:
        raise CommandError(f"{error} {', '.join(map(repr, missing))}")
    return [found[name] for name in dict.fromkeys(names)]
