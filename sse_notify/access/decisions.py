"""Decide what streams may receive: when they join a hub, when a message names them, in rounds.

A request only says who the user is. :func:`decide` takes up to 500 streams at once and runs the
same number of queries for one as for 500. It does not call a project's own ``@topic`` functions:
see `sse_notify.access.authorisers`.
"""

from __future__ import annotations

import hashlib
import logging
from asyncio import CancelledError
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import router
from django.db.models import Manager

from sse_notify.access import sessions
from sse_notify.access.authorisers import may_listen
from sse_notify.access.openings import Opening, openings
from sse_notify.access.sessions import Session
from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused
from sse_notify.log.reader import Reader
from sse_notify.log.sequence import database
from sse_notify.models import Mute
from sse_notify.models.reading import in_halves
from sse_notify.topics import Match, has_inbox, joined, load_users, topics_of

logger = logging.getLogger("sse_notify")

#: Shared by all who have muted nothing: each empty set would take 216 bytes.
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subscriber:
    """The user and the session of a stream, as its request gave them."""

    user_id: Any = None
    """The user's key; ``None`` for an anonymous visitor."""
    was_active: bool = True
    """The user's ``is_active``: some authentication backends admit inactive users."""
    auth_hash: str = ""
    """The user's ``get_session_auth_hash()``, which changes with the password."""
    session: Session | None = None
    """The session that authenticated the request, if any."""
    asked: tuple[Match, ...] = ()
    """The project's own topics that the client asked for."""
    cursor: int | None = None
    """The number of the last event that the client has; ``None`` if it has none, negative if what
    it sent cannot be parsed.
    """
    page: str = ""
    """The name that the page has given itself, if any."""
    resumes: bool = False
    """Whether the cursor came in ``Last-Event-ID``, as from an ``EventSource`` that reconnects."""
    wants_names: bool = False
    """Whether the script reads the stream with an ``EventSource``, which ignores unknown names: the
    stream then announces each event of such a name.
    """


class Question(NamedTuple):
    """One stream to decide about."""

    subscriber: Subscriber
    is_new: bool = False
    """Whether the stream has not sent ``hello`` yet."""
    was_shown: bool = False
    """The :attr:`Granted.is_shown` of the last decision, if there was one."""


class Ended(NamedTuple):
    """The decision that a stream must end."""

    reason: str
    """What ``bye`` says: ``logout`` or ``revoked``."""
    again: bool
    """Whether the client reconnects, because only a new handshake can decide."""


@dataclass(kw_only=True, slots=True)
class Granted:
    """The decision that a stream may start or continue."""

    user: Any
    """The user as just loaded, for the project's ``@topic`` functions."""
    reader: Reader
    """What the client may now read of the log."""
    fingerprint: str = ""
    """The :func:`fingerprint` of the user; "" for an anonymous visitor."""
    opening: Opening | None = None
    """How a new stream starts; ``None`` for an open stream."""
    is_shown: bool = True
    """Whether the user model's default manager shows the user; true for an anonymous visitor."""


Decision = Ended | Granted


def subscriber_of(user: AbstractBaseUser | AnonymousUser, **given: Any) -> Subscriber:
    """Return the subscriber for a request of ``user``. ``given`` are its other fields.

    Raises:
        HandshakeRefused: 403: ``user`` is no row of the project's user model but, for example, made
            from a token. It could not be checked again.
    """
    if not user.is_authenticated:
        return Subscriber(**given)
    if not has_inbox(user):
        raise HandshakeRefused(403, "forbidden", "Only an account of this site can open a stream.")
    was_active = getattr(user, "is_active", True)
    return Subscriber(user_id=user.pk, was_active=was_active, auth_hash=auth_hash(user), **given)


def auth_hash(user: Any) -> str:
    """Return ``get_session_auth_hash()``, or "" for a user model without that method."""
    get_hash = getattr(user, "get_session_auth_hash", None)
    return str(get_hash()) if get_hash is not None else ""


def fingerprint(user: Any, password: str) -> str:
    """Return a hash of everything about ``user`` that affects streams, except groups.

    ``password`` is the user's :func:`auth_hash`.
    """
    flags = [getattr(user, name, None) for name in ("is_active", "is_staff", "is_superuser")]
    return hashlib.sha256(f"{flags} {password}".encode()).hexdigest()[:16]


def decide(questions: Sequence[Question]) -> list[Decision]:
    """Return the decisions about ``questions``, in the same order.

    This takes four queries for up to 500 streams, and three more if some are new. It takes one more
    if the user model's default manager may hide users. A session engine that is none of Django's
    with a table takes one call per session. The project's own topics are not decided.

    If something about one user fails, such as a project's own code, the streams of that user end.

    Raises:
        django.db.Error: the database cannot be reached, so nothing is decided.
    """
    return in_halves(_decide, questions, _cannot_decide)


def _cannot_decide(question: Question) -> Decision:
    logger.exception("A stream ends, as nothing can be decided about it.")
    return Ended(reason="revoked", again=True)


def _decide(questions: Sequence[Question]) -> list[Decision]:
    using, required = database(), get_settings().required
    users = load_users({each.subscriber.user_id for each in questions} - {None})
    hidden, muted = _hidden(users), _muted(users, using)
    given = [each.subscriber.session for each in questions]
    dead = sessions.ended([each for each in given if each is not None])
    decisions: list[Decision] = []
    decision: Decision
    new: list[tuple[Granted, Subscriber]] = []
    for subscriber, is_new, was_shown in questions:
        pk, decision = subscriber.user_id, Ended(reason="revoked", again=True)
        silent = frozenset(muted[pk]) - required if pk in muted else _NONE
        try:
            user, groups = users.get(pk, (None, ()))
            if not (was_shown and pk in hidden):  # otherwise a handshake has to authenticate again
                decision = _decision(subscriber, user, dead, groups, silent)
        except (Exception, CancelledError):  # the project's code must not stop other users'
            load_users([pk])  # raises if the database is away, which ends no stream
            logger.exception("A property or method of a user failed; the user's stream ends.")
        if isinstance(decision, Granted):
            decision.is_shown = pk not in hidden
        decisions.append(decision)
        if is_new and isinstance(decision, Granted):
            new.append((decision, subscriber))
    if new:
        clients = [(granted.reader, each.cursor, each.resumes) for granted, each in new]
        opened = openings(clients, using)
        for (granted, _), opening in zip(new, opened, strict=True):
            granted.opening = opening
    return decisions


def open_now(subscriber: Subscriber) -> Granted:
    """Decide about one new stream and its topics in this thread, for streams without a hub.

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
    """Return the refusal for a client that is not signed in, or no longer."""
    return HandshakeRefused(401, "unauthenticated", "Sign in to open a stream.")


def refused_topic(subscriber: Subscriber, allowed: Iterable[str]) -> HandshakeRefused | None:
    """Return the refusal of the first topic that a new stream may not have, if any."""
    for match in subscriber.asked:
        if match.name not in allowed:
            return forbidden(match.name, visitor=subscriber.user_id is None)
    return None


def forbidden(name: str, *, visitor: bool) -> HandshakeRefused:
    """Return the refusal of the topic ``name``: 401 for a visitor, 403 for a user."""
    if visitor:
        return HandshakeRefused(401, "unauthenticated", "Sign in to listen to this topic.")
    return HandshakeRefused(403, "forbidden", "You may not listen to this topic.", topic=name)


def _muted(pks: Collection[Any], using: str) -> dict[Any, list[str]]:
    """Return the categories that each user has muted."""
    found: dict[Any, list[str]] = {}
    mutes = Mute.objects.using(using).filter(user_id__in=pks)
    for pk, category in mutes.values_list("user_id", "category") if pks else ():
        found.setdefault(pk, []).append(category)
    return found


def _hidden(pks: Collection[Any]) -> set[Any]:
    """Return those users that the user model's default manager hides, as after a soft delete.

    Django's ``ModelBackend`` loads the user of a session with this manager, but a project's own
    backend may use another one. And a manager may need what only a request has, such as the current
    tenant, and raise without it. Then nothing is known, and nobody is hidden.
    """
    model: Any = get_user_model()
    manager = model._default_manager
    if not pks or type(manager).get_queryset is Manager.get_queryset:  # shows all
        return set()
    try:
        rows = manager.using(router.db_for_write(model)).filter(pk__in=pks)
        return {*pks} - {*rows.order_by().prefetch_related(None).values_list("pk", flat=True)}
    except Exception as error:  # if the database is away, the next query says so
        logger.debug("The default manager of %s cannot be asked: %r", model._meta.label, error)
        return set()


def _decision(
    subscriber: Subscriber,
    user: Any,
    dead: set[str],
    groups: Collection[Any],
    muted: frozenset[str],
) -> Decision:
    """Return the decision about one stream. ``user`` is its user as just loaded."""
    if subscriber.user_id is not None:
        if user is None or (subscriber.was_active and not getattr(user, "is_active", True)):
            return Ended(reason="revoked", again=False)
        if auth_hash(user) != subscriber.auth_hash:
            # ``update_session_auth_hash`` keeps one browser signed in, and its handshake succeeds.
            return Ended(reason="revoked", again=True)
    if subscriber.session is not None and subscriber.session.key in dead:
        # It was flushed, or ``cycle_key`` changed its key. Only the client's cookie says which.
        return Ended(reason="logout", again=True)
    if user is None:
        return Granted(user=AnonymousUser(), reader=Reader(topics=()))
    topics, since = topics_of(user, groups), joined(user)
    reader = Reader(topics=topics, user_id=user.pk, since=since, muted=muted)
    return Granted(user=user, reader=reader, fingerprint=fingerprint(user, subscriber.auth_hash))
