"""Query the log for one user: visible, unread, unseen and archived notifications.

A row's state comes from two places: the user's receipt for that row, if there is one, and the
watermarks in the user's inbox, which apply to all rows numbered up to them. A row without a number
(pending) is above every watermark.

    is_unread     not muted, no read_at, and: above read_up_to, or unread_at overrides it
    is_unseen     not muted, no seen_at, and above seen_up_to
    is_archived   archived_at, or: not above archived_up_to, and unarchived_at does not override it
    is_muted      the user has muted its category, and the project does not require it
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any, Self, TypeVar

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import connections, models
from django.db.models import BooleanField, ExpressionWrapper, FilteredRelation, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from sse_notify.conf import get_settings
from sse_notify.models.counts import Owner, count
from sse_notify.models.paging import Place
from sse_notify.topics import has_inbox, joined, topics_of, user_topic

#: The model, which imports this module.
Row = TypeVar("Row", bound=models.Model)

#: An instance of the project's AUTH_USER_MODEL, or an anonymous visitor.
User = AbstractBaseUser | AnonymousUser


@dataclass(frozen=True, slots=True)
class _View:
    """The parts of a queryset for one user, from which another queryset can be built."""

    rows: Any
    """The rows so far, in all topics, archived or not."""
    topics: tuple[str, ...]
    """The user's topics; empty for an anonymous visitor."""
    is_archived: bool | None
    """Whether to return archived rows or the others. ``None``: return both."""

    def in_any_topic(self) -> Any:
        """Return the rows without the condition on the user's topics."""
        shown = Q() if self.is_archived is None else Q(is_archived=self.is_archived)
        return self.rows.filter(shown)


class NotificationQuerySet(models.QuerySet[Row]):
    """The queryset of notifications. Call :meth:`visible_to` before the filters by state."""

    #: Set as long as the chain contains only the methods below.
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
        """Return the notifications that ``user`` may see now, without archived ones.

        These are the user's own notifications and the broadcasts to the user's current audiences
        since the user joined. Expired and recalled notifications, and broadcasts that exclude the
        user, are left out. An anonymous visitor sees none.

        Each row has the booleans ``is_unread``, ``is_unseen``, ``is_archived`` and ``is_muted``. A
        muted notification is neither unread nor unseen. Rows are visible as soon as they are
        written, with or without a ``seq``.

        Call it from sync code: it fetches the user's groups with one query.
        """
        return self.with_states(user, is_archived=False)

    def with_states(
        self, user: User, *, heed_mutes: bool = True, is_archived: bool | None = None
    ) -> Self:
        """Return the same rows as :meth:`visible_to` and the archived rows.

        Args:
            user: the user who sees the rows.
            heed_mutes: ``False``: give muted rows the state that they have after unmuting.
            is_archived: return only archived rows, or only the others; ``None``: return both.
        """
        if not has_inbox(user):
            nothing = Value(value=False, output_field=BooleanField())
            rows = self.annotate(**dict.fromkeys(_STATES, nothing)).none()
            return self._show(_View(rows, (), is_archived))
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        excluded = _model("Exclusion")._default_manager.filter(user_id=user.pk)
        rows = self.filter(unexpired, recalled_at=None)
        rows = rows.exclude(pk__in=excluded.values("notification_id"))
        if since := joined(user):
            rows = rows.filter(Q(topic=user_topic(user.pk)) | Q(created_at__gte=since))
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
        """Return only the unread rows."""
        return self.filter(is_unread=True)

    def unseen(self) -> Self:
        """Return only the rows that the user has not seen yet."""
        return self.filter(is_unseen=True)

    def archived(self) -> Self:
        """Return only the archived rows, which :meth:`visible_to` leaves out.

        Raises:
            TypeError: the chain has no :meth:`visible_to`, or more than filters after it.
        """
        if self._view is None:
            raise TypeError("archived() must come after visible_to(), with only filters between.")
        return self._show(replace(self._view, is_archived=True))

    def newest(self, limit: int, begin: Place | None = None) -> Self:
        """Return the newest rows, newest first, without reading the rows of other users.

        No index has the rows of several topics in one order. A database would read the whole log
        backwards, or sort all rows that the user ever got. So this finds the newest rows of each
        topic, which the index has in order, and merges them. Call it last, after
        :meth:`visible_to` and nothing but filters. In any other chain it is correct but slow.

        Args:
            limit: the maximum number of rows.
            begin: where to start; at the top by default.
        """
        begin = begin or Place.top()
        if self._view is None or not self._view.topics:
            follows = reduce(or_, begin.waiting(), begin.numbered())
            return self.filter(follows).order_by(*begin.order())[:limit]
        topics, rows = self._view.topics, self._view.in_any_topic()
        # Sort by topic first, and filter by a range of topics: "=" would make the topic a constant
        # and drop it from the order. Then only the index (topic, seq) has this order. Otherwise a
        # database may read the index on seq backwards, through the rows of other users.
        numbered, waiting = rows.filter(begin.numbered()), rows.filter(topic__in=topics)
        parts = [
            numbered.filter(topic__gte=topic, topic__lte=topic).order_by("-topic", "-seq")
            for topic in topics
        ]
        parts += [waiting.filter(part).order_by("-created_at", "-pk") for part in begin.waiting()]
        features = connections[self.db].features
        pks = [part.values("pk")[:limit] for part in parts]
        if not features.supports_slicing_ordering_in_compound:  # SQLite
            keys = self.model._base_manager.order_by().values("pk")
            pks = [keys.filter(pk__in=part) for part in pks]
        found: Any = pks[0].union(*pks[1:], all=True)
        if not features.allow_sliced_subqueries_with_in:  # MySQL
            found = [row["pk"] for row in found]
        return super().filter(pk__in=found).order_by(*begin.order())[:limit]

    def counts(self, user: User) -> tuple[int, int]:
        """Return the exact (unread, unseen) counts of the inbox, in at most two queries.

        Muted notifications do not count.

        Args:
            user: the inbox's owner; (0, 0) for an anonymous visitor.

        Raises:
            TypeError: the queryset is filtered. The counts would ignore the filters.
        """
        if self.query.where:
            raise TypeError("counts() is of the whole inbox: ask the manager, or use count().")
        if not has_inbox(user):
            return 0, 0
        owner = Owner(user.pk, topics_of(user), joined(user))
        return count([owner], self.db)[0]


_STATES = ("is_unread", "is_unseen", "is_archived", "is_muted")
_WATERMARKS = ("read_up_to", "seen_up_to", "archived_up_to")


def _model(name: str) -> Any:
    return apps.get_model("sse_notify", name)  # by name, because the models import this module


def _above(watermark: Any) -> Q:
    return Q(seq=None) | Q(seq__gt=watermark)


def users_by_name(names: Iterable[str], *, or_key: bool = False) -> dict[str, Any]:
    """Return a dict from username to user, for the given usernames, with one query.

    Args:
        names: the usernames.
        or_key: whether a name that nobody has may be a primary key, which takes one more query.
    """
    model = get_user_model()
    users = model._default_manager
    found = users.filter(**{f"{model.USERNAME_FIELD}__in": names})
    named = {str(user.get_username()): user for user in found}
    keys: dict[Any, str] = {}
    for name in set(names) - named.keys() if or_key else ():
        with suppress(ValidationError):  # it cannot be a key
            keys[model._meta.pk.clean(name, None)] = name
    return named | {keys[user.pk]: user for user in users.filter(pk__in=keys)}
