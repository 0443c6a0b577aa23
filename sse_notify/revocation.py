"""The doorbells of permissions: what happens to users, groups and sessions, told to the hubs whose streams may rest on it.

Nothing here asks the database anything, so that what the project does costs it no query more (but for ``user.groups.add()``, see
``docs/explanation/revocation.md``). A transaction that is rolled back rings nothing. What no signal tells, such as
``QuerySet.update()``, the hubs find by themselves at their next round, or at once if the project calls :func:`recheck`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings  # noqa: TID251  (SESSION_ENGINE is Django's setting, not one of ours)
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_logged_out
from django.core.signals import setting_changed
from django.db import router, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from sse_notify import fanout
from sse_notify.messages import REVOCATION_SUBJECTS, Revocation
from sse_notify.sessions import digest, digest_of
from sse_notify.topics import group_topic, user_topic

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.sessions.backends.base import SessionBase

#: What of a user decides about streams; a save that touches other fields alone rings nothing.
FIELDS = frozenset({"is_active", "is_staff", "is_superuser", "password"})


def recheck(users: AbstractBaseUser | Iterable[AbstractBaseUser] | None = None) -> None:
    """Have open streams looked at again, in every process: who may no longer have one is told ``bye``, topics change in place.

    For what no signal tells: a rule behind a ``@topic`` has changed, rows were written with ``QuerySet.update()`` or in SQL. Heard
    after the commit of the current transaction.

    Args:
        users: whose streams, one user or many; ``None``: everybody's, anonymous visitors included.
    """
    if users is None:
        _ring(Revocation(everybody=True))
        return
    topics = _topics_of(users)
    for start in range(0, len(topics), REVOCATION_SUBJECTS):
        _ring(Revocation(topics=topics[start : start + REVOCATION_SUBJECTS]))


async def arecheck(users: AbstractBaseUser | Iterable[AbstractBaseUser] | None = None) -> None:
    """Do what :func:`recheck` does, from async code."""
    await sync_to_async(recheck)(users)


def disconnect(
    users: AbstractBaseUser | Iterable[AbstractBaseUser],
    *,
    reason: str = "revoked",
    again: bool = False,
) -> None:
    """End the streams of ``users`` in every process, without a look at whether they may have them.

    Args:
        users: whose streams, one user or many.
        reason: what ``bye`` says.
        again: whether the clients are to come back, a few seconds later; otherwise they wait until the page is loaded anew.
    """
    topics = _topics_of(users)
    for start in range(0, len(topics), REVOCATION_SUBJECTS):
        _ring(
            Revocation(topics=topics[start : start + REVOCATION_SUBJECTS], end=reason, again=again)
        )


def _topics_of(users: AbstractBaseUser | Iterable[AbstractBaseUser]) -> tuple[str, ...]:
    # Asked so, as ``request.user`` has the methods of everything, __iter__ among them.
    several: Any = [users] if isinstance(users, get_user_model()) else users
    return tuple(user_topic(user.pk) for user in several)


def _ring(message: Revocation, using: str | None = None) -> None:
    """Tell every hub once what is written now is committed; at once if there is no transaction, without opening a connection."""
    using = using or router.db_for_write(get_user_model())
    if transaction.get_connection(using).in_atomic_block:
        transaction.on_commit(functools.partial(fanout.ring, message), using=using, robust=True)
    else:
        fanout.ring(message)


# --- users and groups ----------------------------------------------------------------------------------------------------------


def _on_user_saved(
    *, instance: Any, created: bool, update_fields: frozenset[str] | None, using: str, **kwargs: Any
) -> None:
    # Nobody listens as a user who is new.
    if not created and (update_fields is None or FIELDS & update_fields):
        _ring(Revocation(topics=(user_topic(instance.pk),)), using)


def _on_user_deleted(*, instance: Any, using: str, **kwargs: Any) -> None:
    _ring(Revocation(topics=(user_topic(instance.pk),)), using)


def _on_group_deleted(*, instance: Any, using: str, **kwargs: Any) -> None:
    _ring(Revocation(topics=(group_topic(instance.pk),)), using)


def _on_members_changed(
    *, instance: Any, action: str, reverse: bool, pk_set: set[Any] | None, using: str, **kwargs: Any
) -> None:
    if action not in ("post_add", "post_remove", "post_clear"):
        return
    if not reverse:
        topics = [user_topic(instance.pk)]
    elif pk_set is not None:
        topics = [user_topic(pk) for pk in pk_set]
    else:  # a group that was cleared does not name its members; those who listen to it are they
        topics = [group_topic(instance.pk)]
    for start in range(0, len(topics), REVOCATION_SUBJECTS):
        _ring(Revocation(topics=tuple(topics[start : start + REVOCATION_SUBJECTS])), using)


# --- sessions ------------------------------------------------------------------------------------------------------------------


def _on_logged_out(*, request: Any, user: Any, **kwargs: Any) -> None:
    """End what rests on the session, which is flushed after this signal; what was opened in between is found then."""
    session = getattr(request, "session", None)
    key = getattr(session, "session_key", None)
    if key:
        named = (digest(key),) if user is None else (digest(key), digest_of(user.pk))
        _ring(Revocation(sessions=named, end="logout"))
    if user is not None and (not key or _is_in_the_cookie(session)):
        # Which of the user's streams are meant cannot be known: the handshakes of all decide.
        _ring(Revocation(topics=(user_topic(user.pk),), end="logout", again=True))


def _is_in_the_cookie(session: Any) -> bool:
    # Its "key" is the cookie's value, which changes with its data.
    from django.contrib.sessions.backends.signed_cookies import SessionStore  # noqa: PLC0415  (rarely needed)

    return isinstance(session, SessionStore)


def _on_session_deleted(session: SessionBase, key: str | None) -> None:
    """Have streams looked at that rest on a session that was flushed, or got another key."""
    data = getattr(session, "_session_cache", None)
    if key and not (
        data and SESSION_KEY not in data
    ):  # a login gives a visitor's session another key: no stream rests on that
        _ring(Revocation(sessions=(digest(key),)))


def watch_sessions(**kwargs: Any) -> None:
    """Have the project's session engine tell of the sessions that it deletes.

    Its ``delete`` and ``adelete`` are wrapped. A ``post_delete`` of the session's model would not do: engines that have none send
    no signal, and with a listener ``clearsessions`` reads every row that it deletes (100,000 rows: 1.1 s and 68 MB instead of 0.1 s).
    """
    if kwargs.get("setting", "SESSION_ENGINE") != "SESSION_ENGINE":
        return
    with suppress(ImportError, AttributeError):  # Django says so itself, where sessions are used
        store = import_module(settings.SESSION_ENGINE).SessionStore
        if "_sse_notify_watched" not in vars(store):
            store.delete, store.adelete = _telling(store.delete), _atelling(store.adelete)
            store._sse_notify_watched = True


def _telling(delete: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(delete)
    def tell(self: SessionBase, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        delete(self, session_key)
        _on_session_deleted(self, key)

    return tell


def _atelling(adelete: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(adelete)
    async def tell(self: SessionBase, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        await adelete(self, session_key)
        # In the thread whose transaction the deletion is part of.
        await sync_to_async(_on_session_deleted)(self, key)

    return tell


# --- wiring --------------------------------------------------------------------------------------------------------------------


def connect() -> None:
    """Receive the signals. Called once the apps are ready."""
    user_model: Any = get_user_model()
    for model in apps.get_models():
        # A proxy, or a child with a table of its own, sends signals of its own.
        if issubclass(model, user_model):
            post_save.connect(_on_user_saved, sender=model, dispatch_uid="sse_notify.user_saved")
            post_delete.connect(
                _on_user_deleted, sender=model, dispatch_uid="sse_notify.user_deleted"
            )
        elif issubclass(model, Group):
            post_delete.connect(
                _on_group_deleted, sender=model, dispatch_uid="sse_notify.group_deleted"
            )
    if getattr(user_model, "groups", None) is not None:
        through = user_model.groups.through
        m2m_changed.connect(
            _on_members_changed, sender=through, dispatch_uid="sse_notify.members_changed"
        )
    user_logged_out.connect(_on_logged_out, dispatch_uid="sse_notify.logged_out")
    watch_sessions()
    setting_changed.connect(watch_sessions, dispatch_uid="sse_notify.watch_sessions")
