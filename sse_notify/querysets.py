"""Queries over the log as one user sees it: what is theirs, what of it is unread, unseen, archived, and how many.

A row's state comes from two places: the user's receipt for that row, if there is one, and the user's inbox, whose watermarks
stand for all rows numbered up to them. A row without a number (pending) is above every watermark.

    is_unread     not muted, no read_at, and: above read_up_to, or unread_at overrides it
    is_unseen     not muted, no seen_at, and above seen_up_to
    is_archived   archived_at, or: not above archived_up_to, and unarchived_at does not override it
    is_muted      the user has muted its category, and the project does not require it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from django.apps import apps
from django.db import connections, models
from django.db.models import (
    BooleanField,
    ExpressionWrapper,
    F,
    FilteredRelation,
    Q,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact, In, Lookup
from django.db.models.sql.where import AND, WhereNode
from django.utils import timezone

from sse_notify.conf import get_settings
from sse_notify.counts import Owner, count
from sse_notify.topics import topics_of, user_topic

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    from sse_notify.models import Notification  # noqa: F401  (named in the class's bases)

    # An instance of the project's AUTH_USER_MODEL, or nobody.
    User = AbstractBaseUser | AnonymousUser


class NotificationQuerySet(models.QuerySet["Notification"]):
    """What a project asks of the log. The states chain on :meth:`visible_to`."""

    #: The topics of the user whose rows these are.
    _topics: tuple[str, ...] = ()

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]  # Django's own way to carry something along
        clone._topics = self._topics
        return clone

    def visible_to(self, user: User) -> Self:
        """Return what ``user`` may see now, without what the user archived; nothing for an anonymous visitor.

        Own notifications, and the broadcasts to audiences that the user belongs to now, sent since the user joined, that neither
        exclude the user nor have expired nor were recalled. Each row carries the booleans ``is_unread``, ``is_unseen``, ``is_archived`` and
        ``is_muted``; what is muted is neither unread nor unseen. Rows are visible as soon as they are written, numbered or not.

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
        rows.query.where = _without(rows.query.where, _Hide)
        return rows

    def with_states(self, user: User, *, heed_mutes: bool = True) -> Self:
        """Return what :meth:`visible_to` does, and the archived rows as well.

        Args:
            user: whose states.
            heed_mutes: ``False``: what is muted has the state that it comes back with when it is no longer muted.
        """
        if not _has_inbox(user):
            nothing = Value(value=False, output_field=BooleanField())
            return self.annotate(
                is_unread=nothing, is_unseen=nothing, is_archived=nothing, is_muted=nothing
            ).none()
        mark = _watermarks(user)
        muted = Q(
            category__in=_model("Mute")._default_manager.filter(user_id=user.pk).values("category")
        )
        muted &= ~Q(category__in=get_settings().required)
        heard = ~muted if heed_mutes else Q()
        states = {
            "is_muted": muted,
            "is_unread": heard
            & Q(receipt__read_at=None)
            & (_above(mark["read_up_to"]) | Q(receipt__unread_at__isnull=False)),
            "is_unseen": heard & Q(receipt__seen_at=None) & _above(mark["seen_up_to"]),
            "is_archived": Q(receipt__archived_at__isnull=False)
            | Q(seq__isnull=False, seq__lte=mark["archived_up_to"], receipt__unarchived_at=None),
        }
        return self._addressed_to(user).annotate(
            **{
                name: ExpressionWrapper(state, output_field=BooleanField())
                for name, state in states.items()
            }
        )

    def newest(self, limit: int) -> Self:
        """Return the newest ``limit`` rows, newest first, at a cost that does not grow with the rows of others.

        No index gives the rows of several topics in one order: a database would walk back through the whole log, or sort all that the
        user ever got. So each topic's newest are found, which its index has in order, and merged. Call it last in a chain that began
        with :meth:`visible_to`.

        Args:
            limit: how many at most.
        """
        rows = self.order_by("-pk")
        features = connections[self.db].features
        if len(self._topics) < 2 or not features.supports_slicing_ordering_in_compound:  # SQLite
            return rows[:limit]
        each = self.all()
        each.query.where = _without(each.query.where, _Addressed)
        # Sorted by the topic first, and asked for a range of it (an "=" would make it a constant and drop it from the order), only that
        # index has the order; else a database walks back through the primary key, past the rows of others.
        ordered = [
            each.filter(topic__gte=topic, topic__lte=topic).order_by("topic", "-pk")
            for topic in self._topics
        ]
        parts = [part.values_list("pk", flat=True)[:limit] for part in ordered]
        pks = parts[0].union(*parts[1:], all=True).order_by("-pk")[:limit]
        return rows.filter(pk__in=pks if features.allow_sliced_subqueries_with_in else list(pks))

    def counts(
        self, user: User, up_to: int | None = None, *, topics: Sequence[str] | None = None
    ) -> tuple[int, int]:
        """Return how many notifications of the inbox are unread and how many unseen: exact, in two queries at most. What is muted
        counts as neither.

        Args:
            user: whose; (0, 0) for an anonymous visitor.
            up_to: count only what is numbered up to here; ``None``: everything, pending rows included.
            topics: the user's topics, if they are known: saves a query.

        Raises:
            TypeError: the queryset is filtered, which would make no difference.
        """
        if self.query.where:
            raise TypeError(
                "counts() counts the whole inbox: call it on the manager, or count() on visible_to()"
            )
        if not _has_inbox(user):
            return 0, 0
        topics = topics_of(user) if topics is None else topics  # type: ignore[arg-type]  # not anonymous by now
        owner = Owner(user.pk, topics, getattr(user, "date_joined", None))
        return count([owner], self.db, up_to)[0]

    def _addressed_to(self, user: Any) -> Self:
        """Return what is for ``user``, archived or not, joined with the user's own receipt as ``receipt``."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        topics = tuple(topics_of(user))
        rows = self.filter(_Addressed(F("topic"), topics), unexpired, recalled_at=None)
        rows._topics = topics
        rows = rows.exclude(
            pk__in=_model("Exclusion")
            ._default_manager.filter(user_id=user.pk)
            .values("notification_id")
        )
        joined = getattr(user, "date_joined", None)
        if joined is not None:
            rows = rows.filter(Q(topic=user_topic(user.pk)) | Q(created_at__gte=joined))
        return rows.alias(
            receipt=FilteredRelation("receipts", condition=Q(receipts__user_id=user.pk))
        )


class _Hide(Exact):
    """The condition by which :meth:`NotificationQuerySet.visible_to` hides what is archived, found again by its class."""


class _Addressed(In):
    """The condition that names the user's topics, found again by its class."""


def _has_inbox(user: User) -> bool:
    return user.pk is not None and user.is_authenticated


def _model(name: str) -> Any:
    return apps.get_model("sse_notify", name)  # by name, as the models import this module


def _watermarks(user: Any) -> dict[str, Any]:
    inbox = _model("Inbox")._default_manager.filter(pk=user.pk)
    return {
        name: Coalesce(Subquery(inbox.values(name)), 0)
        for name in ("read_up_to", "seen_up_to", "archived_up_to")
    }


def _above(watermark: Any) -> Q:
    return Q(seq=None) | Q(seq__gt=watermark)


def _without(where: WhereNode, condition: type[Lookup[Any]]) -> WhereNode:
    """Return ``where`` without the condition of this class, wherever ``filter()`` has put it among conditions that all hold."""
    kept = [
        _without(child, condition)
        if isinstance(child, WhereNode) and child.connector == AND and not child.negated
        else child
        for child in where.children
        if not isinstance(child, condition)
    ]
    return WhereNode.create(kept, where.connector, where.negated)
