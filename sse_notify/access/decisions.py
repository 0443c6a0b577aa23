"""Decide who may listen: once a stream has joined its hub, when something rings, and in rounds.

A request only says who asks. What the streams' users may have is decided here, for up to 500 streams at once, by a number of queries
that does not grow with them. A project's own ``@topic`` functions are not asked here: see `sse_notify.access.authorisers`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django import db
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import router

from sse_notify.access import sessions
from sse_notify.access.authorisers import may_listen
from sse_notify.access.openings import Opening, openings
from sse_notify.access.sessions import Session
from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused
from sse_notify.log.reader import Reader
from sse_notify.log.sequence import database
from sse_notify.models import Mute
from sse_notify.topics import Match, topics_of

logger = logging.getLogger("sse_notify")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subscriber:
    """Who a stream is for, as its request said."""

    user_id: Any = None
    """The user's key; ``None`` for an anonymous visitor."""
    was_active: bool = True
    """``is_active``: some authentication backends admit users who are not."""
    auth_hash: str = ""
    """``get_session_auth_hash()``, which changes with the password."""
    session: Session | None = None
    """The session that the request was signed in by, if it was by one."""
    asked: tuple[Match, ...] = ()
    """The project's own topics that the client asked for."""
    cursor: int | None = None
    """The last number that the client says it has, see :func:`sse_notify.access.openings.openings`."""


class Question(NamedTuple):
    """One stream that is to be decided."""

    subscriber: Subscriber
    is_new: bool = False
    """Whether it has not said ``hello`` yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The stream must end."""

    reason: str
    """``logout`` or ``revoked``, for ``bye``."""
    again: bool
    """Whether the client is to come back, as only a handshake can say whether it may."""


@dataclass(kw_only=True, slots=True)
class Granted:
    """The stream may go on, or begin."""

    user: Any
    """The user as it is now, for the project's ``@topic`` functions."""
    reader: Reader
    """What the client may read of the log now."""
    fingerprint: str = ""
    """See :func:`fingerprint`; "" for an anonymous visitor."""
    opening: Opening | None = None
    """How a new stream starts."""


Decision = Ended | Granted


def subscriber_of(user: AbstractBaseUser | AnonymousUser, **given: Any) -> Subscriber:
    """Return the subscriber for a request of ``user``; ``given``: its other fields.

    Raises:
        HandshakeRefused: 403 for a user who is no row of the project's user model but what a token says: nothing of it can be decided
            again.
    """
    if not user.is_authenticated:
        return Subscriber(**given)
    if not isinstance(user, get_user_model()):
        raise HandshakeRefused(403, "forbidden", "Only an account of this site can open a stream.")
    was_active = getattr(user, "is_active", True)
    return Subscriber(user_id=user.pk, was_active=was_active, auth_hash=auth_hash(user), **given)


def auth_hash(user: Any) -> str:
    """Return what changes with the user's password; "" for a user model that has no such thing."""
    get_hash = getattr(user, "get_session_auth_hash", None)
    return str(get_hash()) if get_hash is not None else ""


def fingerprint(user: Any) -> str:
    """Return a text that differs if something of ``user`` differs that decides about streams, its groups apart."""
    flags = [getattr(user, name, None) for name in ("is_active", "is_staff", "is_superuser")]
    return hashlib.sha256(f"{flags} {auth_hash(user)}".encode()).hexdigest()[:16]


def decide(questions: Sequence[Question]) -> list[Decision]:
    """Return the decision about each of ``questions``.

    Four queries for up to 500 of them, and three more if some are new; a session engine without a table is asked for one session after the
    other. The project's topics are not decided.

    Raises:
        django.db.Error: the database is away; nothing is known then.
    """
    using, required = database(), get_settings().required
    users = _users({each.user_id for each, _ in questions} - {None})
    groups, muted = _groups(users), _muted(users, using)
    dead = sessions.ended(each.session for each, _ in questions if each.session is not None)
    decisions: list[Decision] = []
    new: list[tuple[Granted, int | None]] = []
    for subscriber, is_new in questions:
        user = users.get(subscriber.user_id)
        if refusal := _refusal(subscriber, user, dead):
            decisions.append(refusal)
            continue
        granted = Granted(user=user or AnonymousUser(), reader=Reader(topics=()))
        if user is not None:
            granted.fingerprint = fingerprint(user)
            granted.reader = Reader(
                topics=topics_of(user, groups.get(user.pk, ())),
                user_id=user.pk,
                since=getattr(user, "date_joined", None),
                muted=frozenset(muted.get(user.pk, ())) - required,
            )
        decisions.append(granted)
        if is_new:
            new.append((granted, subscriber.cursor))
    if new:
        opened = openings([(granted.reader, cursor) for granted, cursor in new], using)
        for (granted, _), opening in zip(new, opened, strict=True):
            granted.opening = opening
    return decisions


def open_now(subscriber: Subscriber) -> Granted:
    """Decide about one new stream, its topics included, in this thread: where no hub can be joined first.

    Raises:
        HandshakeRefused: 401 or 403.
    """
    (decision,) = decide([Question(subscriber, is_new=True)])
    if isinstance(decision, Ended):
        raise unauthenticated()
    allowed = [each.name for each in subscriber.asked if may_listen(decision.user, each)]
    if refusal := refused_topic(subscriber, allowed):
        raise refusal
    return decision


def unauthenticated() -> HandshakeRefused:
    """Return the refusal of who is nobody, or nobody any more."""
    return HandshakeRefused(401, "unauthenticated", "Sign in to open a stream.")


def refused_topic(subscriber: Subscriber, allowed: Iterable[str]) -> HandshakeRefused | None:
    """Return the refusal of the first topic that a new stream asks for and may not have."""
    for match in subscriber.asked:
        if match.name not in allowed:
            return forbidden(match.name, visitor=subscriber.user_id is None)
    return None


def forbidden(name: str, *, visitor: bool) -> HandshakeRefused:
    """Return the refusal of the topic ``name``."""
    if visitor:
        return HandshakeRefused(401, "unauthenticated", "Sign in to listen to this topic.")
    return HandshakeRefused(403, "forbidden", "You may not listen to this topic.", topic=name)


def _users(pks: set[Any]) -> dict[Any, Any]:
    model: Any = get_user_model()
    # Whole rows: which fields ``get_session_auth_hash`` looks at, the project decides.
    rows = model._base_manager.using(router.db_for_write(model)).filter(pk__in=pks)
    return {user.pk: user for user in rows} if pks else {}


def _groups(pks: Collection[Any]) -> dict[Any, list[Any]]:
    """Return the keys of the users' groups."""
    model: Any = get_user_model()
    if not pks or getattr(model, "groups", None) is None:  # a custom user model need not have any
        return {}
    field = model.groups.field
    source, target = field.m2m_field_name(), field.m2m_reverse_field_name()
    members = model.groups.through._base_manager.using(router.db_for_write(model))
    return _by_user(members.filter(**{f"{source}__in": list(pks)}).values_list(source, target))


def _muted(pks: Collection[Any], using: str) -> dict[Any, list[str]]:
    """Return the categories that the users have muted."""
    mutes = Mute.objects.using(using).filter(user_id__in=pks)
    return _by_user(mutes.values_list("user_id", "category")) if pks else {}


def _by_user(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for pk, value in pairs:
        found.setdefault(pk, []).append(value)
    return found


def _refusal(subscriber: Subscriber, user: Any, dead: set[str]) -> Ended | None:
    """Return why the stream must end; ``user``: its user as it is now, ``None`` if there is none."""
    if subscriber.user_id is not None:
        if user is None or (subscriber.was_active and not getattr(user, "is_active", True)):
            return Ended(reason="revoked", again=False)
        if _has_another_password(user, subscriber.auth_hash):
            # ``update_session_auth_hash`` keeps the one browser signed in in which the password was changed.
            return Ended(reason="revoked", again=True)
    if subscriber.session is not None and subscriber.session.key in dead:
        # Flushed, or given another key, which ``cycle_key`` does; the client's cookie says which.
        return Ended(reason="logout", again=True)
    return None


def _has_another_password(user: Any, before: str) -> bool:
    try:
        return auth_hash(user) != before
    except db.Error:
        raise
    except Exception:  # the project's own code; nobody else's decision may depend on it
        logger.exception("get_session_auth_hash() of a user failed; the user's stream ends.")
        return True
