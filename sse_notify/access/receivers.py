"""Send a message to the hubs when users, groups or sessions change, so that they check streams.

Nothing here queries the database, so a project's own changes cost no more queries (except
``user.groups.add()``, see ``docs/explanation/revocation.md``, members whose table does not name
users by their primary keys, and the deletion of a user, which locks what is deleted with it). A
rollback sends nothing. Some changes have no signal, such as ``QuerySet.update()``. The hubs find
them in their next round, or at once if the project calls :func:`recheck`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.signals import request_started
from django.db import connections, router
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete
from django.utils import timezone

from sse_notify.access import links, sessions
from sse_notify.access.decisions import auth_hash, fingerprint
from sse_notify.bus import publisher
from sse_notify.bus.messages import REVOCATION_SUBJECTS, Revocation
from sse_notify.concurrency.threadpool import twin
from sse_notify.models import Inbox, Notification
from sse_notify.notifications.validation import check_text, instance_keys
from sse_notify.topics import group_topic, groups_field, user_topic

#: The fields of a user that affect streams. Saving only other fields sends no message.
FIELDS = frozenset({"is_active", "is_staff", "is_superuser", "password"})
#: Maximum length of the reason of a disconnection, in characters.
REASON_LENGTH = 100


Users = AbstractBaseUser | Iterable[AbstractBaseUser]


def recheck(users: Users | None = None) -> None:
    """Check open streams again in every process: end them, or change their topics in place.

    Call it after changes that send no signal: ``QuerySet.update()``, plain SQL, or data that a
    ``@topic`` function reads. It takes effect after the commit of the current transaction.

    Args:
        users: whose streams, one user or many; ``None``: all streams, also of anonymous visitors.

    Raises:
        TypeError, ValueError: ``users`` are not saved users.
    """
    if users is None:
        _send(Revocation(everybody=True))
    else:
        _send_users(users)


arecheck = twin(recheck)


def disconnect(users: Users, *, reason: str = "revoked", again: bool = False) -> None:
    """End the streams of ``users`` in every process, even if they may have them.

    Args:
        users: whose streams, one user or many.
        reason: what ``bye`` says, 1 to 100 characters.
        again: whether the clients reconnect after a few seconds. Otherwise they stay disconnected
            until the page is reloaded.

    Raises:
        TypeError, ValueError: an argument is invalid. The message names it. Nothing is sent.
    """
    # Without a reason, the hubs would take the message for a check.
    if not (end := check_text("reason", reason, REASON_LENGTH)):
        raise ValueError("reason must not be empty.")
    _send_users(users, end=end, again=bool(again))


def _send_users(users: Users, **how: Any) -> None:
    # Do not check for ``__iter__``: ``request.user`` is a lazy object, which always has it.
    model = get_user_model()
    several: Any = [users] if isinstance(users, model) else users
    _send_topics([user_topic(pk) for pk in instance_keys("users", several, model)], **how)


def _send_topics(topics: list[str], using: str | None = None, **how: Any) -> None:
    for start in range(0, len(topics), REVOCATION_SUBJECTS):
        _send(Revocation(topics=tuple(topics[start : start + REVOCATION_SUBJECTS]), **how), using)


def _send(message: Revocation, using: str | None = None) -> None:
    publisher.ring_on_commit(message, using or router.db_for_write(get_user_model()))


# --- receivers of Django's signals ---


def _on_user_saved(
    *, instance: Any, created: bool, update_fields: frozenset[str] | None, using: str, **kwargs: Any
) -> None:
    # A new user has no streams.
    if created or not (update_fields is None or FIELDS & update_fields):
        return
    topic = user_topic(instance.pk)
    message = Revocation(topics=(topic,))
    if not instance.get_deferred_fields():  # reading them would take a query
        with suppress(Exception):  # the project's own code; its save() must not fail because of us
            message = Revocation(users={topic: fingerprint(instance, auth_hash(instance))})
    _send(message, using)


def _on_deleted(*, instance: Any, using: str, **kwargs: Any) -> None:
    is_group = isinstance(instance, Group)
    topic = group_topic(instance.id) if is_group else user_topic(instance.pk)
    _send(Revocation(topics=(topic,)), using)


def _on_members_changed(
    *,
    sender: Any,
    instance: Any,
    action: str,
    reverse: bool,
    pk_set: Iterable[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    if action not in ("post_add", "post_remove", "post_clear"):
        return
    if not reverse:
        topics = [user_topic(instance.pk)]
    elif pk_set is not None:
        field: Any = groups_field()
        named_by = sender._meta.get_field(field.m2m_field_name()).target_field
        if named_by != get_user_model()._meta.pk:  # a project's own ``through`` or parent model
            users = get_user_model()._base_manager.using(using)
            pk_set = users.filter(**{f"{named_by.name}__in": pk_set}).values_list("pk", flat=True)
        topics = [user_topic(pk) for pk in pk_set]
    else:  # clearing a group does not name its members, but they listen to its topic
        topics = [group_topic(instance.id)]
    _send_topics(topics, using)


def _on_user_deleting(*, instance: Any, using: str, **kwargs: Any) -> None:
    """Lock a user's inbox and notifications before they are deleted with the user.

    Marks lock the inbox before the receipts, and a repeat under a ``key`` locks the notification
    before them. The cascade begins with the receipts, so it would deadlock with either.
    """
    features = connections[using].features
    if features.has_select_for_update:
        # Not as strictly as a deletion: receipts of a mark that has begun refer to the rows.
        no_key = features.has_select_for_no_key_update
        rows = Notification._base_manager.filter(recipient_id=instance.pk)
        for theirs in (Inbox.objects.filter(pk=instance.pk), rows):
            found = theirs.using(using).order_by("pk").select_for_update(no_key=no_key)
            list(found.values_list("pk", flat=True))


def _on_logged_out(*, request: Any, user: Any, **kwargs: Any) -> None:
    """End the streams of the session.

    Django flushes the session after this signal. Streams opened in between end after the flush.
    """
    session = sessions.of(request)
    if session is not None:
        named = (session.digest,) if user is None else (session.digest, sessions.digest_of(user.pk))
        _send(Revocation(sessions=named, end="logout"))
    if user is not None and (session is None or session.key is None):
        # Nothing says which of the user's streams to end, so all reconnect and handshakes decide.
        _send(Revocation(topics=(user_topic(user.pk),), end="logout", again=True))


def _on_session_deleted(*, instance: Any, using: str, **kwargs: Any) -> None:
    # No stream depends on an expired session, which ``clearsessions`` deletes by the thousand, nor
    # on an anonymous one, which a login replaces.
    if instance.expire_date > timezone.now() and SESSION_KEY in instance.get_decoded():
        _send(Revocation(sessions=(sessions.digest(instance.session_key),)), using)


def connect() -> None:
    """Connect the receivers. Called once the apps are ready."""
    user_model: Any = get_user_model()
    for model in apps.get_models():
        # A proxy model or a child model is the sender of its own signals.
        if issubclass(model, user_model):
            post_save.connect(_on_user_saved, sender=model)
            pre_delete.connect(_on_user_deleting, sender=model)
            post_delete.connect(_on_deleted, sender=model)
        elif issubclass(model, Group):
            post_delete.connect(_on_deleted, sender=model)
        elif issubclass(model, AbstractBaseSession):
            post_delete.connect(_on_session_deleted, sender=model)
    if field := groups_field():
        m2m_changed.connect(_on_members_changed, sender=field.remote_field.through)
    user_logged_out.connect(_on_logged_out)
    request_started.connect(links.hide)
