"""Count how many users each notification of a page reaches, and how many of them have read it.

A broadcast is one row. A user has read it if the user's watermark covers it, unless a receipt says
otherwise. So all users are counted once for all rows of a page, in buckets: by which of the rows
they joined before, and by which of the rows their watermarks cover. At most seven queries.

    reach   users who can sign in, are in the audience now, joined before it was sent and are not
            excluded
    read    users of these whose watermark covers it, less those with a receipt "unread", plus those
            with a receipt "read" above their watermark
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from sse_notify.admin.audience import active_users
from sse_notify.audience import has_user_field
from sse_notify.models import Audience, Exclusion, Inbox, Notification, Receipt

if TYPE_CHECKING:
    from django.db.models import QuerySet

#: What a user is: ("staff", whether) or ("group", which).
Part = tuple[str, Any]
#: Users by what they are, which rows they joined before, and which rows their watermarks cover.
Buckets = Counter[tuple[Part, int, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The figures of one notification."""

    reach: int | None
    """Users whom it reaches now."""
    read: int | None
    """Users of these who have read it."""


#: The figures of what was recalled, and of what no query can count.
UNKNOWN = Figures(reach=None, read=None)


def figures_of(rows: Sequence[Notification]) -> dict[int, Figures]:
    """Return the figures by key.

    Args:
        rows: with ``recipient`` selected. Recalled rows are left out, and rows for staff where no
            query can tell who is staff.
    """
    unknown = () if has_user_field("is_staff") else (Audience.STAFF,)
    sent = [row for row in rows if row.recalled_at is None and row.audience not in unknown]
    personal = [row for row in sent if row.audience == Audience.USER]
    shared = [row for row in sent if row.audience != Audience.USER]
    return _of_personal(personal) | (_of_shared(shared) if shared else {})


def _of_personal(rows: Sequence[Notification]) -> dict[int, Figures]:
    receipts = Receipt.objects.filter(notification=OuterRef("pk"), user=OuterRef("recipient"))
    covering = Inbox.objects.filter(pk=OuterRef("recipient"), read_up_to__gte=OuterRef("seq"))
    is_covered = Exists(covering) & ~Exists(receipts.filter(unread_at__isnull=False))
    is_read = Exists(receipts.filter(read_at__isnull=False)) | is_covered
    found = Notification.objects.filter(is_read, pk__in=[row.pk for row in rows])
    read = set(found.values_list("pk", flat=True))
    reached = {row.pk for row in rows if getattr(row.recipient, "is_active", True)}
    return {row.pk: Figures(reach=row.pk in reached, read=row.pk in reached & read) for row in rows}


def _of_shared(rows: Sequence[Notification]) -> dict[int, Figures]:
    sent = sorted({row.created_at for row in rows})
    numbers = sorted({row.seq for row in rows if row.seq is not None})
    inboxes = Inbox.objects.filter(**_active("user__"))
    members = _count(rows, sent, active_users(), "", Value(len(numbers) + 1))  # as if all had read
    readers = _count(rows, sent, inboxes, "user__", _place("read_up_to__lt", numbers))
    reach: Counter[int] = Counter()
    read: Counter[int] = Counter()
    for row in rows:
        joined = bisect_left(sent, row.created_at)
        number = len(numbers) if row.seq is None else bisect_left(numbers, row.seq)
        parts = _parts(row)
        for found, buckets in ((reach, members), (read, readers)):
            found[row.pk] = sum(
                count
                for (part, joined_in, marked_in), count in buckets.items()
                if part in parts and joined_in <= joined and marked_in > number
            )
    _count_exceptions(rows, reach, read)
    return {row.pk: Figures(reach=reach[row.pk], read=read[row.pk]) for row in rows}


def _count(
    rows: Sequence[Notification],
    sent: Sequence[Any],
    users: QuerySet[Any],
    prefix: str,
    marked_in: Any,
) -> Buckets:
    """Count the users of the rows' audiences, in one query for everyone and staff, one for groups.

    Args:
        rows: the broadcasts.
        sent: when they were sent, ascending.
        users: users, or rows that refer to them.
        prefix: what stands before the fields of users in ``users``.
        marked_in: the bucket of the watermark.
    """
    has_joined = has_user_field("date_joined")
    joined_in = _place(f"{prefix}date_joined__lte", sent if has_joined else ())
    audiences = {row.audience for row in rows}
    groups = {row.group_id for row in rows if row.audience == Audience.GROUP}
    counted: list[tuple[str, QuerySet[Any], Any]] = []
    if audiences & {Audience.EVERYONE, Audience.STAFF}:
        is_staff = F(f"{prefix}is_staff") if has_user_field("is_staff") else Value(value=False)
        counted.append(("staff", users, is_staff))
    if groups and has_user_field("groups"):
        members = users.filter(**{f"{prefix}groups__in": groups})
        counted.append(("group", members, F(f"{prefix}groups")))
    buckets: Buckets = Counter()
    for kind, chosen, part in counted:
        parts = chosen.order_by().values_list(part, joined_in, marked_in)
        for value, joined, marked, number in parts.annotate(number=Count("pk")):
            buckets[(kind, value), joined, marked] += number
    return buckets


def _place(lookup: str, values: Sequence[Any]) -> Any:
    """Return the index of the first of ``values`` that meets ``lookup``, their number if none does."""
    places = [models.When(**{lookup: value}, then=place) for place, value in enumerate(values)]
    return models.Case(*places, default=len(values), output_field=models.IntegerField())


def _parts(row: Notification) -> tuple[Part, ...]:
    """Return what the users of the row's audience are."""
    if row.audience == Audience.GROUP:
        return (("group", row.group_id),)
    others = (("staff", False),) if row.audience == Audience.EVERYONE else ()
    return (("staff", True), *others)


def _count_exceptions(
    rows: Sequence[Notification], reach: Counter[int], read: Counter[int]
) -> None:
    """Subtract excluded users, and correct readers by receipts that differ from watermarks."""
    seq = F("notification__seq")
    covered = Q(notification__seq__isnull=False, mark__gte=seq)
    excluded = _of_members(rows, Exclusion.objects.all())
    counts = excluded.annotate(all=Count("pk"), covered=Count("pk", filter=covered))
    for pk, number, readers in counts.values_list("notification_id", "all", "covered"):
        reach[pk] -= number
        read[pk] -= readers
    marked = Q(read_at__isnull=False)
    above = Q(notification__seq=None) | Q(mark__lt=seq)
    receipts = _of_members(rows, Receipt.objects.filter(marked | Q(unread_at__isnull=False)))
    counts = receipts.annotate(
        more=Count("pk", filter=marked & above), less=Count("pk", filter=~marked & covered)
    )
    for pk, more, less in counts.values_list("notification_id", "more", "less"):
        read[pk] += more - less


def _of_members(rows: Sequence[Notification], exceptions: QuerySet[Any]) -> Any:
    """Return those of the exclusions or receipts whose users the notification would reach.

    ``mark`` is the user's watermark.
    """
    kinds = Q(notification__audience=Audience.EVERYONE)
    if has_user_field("is_staff"):
        kinds |= Q(notification__audience=Audience.STAFF, user__is_staff=True)
    if has_user_field("groups"):
        group = OuterRef("notification__group_id")
        members = get_user_model()._default_manager.filter(pk=OuterRef("user_id"), groups=group)
        kinds |= Q(Exists(members), notification__audience=Audience.GROUP)
    if has_user_field("date_joined"):
        kinds &= Q(user__date_joined__lte=F("notification__created_at"))
    keys = [row.pk for row in rows]
    inboxes = Inbox.objects.filter(pk=OuterRef("user_id")).values("read_up_to")
    theirs = exceptions.filter(kinds, notification__in=keys, **_active("user__"))
    return theirs.alias(mark=Coalesce(Subquery(inboxes), 0)).order_by().values("notification_id")


def _active(prefix: str) -> dict[str, Any]:
    return {f"{prefix}is_active": True} if has_user_field("is_active") else {}
