"""Count how many users each notification of a page reaches, and how many of them have read it.

    reach   users who can sign in, are in the audience now, joined before it was sent and are not
            excluded
    read    of these, the users whose watermark covers it, minus those with a receipt "unread",
            plus those with a receipt "read" above their watermark

A broadcast is one row without a list of users. For all broadcasts of a page, two queries count the
users (one for groups, one for other audiences), and two more count their watermarks. A page takes
at most seven queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from sse_notify.admin.forms import active_users
from sse_notify.models import Audience, Exclusion, Inbox, Notification, Receipt
from sse_notify.notifications.send import has_user_field
from sse_notify.topics import groups_field


class Figures(NamedTuple):
    """The figures of one notification."""

    reach: int | None
    """How many users it reaches now."""
    read: int | None
    """How many of these have read it."""


#: The figures of recalled notifications, and of those that no query can count.
UNKNOWN = Figures(reach=None, read=None)


def figures_of(rows: Sequence[Notification]) -> dict[int, Figures]:
    """Return the figures by primary key.

    Leave out recalled rows, and rows for staff or groups if the user model has no such field.

    Args:
        rows: notifications, with ``select_related("recipient")``.
    """
    fields = {Audience.STAFF: "is_staff", Audience.GROUP: "groups"}
    unknown = [audience for audience, field in fields.items() if not has_user_field(field)]
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
    read = Counter(found.values_list("pk", flat=True))
    reach = Counter(row.pk for row in rows if getattr(row.recipient, "is_active", True))
    return {row.pk: Figures(reach=reach[row.pk], read=(reach & read)[row.pk]) for row in rows}


def _of_shared(rows: Sequence[Notification]) -> dict[int, Figures]:
    inboxes = Inbox.objects.filter(**_active("user__"))
    members = {row: _members(row, "") for row in rows}
    numbered = [row for row in rows if row.seq is not None]
    readers = {row: _members(row, "user__") & Q(read_up_to__gte=row.seq) for row in numbered}
    reach, read = _count(active_users(), members, ""), _count(inboxes, readers, "user__")
    _count_exceptions(rows, reach, read)
    return {row.pk: Figures(reach=reach[row.pk], read=read[row.pk]) for row in rows}


def _members(row: Notification, prefix: str) -> Q:
    """Return the condition that a user belongs to the row's audience and joined before it.

    ``prefix`` is put before the names of the user model's fields.
    """
    members = Q()
    if has_user_field("date_joined"):
        members &= Q(**{f"{prefix}date_joined__lte": row.created_at})
    if row.audience == Audience.STAFF:
        members &= Q(**{f"{prefix}is_staff": True})
    if row.audience == Audience.GROUP:
        members &= Q(**{f"{prefix}groups__id": row.group_id})
    return members


def _count(users: QuerySet[Any], conditions: dict[Notification, Q], prefix: str) -> Counter[int]:
    """Count the users who match each condition: one query for groups, one for the others."""
    groups = [row for row in conditions if row.audience == Audience.GROUP]
    others = [row for row in conditions if row.audience != Audience.GROUP]
    counts: Counter[int] = Counter()
    field: Any = groups_field()
    # A row of a project's own ``through`` may repeat a membership, in another role, say.
    repeats = field is not None and not field.remote_field.through._meta.auto_created
    for rows in filter(None, (groups, others)):
        chosen = users
        if rows is groups:
            chosen = users.filter(**{f"{prefix}groups__id__in": {row.group_id for row in rows}})
        counted = {
            f"n{row.pk}": Count("pk", filter=conditions[row], distinct=rows is groups and repeats)
            for row in rows
        }
        found = chosen.aggregate(**counted)
        counts.update({row.pk: found[f"n{row.pk}"] for row in rows})
    return counts


def _count_exceptions(
    rows: Sequence[Notification], reach: Counter[int], read: Counter[int]
) -> None:
    """Subtract excluded users, and apply the receipts that differ from watermarks."""
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
    """Return the exclusions or receipts of users in the audience, grouped by notification.

    The alias ``mark`` is the user's watermark.
    """
    kinds = Q(notification__audience=Audience.EVERYONE)
    if has_user_field("is_staff"):
        kinds |= Q(notification__audience=Audience.STAFF, user__is_staff=True)
    if has_user_field("groups"):
        group = OuterRef("notification__group_id")
        users = get_user_model()._default_manager
        members = users.filter(pk=OuterRef("user_id"), groups__id=group)
        kinds |= Q(Exists(members), notification__audience=Audience.GROUP)
    if has_user_field("date_joined"):
        kinds &= Q(user__date_joined__lte=F("notification__created_at"))
    keys = [row.pk for row in rows]
    inboxes = Inbox.objects.filter(pk=OuterRef("user_id")).values("read_up_to")
    theirs = exceptions.filter(kinds, notification__in=keys, **_active("user__"))
    return theirs.alias(mark=Coalesce(Subquery(inboxes), 0)).order_by().values("notification_id")


def _active(prefix: str) -> dict[str, Any]:
    return {f"{prefix}is_active": True} if has_user_field("is_active") else {}
