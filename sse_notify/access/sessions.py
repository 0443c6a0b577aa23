"""Name the sessions that streams depend on, without their keys, and check whether they have ended.

A session's key gives the same access as its cookie, so it never leaves the process. Messages
between processes name a session by its digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from django.conf import settings  # noqa: TID251  (SESSION_ENGINE is Django's own)
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.db import router
from django.http import HttpRequest, parse_cookie
from django.utils import timezone
from django.utils.crypto import salted_hmac

from sse_notify.telemetry import Incident

_engine = Incident("session_engine")


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """The session that one stream was opened with."""

    digest: str
    """Its name in messages: see :func:`digest`."""
    store: type[SessionBase]
    """The session engine's ``SessionStore``."""
    key: str | None = field(default=None, repr=False)
    """Its key, to check whether it has ended; ``None`` if that is not checked."""


def digest(key: str) -> str:
    """Return a name for the session ``key``: the same in every process, and not usable as a key."""
    return salted_hmac("sse_notify.session", key, algorithm="sha256").hexdigest()[:32]


def digest_of(user_pk: Any) -> str:
    """Return a name for all sessions of a user, for streams whose session is not known."""
    return digest(f"user {user_pk}")


def of(request: HttpRequest) -> Session | None:
    """Return the session that authenticated ``request``; ``None`` if it was, say, a token."""
    session: SessionBase | None = getattr(request, "session", None)
    # Without a key there was no cookie. Checking it first saves loading the session.
    if session is None or not session.session_key or SESSION_KEY not in session:
        return None
    key = session.session_key
    in_cookie = isinstance(session, CookieStore)
    return Session(digest=digest(key), store=type(session), key=None if in_cookie else key)


def of_user(user_pk: Any, cookies: str | None) -> Session:
    """Return the session that a view's own stream depends on.

    Args:
        user_pk: the primary key of the stream's user.
        cookies: the request's ``Cookie`` header; ``None`` if the request is not known. Then any
            logout of the user ends the stream.
    """
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if cookies is None:
        return Session(digest=digest_of(user_pk), store=store)
    key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME)
    return Session(digest=digest(key) if key else "", store=store)


def ended(sessions: Iterable[Session]) -> set[str]:
    """Return the keys of those sessions that have ended.

    An engine with a model takes one query, any other engine one call per session.
    """
    keys: dict[type[SessionBase], set[str]] = {}
    for session in sessions:
        if session.key is not None:
            keys.setdefault(session.store, set()).add(session.key)
    found: set[str] = set()
    for store, asked in keys.items():
        if hasattr(store, "get_model_class"):  # as ``db`` and ``cached_db``
            model = store.get_model_class()
            rows = model._base_manager.using(router.db_for_write(model))
            rows = rows.filter(session_key__in=asked, expire_date__gt=timezone.now())
            found |= asked - set(rows.values_list("session_key", flat=True))
        else:
            found |= _missing(store, asked)
    return found


def _missing(store: type[SessionBase], keys: set[str]) -> set[str]:
    """Return those of ``keys`` that the engine does not know, up to its first error.

    A cache that cannot be reached must not end streams.
    """
    found = set()
    try:
        for key in keys:
            if not store().exists(key):
                found.add(key)
    except Exception as error:  # engines raise exceptions of many kinds
        _engine.failed(error)
    else:
        _engine.worked()
    return found
