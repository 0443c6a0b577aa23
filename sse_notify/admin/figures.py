"""How many a notification reaches, and how many of them have read it: for a page of rows, in eight queries at most.

A broadcast is one row, and who has read it is told by each reader's watermark and the receipts that differ from it. So the users are
counted once for all rows of a page, in buckets: by which of the rows they joined before, and which of them their watermarks cover.

    reach   who can sign in, is in the audience now, joined before it was sent and is not excluded
    read    who of these has a watermark that covers it, less the receipts "unread", plus the receipts "read" above the watermark
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from sse_notify.admin.addressees import active_users, has_field
from sse_notify.models import Audience, Exclusion, Inbox, Notification, Receipt

if TYPE_CHECKING:
    from django.db.models import QuerySet


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What is known of one notification's way."""

    reach: int
    """Users whom it reaches now."""
    read: int
    """Users of these who have read it."""


def figures_of(rows: Sequence[Notification]) -> dict[int, Figures]:
    """Return the figures by key.

    Args:
        rows: with ``recipient`` selected. What is recalled is left out, and so is what is for staff where no query can tell who is.
    """
    sent = [row for row in rows if row.recalled_at is None]
    shared = [row for row in sent if row.audience != Audience.USER]
    if not has_field("is_staff"):
        shared = [row for row in shared if row.audience != Audience.STAFF]
    return {
        **_of_personal([row for row in sent if row.audience == Audience.USER]),
        **_of_shared(shared),
    }


def _of_personal(rows: Sequence[Notification]) -> dict[int, Figures]:
    """Two queries: the recipients' watermarks, and their receipts."""
    if not rows:
        return {}
    marks: dict[Any, int] = dict(
        Inbox.objects.filter(pk__in={row.recipient_id for row in rows}).values_list(
            "pk", "read_up_to"
        )
    )
    receipts = {
        receipt.notification_id: receipt
        for receipt in Receipt.objects.filter(notification__in=rows)
    }
    found = {}
    for row in rows:
        receipt = receipts.get(row.pk)
        covered = row.seq is not None and row.seq <= marks.get(row.recipient_id, 0)
        is_read = (
            receipt.read_at is not None or (covered and receipt.unread_at is None)
            if receipt
            else covered
        )
        reach = int(bool(getattr(row.recipient, "is_active", True)))
        found[row.pk] = Figures(reach=reach, read=reach and int(is_read))
    return found


def _of_shared(rows: Sequence[Notification]) -> dict[int, Figures]:
    if not rows:
        return {}
    page = _Page(rows)
    members, readers = page.members(), page.readers()
    exceptions = page.exceptions()
    found = {}
    for row in rows:
        excluded, excluded_readers, unread, read = exceptions.get(row.pk, (0, 0, 0, 0))
        reach = page.sum(members, row) - excluded
        found[row.pk] = Figures(
            reach=reach, read=page.sum(readers, row) - excluded_readers - unread + read
        )
    return found


#: ((Kind, what the user is): ("staff", whether) or ("group", which); bucket of joining; bucket of the watermark) → users.
Buckets = Counter[tuple[tuple[str, Any], int, int]]


@dataclass
class _Page:
    """The broadcasts of one page of the list."""

    rows: Sequence[Notification]
    sent: list[Any] = field(init=False)
    """When they were sent, ascending."""
    numbers: list[int] = field(init=False)
    """Their places in the log, ascending."""
    groups: set[int | None] = field(init=False)

    def __post_init__(self) -> None:
        self.sent = sorted({row.created_at for row in self.rows})
        self.numbers = sorted({row.seq for row in self.rows if row.seq is not None})
        self.groups = {row.group_id for row in self.rows if row.audience == Audience.GROUP}

    def sum(self, buckets: Buckets, row: Notification) -> int:
        """Return how many users of the row's audience joined before it, and have a watermark that covers it."""
        joined = bisect_left(self.sent, row.created_at)
        number = bisect_left(self.numbers, row.seq) if row.seq is not None else len(self.numbers)
        return sum(
            count
            for (part, joined_in, marked_in), count in buckets.items()
            if joined_in <= joined and marked_in > number and _is_in(part, row)
        )

    def members(self) -> Buckets:
        """Count the users of the audiences; as if each had read everything."""
        return self._count(active_users(), "", Value(len(self.numbers) + 1))

    def readers(self) -> Buckets:
        """Count the users of the audiences by their watermarks, those that cover any of the rows."""
        if not self.numbers:
            return Counter()
        inboxes = Inbox.objects.filter(read_up_to__gte=self.numbers[0], **_active("user__"))
        covered = [
            When(read_up_to__gte=seq, then=Value(place))
            for place, seq in enumerate(self.numbers, start=1)
        ]
        return self._count(inboxes, "user__", Case(*reversed(covered), output_field=IntegerField()))

    def _count(self, users: QuerySet[Any], prefix: str, marked_in: Any) -> Buckets:
        """Two queries at most: everyone and staff in one, the groups in one."""
        joined_in: Any = Value(0)
        if has_field("date_joined"):
            before = [
                When(**{f"{prefix}date_joined__lte": moment}, then=Value(place))
                for place, moment in enumerate(self.sent)
            ]
            joined_in = Case(*before, default=Value(len(self.sent)), output_field=IntegerField())
        buckets: Buckets = Counter()
        audiences = {row.audience for row in self.rows}
        parts = []
        if audiences & {Audience.EVERYONE, Audience.STAFF}:
            staff = F(f"{prefix}is_staff") if has_field("is_staff") else Value(value=False)
            chosen = (
                users
                if Audience.EVERYONE in audiences
                else users.filter(**{f"{prefix}is_staff": True})
            )
            parts.append(("staff", chosen, staff))
        if self.groups and has_field("groups"):
            parts.append(
                (
                    "group",
                    users.filter(**{f"{prefix}groups__in": self.groups}),
                    F(f"{prefix}groups"),
                )
            )
        for kind, chosen, part in parts:
            counted = (
                chosen.order_by()
                .values(part=part, joined_in=joined_in, marked_in=marked_in)
                .annotate(number=Count("pk"))
            )
            for row in counted:
                buckets[(kind, row["part"]), row["joined_in"], row["marked_in"]] += row["number"]
        return buckets

    def exceptions(self) -> dict[int, tuple[int, int, int, int]]:
        """Count who is excluded, who of these has a watermark that covers the row, and the receipts that differ from watermarks."""
        covered = Q(notification__seq__isnull=False, mark__gte=F("notification__seq"))
        excluded = self._of_members(Exclusion.objects.all()).annotate(
            all=Count("pk"), covered=Count("pk", filter=covered)
        )
        receipts = self._of_members(
            Receipt.objects.filter(Q(read_at__isnull=False) | Q(unread_at__isnull=False))
        ).annotate(
            unread=Count("pk", filter=covered & Q(read_at=None)),
            read=Count(
                "pk",
                filter=Q(read_at__isnull=False)
                & (Q(notification__seq=None) | Q(mark__lt=F("notification__seq"))),
            ),
        )
        found: dict[int, tuple[int, int, int, int]] = {}
        for row in excluded:
            found[row["notification_id"]] = (row["all"], row["covered"], 0, 0)
        for row in receipts:
            known = found.get(row["notification_id"], (0, 0, 0, 0))
            found[row["notification_id"]] = (*known[:2], row["unread"], row["read"])
        return found

    def _of_members(self, rows: QuerySet[Any]) -> Any:
        """Return the exclusions or receipts of users whom the notification would reach, with the users' watermarks as ``mark``."""
        kinds = Q(notification__audience=Audience.EVERYONE)
        if has_field("is_staff"):
            kinds |= Q(notification__audience=Audience.STAFF, user__is_staff=True)
        if has_field("groups"):
            memberships = get_user_model()._default_manager.filter(
                pk=OuterRef("user_id"), groups=OuterRef("notification__group_id")
            )
            kinds |= Q(Exists(memberships), notification__audience=Audience.GROUP)
        if has_field("date_joined"):
            kinds &= Q(user__date_joined__lte=F("notification__created_at"))
        mark = Coalesce(
            Subquery(Inbox.objects.filter(pk=OuterRef("user_id")).values("read_up_to")), 0
        )
        theirs = rows.filter(
            kinds, notification__in=[row.pk for row in self.rows], **_active("user__")
        )
        return theirs.alias(mark=mark).order_by().values("notification_id")


def _active(prefix: str) -> dict[str, Any]:
    return {f"{prefix}is_active": True} if has_field("is_active") else {}


def _is_in(part: tuple[str, Any], row: Notification) -> bool:
    """Return whether users of this part of all users are in the row's audience."""
    kind, value = part
    if row.audience == Audience.GROUP:
        return kind == "group" and bool(value == row.group_id)
    return kind == "staff" and (value or row.audience == Audience.EVERYONE)
