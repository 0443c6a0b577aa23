"""The sessions that streams rest on: named without their keys, and asked for whether they still live.

A session's key is as good as its cookie, so it never leaves the process: messages between processes name a session by its digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from django.conf import settings  # noqa: TID251  (SESSION_ENGINE is Django's setting, not one of ours)
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
    """Its name in messages, see :func:`digest`."""
    store: type[SessionBase]
    """The engine's class, which is asked for it."""
    key: str | None = field(default=None, repr=False)
    """Its key; ``None`` if the engine cannot say whether it lives, as its data is in the client's cookie."""


def digest(key: str) -> str:
    """Return a name for the session ``key``: the same in every process of the site, and useless to anybody else."""
    return salted_hmac("sse_notify.session", key, algorithm="sha256").hexdigest()[:32]


def digest_of(user_pk: Any) -> str:
    """Return a name for all sessions of a user: of streams that are a user's, while nothing says which session opened them."""
    return digest(f"user {user_pk}")


def of(request: HttpRequest) -> Session | None:
    """Return the session that ``request`` is signed in by; ``None`` if it is by other means, a token, say."""
    session: SessionBase | None = getattr(request, "session", None)
    # Without a key there was no cookie, and nothing has to be loaded to know so.
    if session is None or not session.session_key or SESSION_KEY not in session:
        return None
    key = session.session_key
    in_cookie = isinstance(session, CookieStore)
    return Session(digest=digest(key), store=type(session), key=None if in_cookie else key)


def of_user(user_pk: Any, cookies: str | None) -> Session:
    """Return the session that a view's own events rest on.

    Args:
        user_pk: whose events they are.
        cookies: the request's ``Cookie`` header; ``None`` if the request is not known: then any logout of the user ends them.
    """
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if cookies is None:
        return Session(digest=digest_of(user_pk), store=store)
    key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME)
    return Session(digest=digest(key) if key else "", store=store)


def ended(sessions: Iterable[Session]) -> set[str]:
    """Return the keys of those that ended: one query for an engine that has a model, one call for each session for another."""
    keys: dict[type[SessionBase], set[str]] = {}
    for session in sessions:
        if session.key is not None:
            keys.setdefault(session.store, set()).add(session.key)
    found: set[str] = set()
    for store, asked in keys.items():
        model = _model(store)
        if model is not None:
            rows = model._base_manager.using(router.db_for_write(model))
            rows = rows.filter(session_key__in=asked, expire_date__gt=timezone.now())
            found |= asked - set(rows.values_list("session_key", flat=True))
        else:
            found |= _missing(store, asked)
    return found


def _missing(store: type[SessionBase], keys: set[str]) -> set[str]:
    """Return which of ``keys`` the engine does not know; none more, once it fails: a cache that is away ends no stream."""
    found = set()
    try:
        for key in keys:
            if not store().exists(key):
                found.add(key)
    except Exception as error:  # whatever the engine raises
        _engine.failed(error)
    else:
        _engine.worked()
    return found


def _model(store: type[SessionBase]) -> Any:
    """Return the model that an engine keeps its sessions in, as Django's ``db`` and ``cached_db`` do."""
    get_model_class = getattr(store, "get_model_class", None)
    return None if get_model_class is None else get_model_class()
