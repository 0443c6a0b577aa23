"""Load the sessions and users of many handshakes with two queries.

Django loads the session and the user of each request by itself, when they are first read. That
would be most of the work of a handshake. So the first handshake that reads them loads those of all
that wait for a thread, and puts each where Django would put it.

That is done only for what Django would accept at once: a session of the engine ``db`` that exists;
its user, from ``ModelBackend`` or a backend that loads users in the same way; a hash made with the
current secret. Django does all else. What was loaded is up to a second old when it is used, and
`sse_notify.access.decisions` reads both again before the stream begins.
"""

from __future__ import annotations

import math
from contextlib import suppress
from importlib import import_module
from itertools import islice
from threading import Lock
from time import monotonic
from typing import Any

from django.conf import settings  # noqa: TID251  (the settings of sessions are Django's own)
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.contrib.sessions.backends.db import SessionStore as TableStore
from django.http import HttpRequest, parse_cookie
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from sse_notify.access.sessions import KEY

PAGE = 100  #: Handshakes whose sessions and users are loaded together.
WAIT_SECONDS = 0.1  #: Seconds that a handshake waits for another one that is loading.
FRESH_SECONDS = 1.0  #: Seconds after which what was loaded is no longer used.


class Logins:
    """The logins of handshakes that wait. Only :meth:`Login.prepare` may block."""

    def __init__(self) -> None:
        self.waiting: dict[Login, None] = {}
        self.loading = Lock()

    def add(self, cookies: str) -> Login:
        """Return the login of a request with this ``Cookie`` header."""
        login = Login(self, cookies)
        self.waiting[login] = None
        return login


class Login:
    """The session and the user of one handshake."""

    __slots__ = ("_all", "content", "cookies", "key", "loaded_at", "user")

    def __init__(self, all_logins: Logins, cookies: str) -> None:
        self._all = all_logins
        self.cookies = cookies
        self.key = ""
        self.loaded_at = -math.inf
        #: What was loaded; ``None``: Django has to load it.
        self.content: dict[str, Any] | None = None
        self.user: Any = None

    def forget(self) -> None:
        """Do not load this login any more."""
        self._all.waiting.pop(self, None)

    def prepare(self, request: HttpRequest) -> None:
        """Give ``request`` its session and user, unless they have been read already."""
        session: Any = getattr(request, "session", None)
        store = import_module(settings.SESSION_ENGINE).SessionStore
        if store.load is not TableStore.load or not isinstance(session, store):
            return
        if hasattr(session, "_session_cache") or hasattr(request, "_cached_user"):
            return
        # If the database does not answer, each handshake asks it in its own thread.
        if not self._all.loading.acquire(timeout=WAIT_SECONDS):
            return
        try:
            if self in self._all.waiting:
                _load(self._all, store)
        finally:
            self._all.loading.release()
        is_fresh = monotonic() - self.loaded_at < FRESH_SECONDS
        if self.content is None or session.session_key != self.key or not is_fresh:
            return
        # These names are not documented. A test fails if Django changes them.
        session._session_cache = self.content
        stored, user = self.content.get(HASH_SESSION_KEY), self.user
        if stored and user and constant_time_compare(stored, user.get_session_auth_hash()):
            request._cached_user = user  # type: ignore[attr-defined]


def _load(all_logins: Logins, store: Any) -> None:
    """Load what the next handshakes need, in their order."""
    logins = list(islice(list(all_logins.waiting), PAGE))
    for login in logins:
        login.forget()
        login.loaded_at = monotonic()
    with suppress(Exception):  # Django tries again, and raises for the right request
        _load_sessions(logins, store)
        _load_users(logins)


def _load_sessions(logins: list[Login], store: Any) -> None:
    keys: dict[Login, str] = {}
    for login in logins:
        key = parse_cookie(login.cookies).get(settings.SESSION_COOKIE_NAME, "")
        if KEY.fullmatch(key):
            keys[login] = key
    rows = store.get_model_class().objects.filter(
        session_key__in=set(keys.values()), expire_date__gt=timezone.now()
    )
    found = dict(rows.values_list("session_key", "session_data")) if keys else {}
    for login, key in keys.items():
        if key in found:
            login.key, login.content = key, store(key).decode(found[key])


def _load_users(logins: list[Login]) -> None:
    model: Any = get_user_model()
    backends = {path: load_backend(path) for path in settings.AUTHENTICATION_BACKENDS}
    by_default = import_string("django.contrib.auth.backends.ModelBackend").get_user
    asked: dict[Any, tuple[Login, Any]] = {}
    for login in logins:
        content = login.content or {}
        backend = backends.get(content.get(BACKEND_SESSION_KEY, ""))
        if SESSION_KEY in content and getattr(type(backend), "get_user", None) is by_default:
            # Requests must not share a user. Django loads it for the second one.
            asked.setdefault(model._meta.pk.to_python(content[SESSION_KEY]), (login, backend))
    for user in model._default_manager.filter(pk__in=asked) if asked else ():
        login, backend = asked[user.pk]
        if hasattr(user, "get_session_auth_hash") and backend.user_can_authenticate(user):
            login.user = user
