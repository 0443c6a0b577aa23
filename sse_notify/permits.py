"""What the permission of an open stream rests on, and whether it still holds: asked of the database for many streams at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import db
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import router

from sse_notify import log, sessions
from sse_notify.models import Mute
from sse_notify.snapshot import make_reader
from sse_notify.topics import is_allowed

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.http import HttpRequest

    from sse_notify.log import Reader
    from sse_notify.sessions import Session

logger = logging.getLogger("sse_notify")


@dataclass(frozen=True, kw_only=True, slots=True)
class Permit:
    """What a handshake found."""

    user_id: Any = None
    """The user's key; ``None`` for an anonymous visitor."""
    is_account: bool = True
    """Whether the user is a row of the project's user model. One that a token alone describes cannot be looked at again."""
    was_active: bool = True
    """``is_active``: some authentication backends admit users who are not."""
    auth_hash: str = ""
    """``get_session_auth_hash()``, which changes with the password."""
    session: Session | None = None
    """The session that the request was signed in by, if it was by one."""
    asked: tuple[str, ...] = ()
    """The project's own topics that the client asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The permission is gone."""

    reason: str
    """``logout`` or ``revoked``, for ``bye``."""
    again: bool
    """Whether the client is to come back, as only a handshake can say whether it may."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The permission holds."""

    reader: Reader | None = None
    """What the client may read of the log now; ``None``: not looked at."""
    asked: tuple[str, ...] | None = None
    """What is allowed now of the topics that it asked for; ``None``: not looked at."""


Verdict = Ended | Standing


def permit_of(
    request: HttpRequest | None, user: AbstractBaseUser | None, asked: tuple[str, ...]
) -> Permit:
    """Return what the permission of a stream rests on that ``request`` opens for ``user``.

    Args:
        request: ``None`` if it has nothing to do with the session that it came with.
        user: ``None`` for an anonymous visitor.
        asked: the project's own topics that it asks for.
    """
    if user is None:
        return Permit(asked=asked)
    return Permit(
        user_id=user.pk,
        is_account=isinstance(user, get_user_model()),
        was_active=getattr(user, "is_active", True),
        auth_hash=_auth_hash(user),
        session=sessions.of(request) if request is not None else None,
        asked=asked,
    )


def check(permits: Sequence[Permit], *, thorough: bool = True) -> list[Verdict]:
    """Return what became of each of ``permits``: four queries for up to 500 of them, and what the project's topics ask.

    Args:
        permits: what to look at.
        thorough: whether to ask what takes a call for each stream too: the project's topics, and sessions that no table holds.

    Raises:
        django.db.Error: the database is away; nothing is known then.
    """
    users = _users(
        {permit.user_id for permit in permits if permit.user_id is not None and permit.is_account}
    )
    gone = sessions.gone(
        (permit.session for permit in permits if permit.session is not None), one_by_one=thorough
    )
    return [_judge(permit, users, gone, thorough=thorough) for permit in permits]


def _judge(
    permit: Permit, users: dict[Any, tuple[Any, Reader]], gone: set[str], *, thorough: bool
) -> Verdict:
    user, reader = None, None
    if permit.user_id is not None and permit.is_account:
        if permit.user_id not in users:
            return Ended(reason="revoked", again=False)
        user, reader = users[permit.user_id]
        if permit.was_active and not getattr(user, "is_active", True):
            return Ended(reason="revoked", again=False)
        if _auth_hash(user) != permit.auth_hash:
            # ``update_session_auth_hash`` keeps the one browser signed in in which the password was changed.
            return Ended(reason="revoked", again=True)
    if permit.session is not None and permit.session.key in gone:
        # Flushed, or given another key, which ``cycle_key`` does; the client's cookie says which.
        return Ended(reason="logout", again=True)
    if not thorough or (permit.user_id is not None and user is None):
        return Standing(reader=reader)
    asked = tuple(name for name in permit.asked if _may_listen(user or AnonymousUser(), name))
    if permit.user_id is None and not asked:
        return Ended(reason="revoked", again=False)
    return Standing(reader=reader, asked=asked)


def _auth_hash(user: AbstractBaseUser) -> str:
    get_hash = getattr(user, "get_session_auth_hash", None)
    return str(get_hash()) if get_hash is not None else ""


def _may_listen(user: AbstractBaseUser | AnonymousUser, name: str) -> bool:
    try:
        return is_allowed(user, name)
    except db.Error:
        raise
    except Exception:  # the project's own code: the object that the topic is about may be gone, and nobody is there to ask
        logger.exception("The function of topic %r failed; its listener loses it.", name)
        return False


def _users(pks: set[Any]) -> dict[Any, tuple[Any, Reader]]:
    """Return the users by key, each with what they may read of the log."""
    if not pks:
        return {}
    model: Any = get_user_model()
    using = router.db_for_write(model)
    groups: dict[Any, list[Any]] = {}
    if getattr(model, "groups", None) is not None:  # a custom user model need not have groups
        field = model.groups.field
        source, target = field.m2m_field_name(), field.m2m_reverse_field_name()
        members = model.groups.through._base_manager.using(using).filter(**{f"{source}__in": pks})
        for pk, group in members.values_list(source, target):
            groups.setdefault(pk, []).append(group)
    muted: dict[Any, list[str]] = {}
    for pk, category in (
        Mute.objects.using(log.database())
        .filter(user_id__in=pks)
        .values_list("user_id", "category")
    ):
        muted.setdefault(pk, []).append(category)
    # Whole rows: which fields ``get_session_auth_hash`` looks at, the project decides.
    users = model._base_manager.using(using).filter(pk__in=pks)
    return {
        user.pk: (user, make_reader(user, groups.get(user.pk, ()), muted.get(user.pk, ())))
        for user in users
    }
