"""Signed links to a stream, for clients that have no session: another domain, a mobile app, a script.

A link names the user, says which topics it opens, and until when it can be used; ``django.core.signing`` keeps it from being changed. It is
a key: whoever has it reads that user's stream. So it lives for minutes, and with the password it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from sse_notify.access.decisions import auth_hash
from sse_notify.exceptions import HandshakeRefused
from sse_notify.inbox.marks import check_user
from sse_notify.topics import MAX_TOPICS, check_name

#: The query's name.
TOKEN = "token"  # noqa: S105  (a name)
#: Seconds that a link may live at most.
MAX_AGE = 86_400

_SALT = "sse_notify.stream_link"


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """What a link that holds says."""

    user: AbstractBaseUser
    """Whose stream it opens."""
    topics: tuple[str, ...]
    """The project's own topics that it opens, and no others."""


def signed_stream_url(
    user: AbstractBaseUser, topics: Iterable[str] = (), max_age: int = 300
) -> str:
    """Return the address of the stream of ``user`` for a client without a session: a path, to be joined with your site's address.

    Whoever has the address reads the stream, so hand it to nobody else, and let it live no longer than it takes to connect. A stream that
    is open goes on when its link has expired, for ``MAX_LIFETIME`` at most; then the client asks for another link. A new password, or
    ``is_active = False``, ends both.

    Args:
        user: whose stream, an account that is active.
        topics: topics of the project's own that it opens too, if the user may listen to them when it is used; 50 at most.
        max_age: seconds in which it can be used, 1 to 86,400.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it.
    """
    check_user(user)
    if isinstance(topics, str):
        raise TypeError("topics must be a list of names, not a string.")
    names = list(dict.fromkeys(check_name(name) for name in topics))
    if len(names) > MAX_TOPICS:
        raise ValueError(f"topics must be at most {MAX_TOPICS} names, not {len(names)}.")
    if isinstance(max_age, bool) or not isinstance(max_age, int):
        raise TypeError(f"max_age must be a whole number of seconds, not {type(max_age).__name__}.")
    if not 1 <= max_age <= MAX_AGE:
        raise ValueError(f"max_age must be a number from 1 to {MAX_AGE}, not {max_age}.")
    said = {
        "user": str(user.pk),
        "topics": names,
        "until": int(time.time()) + max_age,
        "auth": _auth(user),
    }
    return f"{reverse('sse_notify:stream')}?{urlencode({TOKEN: signing.dumps(said, salt=_SALT)})}"


def link_of(request: HttpRequest) -> Link | None:
    """Return what the link says that ``request`` came with; ``None`` if it came with none.

    Raises:
        HandshakeRefused: 401: it was changed, has expired, or its user is gone, is not active or has another password.
    """
    token = request.GET.get(TOKEN)
    if token is None:
        return None
    try:
        said: dict[str, Any] = signing.loads(token, salt=_SALT)
    except signing.BadSignature as error:
        text = "The link is not one of this site's."
        raise HandshakeRefused(401, "invalid_token", text) from error
    if said["until"] <= time.time():
        raise HandshakeRefused(401, "expired_token", "The link has expired.")
    user = _find(said["user"])
    if user is None or not user.is_active or not constant_time_compare(_auth(user), said["auth"]):
        raise HandshakeRefused(401, "invalid_token", "The link is no longer good.")
    return Link(user=user, topics=tuple(said["topics"]))


def _find(pk: str) -> Any:
    try:
        return get_user_model()._base_manager.filter(pk=pk).first()
    except (TypeError, ValueError, ValidationError):  # the project has another user model since
        return None


def _auth(user: AbstractBaseUser) -> str:
    """Return what changes with the password, and tells nothing of it."""
    return salted_hmac(_SALT, auth_hash(user), algorithm="sha256").hexdigest()[:32]
