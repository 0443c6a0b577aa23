"""Queries over the log as one user sees it: what is theirs, unread, unseen, archived.

A row's state comes from two places: the user's receipt for that row, if there is one, and the
user's inbox, whose watermarks stand for all rows numbered up to them. A row without a number
(pending) is above every watermark.

    is_unread     not muted, no read_at, and: above read_up_to, or unread_at overrides it
    is_unseen     not muted, no seen_at, and above seen_up_to
    is_archived   archived_at, or: not above archived_up_to, and unarchived_at does not override it
    is_muted      the user has muted its category, and the project does not require it
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Self

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import connections, models
from django.db.models import BooleanField, ExpressionWrapper, FilteredRelation, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from sse_notify.conf import get_settings
from sse_notify.models.counts import Owner, count
from sse_notify.models.paging import Place
from sse_notify.topics import topics_of, user_topic

if TYPE_CHECKING:
    from sse_notify.models import Notification  # noqa: F401  (named in the class's bases)

#: An instance of the project's AUTH_USER_MODEL, or nobody.
User = AbstractBaseUser | AnonymousUser


@dataclass(frozen=True, slots=True)
class _View:
    """What a chain that began with a user has asked for, so that it can be asked in another way."""

    rows: Any
    """The rows so far, in whatever topic, archived or not."""
    topics: tuple[str, ...]
    """The user's; none for an anonymous visitor."""
    is_archived: bool | None
    """``None``: what is archived and what is not."""

    def in_any_topic(self) -> Any:
        """Return the rows, but for the condition that they are in one of the user's topics."""
        shown = Q() if self.is_archived is None else Q(is_archived=self.is_archived)
        return self.rows.filter(shown)


class NotificationQuerySet(models.QuerySet["Notification"]):
    """What a project asks of the log. The states chain on :meth:`visible_to`."""

    #: Known as long as the chain consists of the methods below.
    _view: _View | None = None

    def filter(self, *args: Any, **kwargs: Any) -> Self:
        """Return the rows that meet the conditions."""
        return self._with_condition(super().filter(*args, **kwargs), Q(*args, **kwargs))

    def exclude(self, *args: Any, **kwargs: Any) -> Self:
        """Return the rows that do not meet the conditions."""
        return self._with_condition(super().exclude(*args, **kwargs), ~Q(*args, **kwargs))

    def _with_condition(self, rows: Self, condition: Q) -> Self:
        if self._view is not None:
            rows._view = replace(self._view, rows=self._view.rows.filter(condition))
        return rows

    def _show(self, view: _View) -> Self:
        rows: Self = view.in_any_topic().filter(topic__in=view.topics)
        rows._view = view
        return rows

    def visible_to(self, user: User) -> Self:
        """Return what ``user`` may see now, without what the user archived.

        Nothing for an anonymous visitor.

        Own notifications, and the broadcasts to audiences that the user belongs to now, sent since
        the user joined, that neither exclude the user nor have expired nor were recalled. Each row
        carries the booleans ``is_unread``, ``is_unseen``, ``is_archived`` and ``is_muted``; what
        is muted is neither unread nor unseen. Rows are visible as soon as they are written,
        numbered or not.

        The groups of the user are looked up by this call, with one query; call it from sync code.
        """
        return self.with_states(user, is_archived=False)

    def with_states(
        self, user: User, *, heed_mutes: bool = True, is_archived: bool | None = None
    ) -> Self:
        """Return what :meth:`visible_to` does, and the archived rows as well.

        Args:
            user: whose states.
            heed_mutes: ``False``: what is muted has the state that it comes back with when it is
                no longer muted.
            is_archived: only what is archived, or only what is not; ``None``: both.
        """
        if not _has_inbox(user):
            nothing = Value(value=False, output_field=BooleanField())
            rows = self.annotate(**dict.fromkeys(_STATES, nothing)).none()
            return self._show(_View(rows, (), is_archived))
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        excluded = _model("Exclusion")._default_manager.filter(user_id=user.pk)
        rows = self.filter(unexpired, recalled_at=None)
        rows = rows.exclude(pk__in=excluded.values("notification_id"))
        joined = getattr(user, "date_joined", None)
        if joined is not None:
            rows = rows.filter(Q(topic=user_topic(user.pk)) | Q(created_at__gte=joined))
        mutes = _model("Mute")._default_manager.filter(user_id=user.pk)
        muted = Q(category__in=mutes.values("category")) & ~Q(category__in=get_settings().required)
        heard = ~muted if heed_mutes else Q()
        inbox = _model("Inbox")._default_manager.filter(pk=user.pk)
        read, seen, archived = (Coalesce(Subquery(inbox.values(name)), 0) for name in _WATERMARKS)
        states = (
            heard & Q(receipt__read_at=None) & (_above(read) | Q(receipt__unread_at__isnull=False)),
            heard & Q(receipt__seen_at=None) & _above(seen),
            Q(receipt__archived_at__isnull=False)
            | Q(seq__isnull=False, seq__lte=archived, receipt__unarchived_at=None),
            muted,
        )
        receipt = FilteredRelation("receipts", condition=Q(receipts__user_id=user.pk))
        booleans = [ExpressionWrapper(state, output_field=BooleanField()) for state in states]
        rows = rows.alias(receipt=receipt).annotate(**dict(zip(_STATES, booleans, strict=True)))
        return self._show(_View(rows, topics_of(user), is_archived))

    def unread(self) -> Self:
        """Return only what is unread."""
        return self.filter(is_unread=True)

    def unseen(self) -> Self:
        """Return only what was not seen yet: what is new since the user last looked."""
        return self.filter(is_unseen=True)

    def archived(self) -> Self:
        """Return only what is archived, which :meth:`visible_to` leaves out.

        Raises:
            TypeError: between :meth:`visible_to` and this call the chain has more than filters.
        """
        if self._view is None:
            raise TypeError("archived() must come after visible_to(), with only filters between.")
        return self._show(replace(self._view, is_archived=True))

    def newest(self, limit: int, begin: Place | None = None) -> Self:
        """Return the newest rows, newest first, at a cost that the rows of others do not raise.

        No index gives the rows of several topics in one order: a database would walk back through
        the whole log, or sort all that the user ever got. So each topic's newest are found, which
        its index has in order, and merged. Call it last in a chain that began with
        :meth:`visible_to` and has nothing but filters since; in any other chain it is as right,
        and slow.

        Args:
            limit: how many at most.
            begin: where to begin; at the top by default.
        """
        begin = begin or Place.top()
        if self._view is None or not self._view.topics:
            follows = reduce(or_, begin.waiting(), begin.numbered())
            return self.filter(follows).order_by(*begin.order())[:limit]
        topics, rows = self._view.topics, self._view.in_any_topic()
        # Sorted by the topic first, and asked for a range of it (an "=" would make it a constant
        # and drop it from the order), only that index has the order; else a database walks back
        # through the numbers, past the rows of others.
        numbered, waiting = rows.filter(begin.numbered()), rows.filter(topic__in=topics)
        parts = [
            numbered.filter(topic__gte=topic, topic__lte=topic).order_by("-topic", "-seq")
            for topic in topics
        ]
        parts += [waiting.filter(part).order_by("-created_at", "-pk") for part in begin.waiting()]
        features = connections[self.db].features
        pks = [part.values("pk")[:limit] for part in parts]
        if not features.supports_slicing_ordering_in_compound:  # SQLite
            pks = [
                self.model._base_manager.filter(pk__in=part).order_by().values("pk") for part in pks
            ]
        found: Any = pks[0].union(*pks[1:], all=True)
        if not features.allow_sliced_subqueries_with_in:  # MySQL
            found = [row["pk"] for row in found]
        return self.filter(pk__in=found).order_by(*begin.order())[:limit]

    def counts(self, user: User, up_to: int | None = None) -> tuple[int, int]:
        """Return how many notifications of the inbox are unread and how many unseen.

        Exact, in two queries at most. What is muted counts as neither.

        Args:
            user: whose; (0, 0) for an anonymous visitor.
            up_to: count only what is numbered up to here; ``None``: everything, pending rows
                included.

        Raises:
            TypeError: the queryset is filtered, which would make no difference.
        """
        if self.query.where:
            raise TypeError("counts() is of the whole inbox: ask the manager, or use count().")
        if not _has_inbox(user):
            return 0, 0
        owner = Owner(user.pk, topics_of(user), getattr(user, "date_joined", None))
        return count([owner], self.db, up_to)[0]


_STATES = ("is_unread", "is_unseen", "is_archived", "is_muted")
_WATERMARKS = ("read_up_to", "seen_up_to", "archived_up_to")


def _has_inbox(user: User) -> bool:
    return user.pk is not None and user.is_authenticated


def _model(name: str) -> Any:
    return apps.get_model("sse_notify", name)  # by name, as the models import this module


def _above(watermark: Any) -> Q:
    return Q(seq=None) | Q(seq__gt=watermark)
