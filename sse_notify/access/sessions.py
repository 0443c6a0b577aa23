"""The sessions that streams depend on: name them without their keys, check whether they have ended.

A session's key gives the same access as its cookie, so it never leaves the process. Messages
between processes name a session by its digest.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, wraps
from importlib import import_module
from time import monotonic
from typing import Any

from django import db
from django.conf import settings  # noqa: TID251  (the settings of sessions are Django's own)
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.core.exceptions import SuspiciousOperation
from django.db import router
from django.http import HttpRequest, parse_cookie
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from sse_notify.telemetry import Incident

#: A cookie's value that may be a session's key, and that every engine can be asked for.
KEY = re.compile(r"[\w-]{8,128}", re.ASCII)
#: What an engine defines that is ``db`` or ``cached_db`` with another model.
_OF_ANOTHER_MODEL = {"get_model_class", "create_model_instance", "acreate_model_instance"}
_OF_ANOTHER_MODEL |= {"cache_key_prefix"}

#: Seconds after which an engine that fails is not asked for more sessions in the same decision.
FAILING_SECONDS = 1.0

_engine = Incident("session_engine")
#: Keys that were found ended, the newest of them.
_ended: deque[str] = deque(maxlen=1000)


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
    """Return a name for the session ``key``: the same in every process, and not usable as a key.

    Nobody can guess a key, so this needs no secret, which processes may have replaced.
    """
    return hashlib.sha256(f"sse_notify.session {key}".encode()).hexdigest()[:32]


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
    store: Any = next(kind for kind in type(session).__mro__ if not issubclass(kind, _Untouched))
    return Session(digest=digest(key), store=store, key=None if in_cookie else key)


def of_user(user_pk: Any, cookies: str | None) -> Session:
    """Return the session that a view's own stream depends on.

    Nothing says how the view authenticated the user. If the cookie's session was found ended before
    the request, it was not by this session, and the session is not checked.

    Args:
        user_pk: the primary key of the stream's user.
        cookies: the request's ``Cookie`` header; ``None`` if the request is not known. Then any
            logout of the user ends the stream.
    """
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if cookies is None:
        return Session(digest=digest_of(user_pk), store=store)
    key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME, "")
    is_checked = KEY.fullmatch(key) and key not in _ended and not issubclass(store, CookieStore)
    return Session(digest=digest(key) if key else "", store=store, key=key if is_checked else None)


def ended(sessions: Iterable[Session]) -> set[str]:
    """Return the keys of those sessions that have ended.

    Django's engines with a table take one query, any other engine one call per session.

    Raises:
        django.db.Error: a table of sessions cannot be read.
    """
    keys: dict[type[SessionBase], set[str]] = {}
    for session in sessions:
        if session.key is not None:
            keys.setdefault(session.store, set()).add(session.key)
    found: set[str] = set()
    for store, asked in keys.items():
        try:
            found.update(_gone(store, asked))
            _engine.worked()
        except db.Error:
            raise
        except Exception as error:  # engines raise exceptions of many kinds
            _engine.failed(error)
    _ended.extend(found)
    return found


def _gone(store: Any, keys: set[str]) -> Iterator[str]:
    """Yield those of ``keys`` that the engine does not know as logins; then raise its first error.

    A cache that cannot be reached must not end streams, and one session that cannot be read must
    not hide that others have ended.
    """
    if _has_plain_table(store):
        model = store.get_model_class()
        rows = model._base_manager.using(router.db_for_write(model))
        rows = rows.filter(session_key__in=keys, expire_date__gt=timezone.now())
        yield from keys - set(rows.values_list("session_key", flat=True))
        return
    errors: list[Exception] = []
    begun_at = monotonic()
    for key in keys:
        try:
            if _is_gone(store(session_key=key)):
                yield key
        except db.Error:
            raise
        except Exception as error:
            errors.append(error)
            if monotonic() - begun_at > FAILING_SECONDS:
                break
    if errors:
        raise errors[0]


def _is_gone(session: SessionBase) -> bool:
    """Return whether the engine does not know ``session`` as a login."""
    # ``load()`` of the engine ``file`` replaces a session that has expired.
    session.create = session.delete = session.save = _change_nothing  # type: ignore[method-assign]
    if SESSION_KEY in session:
        return False
    with suppress(SuspiciousOperation):  # this key cannot be one
        session.exists(session.session_key or "")  # raises what ``load()`` of ``cache`` hides
    return True


def _has_plain_table(store: type[SessionBase]) -> bool:
    """Return whether the engine is ``db`` or ``cached_db``, or only has another model."""
    own = [kind for kind in store.__mro__ if not kind.__module__.startswith("django.contrib.")]
    names = {name for kind in own for name in vars(kind) if not name.startswith("__")}
    return hasattr(store, "get_model_class") and names <= _OF_ANOTHER_MODEL


def _change_nothing(*args: Any, **kwargs: Any) -> None:
    """Stand for the methods of a session that write."""


# --- requests that are no activity of the user ---


def in_background(
    view: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Let requests for ``view`` not prolong the session: a page sends them without its user.

    With ``SESSION_SAVE_EVERY_REQUEST``, each of them would renew the session and its cookie, and a
    session that ends when its user is idle would never end. If the view or a middleware modifies
    the session, it is saved as usual.

    The view checks the CSRF token itself, if it has to: ``CsrfViewMiddleware`` would refuse the
    request before this knows of it.
    """

    @csrf_exempt
    @wraps(view)
    def view_in_background(request: HttpRequest) -> HttpResponseBase:
        session = getattr(request, "session", None)
        if not (settings.SESSION_SAVE_EVERY_REQUEST and isinstance(session, SessionBase)):
            return view(request)
        session.__class__ = _untouched(type(session))
        response = view(request)
        patch_vary_headers(response, ("Cookie",))  # as the middleware does
        return response

    return view_in_background


class _Untouched(SessionBase):
    """A session that ``SessionMiddleware`` does not save, unless it is modified.

    The middleware leaves a session without the attribute ``accessed`` alone, whatever happens
    between the view and the middleware. If the session is empty, it still deletes the cookie.
    """

    @property
    def accessed(self) -> bool:
        if self.modified or self.is_empty():
            return True
        raise AttributeError("accessed")

    @accessed.setter
    def accessed(self, value: bool) -> None:
        """Ignore what every reading access sets."""


@cache
def _untouched(store: type[SessionBase]) -> type[SessionBase]:
    # The engine's name stays, as it is part of the salt that signs the data.
    return type(store.__name__, (_Untouched, store), {"__qualname__": store.__qualname__})
