"""The people of the demo: one place for the set-up, the sign-in page and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser
    from django.utils.functional import _StrPromise


@dataclass(frozen=True, kw_only=True)
class Person:
    """One demo user."""

    username: str
    first_name: str
    last_name: str
    group: str
    """The name of the one group that the user is in."""
    role: _StrPromise
    """What the sign-in page says about them."""
    is_admin: bool = False
    """Staff and superuser."""


PEOPLE = (
    Person(
        username="alice", first_name="Alice", last_name="Moreau", group="Product", role=_("Product")
    ),
    Person(
        username="bob",
        first_name="Bob",
        last_name="Tanaka",
        group="Engineering",
        role=_("Engineering"),
    ),
    Person(
        username="carol",
        first_name="Carol",
        last_name="Adeyemi",
        group="Operations",
        role=_("Operations, admin"),
        is_admin=True,
    ),
    Person(
        username="dave",
        first_name="Dave",
        last_name="Lindqvist",
        group="Engineering",
        role=_("Engineering"),
    ),
)


def signed_in(user: AbstractBaseUser | AnonymousUser) -> User:
    """Return the user of a ``login_required`` view, typed as a ``User``."""
    if not isinstance(user, User):
        raise TypeError("the view is not behind login_required")
    return user
