"""Clients without a session: signed links to a stream, and the project's own tokens.

A link holds the user, topics and an expiry time, signed with ``django.core.signing``. Anybody who
has the link can read that user's stream. So it expires after minutes, or when the password changes.
A client that can send headers may send a token instead, which the project's ``AUTHENTICATE`` reads.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote_plus, urlencode

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core import signing
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from sse_notify.access.decisions import auth_hash
from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused
from sse_notify.inbox.marks import check_number, check_user
from sse_notify.topics import MAX_TOPICS, check_name

#: The name of the query parameter.
TOKEN = "token"  # noqa: S105  (a name)
#: The longest time in seconds for which a link can be valid.
MAX_AGE = 86_400

_SALT = "sse_notify.stream_link"
_TOKENS = re.compile(rf"((?:^|[?&]){TOKEN}=)([^&]*)")
#: Where :func:`hide` puts what a link contains: in the WSGI environ or the ASGI scope.
_CONTENT = "sse_notify.link"


class Link(NamedTuple):
    """The content of a valid link."""

    user: AbstractBaseUser
    """The user whose stream it opens."""
    topics: tuple[str, ...]
    """The project's own topics that it opens, and no others."""


def signed_stream_url(
    user: AbstractBaseUser, topics: Iterable[str] = (), max_age: int = 300
) -> str:
    """Return the path of the stream of ``user``, signed for a client without a session.

    Join it with your site's address. Anybody who has the link can read the stream, so send it only
    to that client, with a ``max_age`` just long enough to connect. An open stream continues after
    its link has expired, for ``MAX_LIFETIME`` at most; then the client needs a new link. A new
    password or ``is_active = False`` ends both.

    Args:
        user: the user whose stream it opens, an active account.
        topics: the project's own topics that it opens too, at most 50. Whether the user may listen
            to them is checked when the link is used.
        max_age: seconds until the link expires, 1 to 86,400.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it.
    """
    check_user(user)
    if isinstance(topics, str):
        raise TypeError("topics must be a list of names, not a string.")
    names = list(dict.fromkeys(check_name(name) for name in topics))
    if len(names) > MAX_TOPICS:
        raise ValueError(f"topics must be at most {MAX_TOPICS} names, not {len(names)}.")
    check_number("max_age", max_age, 1, MAX_AGE, is_whole=True)
    until = int(time.time()) + max_age
    said = {"user": str(user.pk), "topics": names, "until": until, "auth": _digest(auth_hash(user))}
    return f"{reverse('sse_notify:stream')}?{urlencode({TOKEN: signing.dumps(said, salt=_SALT)})}"


@sensitive_variables()
def hide(*, environ: Any = None, scope: Any = None, **kwargs: Any) -> None:
    """Replace the token of a link in a request that begins by what it contains.

    Error reports and access logs have the query. This is a receiver of ``request_started``, so
    that neither has the token, whatever fails before the view.
    """
    given = environ or scope or {}
    query = given.get("QUERY_STRING") or given.get("query_string") or ""
    if isinstance(query, bytes):  # not so by Django's AsyncClient
        query = query.decode("latin1")
    if TOKEN in query and (tokens := _TOKENS.findall(query)):
        try:
            given[_CONTENT] = signing.loads(unquote_plus(tokens[-1][1]), salt=_SALT)
        except signing.BadSignature:
            return
        for name in ("QUERY_STRING", "RAW_URI", "REQUEST_URI"):  # of gunicorn and uWSGI
            if name in given:
                given[name] = _TOKENS.sub(r"\1***", given[name])
        if scope:
            given["query_string"] = _TOKENS.sub(r"\1***", query).encode("latin1")


@sensitive_variables()
def link_of(request: HttpRequest) -> Link | None:
    """Return the content of the link in ``request``; ``None`` if there is none.

    Raises:
        HandshakeRefused: 401: the link was changed or has expired, or its user was deleted, is
            inactive or has another password.
    """
    if TOKEN not in request.GET:
        return None
    said = getattr(request, "scope", request.META).get(_CONTENT)
    if said is None:
        text = "The link is not one of this site's."
        raise HandshakeRefused(401, "invalid_token", text)
    if said["until"] <= time.time():
        raise HandshakeRefused(401, "expired_token", "The link has expired.")
    user = _find(said["user"])
    if user is None or not getattr(user, "is_active", True) or not _is_same(user, said["auth"]):
        raise HandshakeRefused(401, "invalid_token", "The link is no longer good.")
    return Link(user=user, topics=tuple(said["topics"]))


def identify(request: HttpRequest) -> bool:
    """Ask the project's ``AUTHENTICATE`` who sends ``request``; return whether it knows.

    Its answer becomes ``request.user``, whoever the session's user is. It is asked once.

    Raises:
        ImproperlyConfigured: it returned something that is no user.
    """
    path = get_settings().AUTHENTICATE
    if not path or hasattr(request, "_sse_notify_known"):
        return getattr(request, "_sse_notify_known", False)
    user = import_string(path)(request)
    if user is not None and not hasattr(user, "is_authenticated"):
        kind = type(user).__name__
        raise ImproperlyConfigured(f"{path} must return a user or None, not {kind}.")
    is_known = user is not None and user.is_authenticated
    if is_known:
        request.user = user
    request._sse_notify_known = is_known  # type: ignore[attr-defined]
    return is_known


def _find(pk: str) -> Any:
    """Return the user as Django's ``ModelBackend`` would: the default manager may hide some."""
    try:
        return get_user_model()._default_manager.filter(pk=pk).first()
    except (TypeError, ValueError, ValidationError):  # the user model has changed since
        return None


def _is_same(user: Any, digest: str) -> bool:
    """Return whether the user has the password that the link was made with.

    The hashes depend on the secret key as well. So compare those of ``SECRET_KEY_FALLBACKS``, too.
    """
    get_others = getattr(user, "get_session_auth_fallback_hash", tuple)
    hashes = [auth_hash(user), *get_others()]
    return any(constant_time_compare(_digest(each), digest) for each in hashes)


def _digest(auth: str) -> str:
    """Return a text that changes with the password's hash but does not reveal it."""
    return hashlib.sha256(f"{_SALT} {auth}".encode()).hexdigest()[:32]
