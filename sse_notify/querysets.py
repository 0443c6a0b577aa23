"""Queries over the log as one user sees it: what is theirs, what of it is unread, unseen, archived, and how many.

A row's state comes from two places: the user's receipt for that row, if there is one, and the user's inbox, whose watermarks
stand for all rows numbered up to them. A row without a number (pending) is above every watermark.

    is_unread     no read_at, and: above read_up_to, or unread_at overrides it
    is_unseen     no seen_at, and above seen_up_to
    is_archived   archived_at, or not above archived_up_to
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import (
    BooleanField,
    ExpressionWrapper,
    F,
    FilteredRelation,
    IntegerField,
    Q,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce, Greatest
from django.db.models.lookups import Exact
from django.db.models.sql.where import AND, WhereNode
from django.utils import timezone

from sse_notify.topics import topics_of, user_topic

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    from sse_notify.models import Notification  # noqa: F401  (named in the class's bases)

    # An instance of the project's AUTH_USER_MODEL, or nobody.
    User = AbstractBaseUser | AnonymousUser


class NotificationQuerySet(models.QuerySet["Notification"]):
    """What a project asks of the log. The states chain on :meth:`visible_to`."""

    def visible_to(self, user: User) -> Self:
        """Return what ``user`` may see now, without what the user archived; nothing for an anonymous visitor.

        Own notifications, and the broadcasts to audiences that the user belongs to now, sent since the user joined, that exclude
        neither the user nor have expired. Each row carries the booleans ``is_unread``, ``is_unseen`` and ``is_archived``. Rows
        are visible as soon as they are written, numbered or not.

        The groups of the user are looked up by this call, with one query; call it from sync code.
        """
        return self.with_states(user).filter(_Hide(F("is_archived"), Value(value=False)))

    def unread(self) -> Self:
        """Return only what is unread."""
        return self.filter(is_unread=True)

    def unseen(self) -> Self:
        """Return only what was not seen yet: what is new since the user last looked."""
        return self.filter(is_unseen=True)

    def archived(self) -> Self:
        """Return only what is archived, which :meth:`visible_to` leaves out."""
        rows = self.filter(is_archived=True)
        rows.query.where = _without_hiding(rows.query.where)
        return rows

    def with_states(self, user: User) -> Self:
        """Return what :meth:`visible_to` does, and the archived rows as well."""
        if not _has_inbox(user):
            nothing = Value(value=False, output_field=BooleanField())
            return self.annotate(is_unread=nothing, is_unseen=nothing, is_archived=nothing).none()
        mark = _watermarks(user)
        states = {
            "is_unread": Q(receipt__read_at=None) & (_above(mark["read_up_to"]) | Q(receipt__unread_at__isnull=False)),
            "is_unseen": Q(receipt__seen_at=None) & _above(mark["seen_up_to"]),
            "is_archived": Q(receipt__archived_at__isnull=False) | Q(seq__isnull=False, seq__lte=mark["archived_up_to"]),
        }
        return self._addressed_to(user).annotate(
            **{name: ExpressionWrapper(state, output_field=BooleanField()) for name, state in states.items()}
        )

    def counts(self, user: User, up_to: int | None = None) -> tuple[int, int]:
        """Return how many notifications are unread and how many unseen: exact, in two queries at most.

        Args:
            user: whose; (0, 0) for an anonymous visitor.
            up_to: count only what is numbered up to here; ``None``: everything, pending rows included.
        """
        if not _has_inbox(user):
            return 0, 0
        rows: Any = self._addressed_to(user)  # Any: the stubs do not know what was joined
        if up_to is not None:
            rows = rows.filter(seq__lte=up_to)
        mark = _watermarks(user)
        read, seen, archived = mark["read_up_to"], mark["seen_up_to"], mark["archived_up_to"]
        # Three ranges of an index instead of one pass over everything that the user ever got: what lies above the watermarks is
        # short, and what was marked unread below is found by its receipts. One bound for each range, lest the wrong one be used.
        here = Q(receipt__archived_at=None)
        parts = (
            rows.filter(here, _above(Greatest(read, archived)), receipt__read_at=None),
            rows.filter(here, pk__in=_overrides(user), seq__gt=archived, seq__lte=read),
            rows.filter(here, _above(Greatest(seen, archived)), receipt__seen_at=None),
        )
        columns = [_Count(part.order_by().values("pk")) for part in parts]
        users: Any = get_user_model()._base_manager.using(self.db)
        for unread, unread_again, unseen in users.filter(pk=user.pk).values_list(*columns):  # one row, to carry the three
            return unread + unread_again, unseen
        return 0, 0  # the user was deleted meanwhile

    def _addressed_to(self, user: Any) -> Self:
        """Return what is for ``user``, archived or not, joined with the user's own receipt as ``receipt``."""
        rows = self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), topic__in=topics_of(user))
        rows = rows.exclude(pk__in=_objects("Exclusion").filter(user_id=user.pk).values("notification_id"))
        joined = getattr(user, "date_joined", None)
        if joined is not None:
            rows = rows.filter(Q(topic=user_topic(user.pk)) | Q(created_at__gte=joined))
        return rows.alias(receipt=FilteredRelation("receipts", condition=Q(receipts__user_id=user.pk)))


class _Hide(Exact):
    """The condition by which :meth:`NotificationQuerySet.visible_to` hides what is archived, found again by its class."""


class _Count(Subquery):
    """How many rows a query has, as a column of another."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


def _has_inbox(user: User) -> bool:
    return user.pk is not None and user.is_authenticated


def _objects(name: str) -> Any:
    # By name, as the models import this module.
    return apps.get_model("sse_notify", name)._default_manager


def _watermarks(user: Any) -> dict[str, Any]:
    inbox = _objects("Inbox").filter(pk=user.pk)
    return {name: Coalesce(Subquery(inbox.values(name)), 0) for name in ("read_up_to", "seen_up_to", "archived_up_to")}


def _above(watermark: Any) -> Q:
    return Q(seq=None) | Q(seq__gt=watermark)


def _overrides(user: Any) -> Any:
    return _objects("Receipt").filter(user_id=user.pk, unread_at__isnull=False).values("notification_id")


def _without_hiding(where: WhereNode) -> WhereNode:
    """Return the condition without :class:`_Hide`, wherever ``filter()`` has put it among conditions that all hold."""
    kept = [
        _without_hiding(child) if isinstance(child, WhereNode) and child.connector == AND and not child.negated else child
        for child in where.children
        if not isinstance(child, _Hide)
    ]
    return WhereNode.create(kept, where.connector, where.negated)
