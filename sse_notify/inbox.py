"""What each user did with what they were notified of: seen, read, archived. The verbs, and their async twins.

    caller's transaction     lock the user's inbox, write the watermark or receipts, note the change (state_seq NULL) ... COMMIT
    after the commit         the log numbers the inbox as it numbers notifications, and every page of that user hears `update`

A mark by ``up_to`` moves a watermark: one row, whatever the number of notifications, and no race, as what is numbered later is
above it. A mark by ``ids`` writes a receipt for each notification that it changes. The lock puts the marks of one user in order;
those of different users never wait for each other, and none waits for the log.

Deliberate oddities:

1. ``up_to`` is cut to the head of the log. A larger one would have everything read before it arrives.
2. The lock begins with an insert that ignores conflicts. It makes the row on the first mark; and as it writes, SQLite waits for
   its one lock here, where a transaction that reads first and then writes would fail at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections, transaction
from django.db.models import Q
from django.utils import timezone

from sse_notify import changes, fanout, log
from sse_notify.models import Inbox, Notification, Receipt
from sse_notify.paging import Place
from sse_notify.twins import twin
from sse_notify.wire import MAX_CURSOR

if TYPE_CHECKING:
    from sse_notify.querysets import NotificationQuerySet, User

#: Ids in one statement, below the limits of every database.
CHUNK = 500
#: The newest notifications in which categories are looked for.
CATEGORIES_OF = 200
#: The longest ``client``, in characters.
CLIENT_LENGTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a page needs to know of an inbox, apart from the items."""

    cursor: int
    """The head of the log, read before the rest: what the counts may have beyond it comes with a stream that starts there."""
    state_seq: int | None
    """The number of the inbox's last change; ``None`` if there is none, or none that is numbered yet."""
    unread: int
    """How many notifications are unread."""
    unseen: int
    """How many notifications the user has not seen yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mark:
    """One way to mark."""

    name: str
    """The ``set`` of the ``update`` event."""
    changes: Q
    """Which rows it changes. The others are left alone, so that a repeat writes nothing and says nothing."""
    stamps: str
    """The receipt's column that gets the time."""
    clears: str = ""
    """The receipt's column that says the opposite, and overrides the watermarks: it is emptied."""
    sees: bool = False
    """Whether what is marked was also seen."""
    watermarks: tuple[str, ...] = ()
    """The inbox's columns that ``up_to`` raises."""


_READ = _Mark(
    name="read",
    changes=Q(is_unread=True),
    stamps="read_at",
    clears="unread_at",
    sees=True,
    watermarks=("read_up_to", "seen_up_to"),
)
_UNREAD = _Mark(name="unread", changes=Q(is_unread=False), stamps="unread_at", clears="read_at")
_SEEN = _Mark(name="seen", changes=Q(is_unseen=True), stamps="seen_at", watermarks=("seen_up_to",))
_ARCHIVED = _Mark(
    name="archived",
    changes=Q(is_archived=False),
    stamps="archived_at",
    clears="unarchived_at",
    watermarks=("archived_up_to",),
)
_UNARCHIVED = _Mark(
    name="unarchived", changes=Q(is_archived=True), stamps="unarchived_at", clears="archived_at"
)


def mark_read(
    user: User, ids: Iterable[int] | None = None, up_to: int | None = None, client: str = ""
) -> None:
    """Mark notifications of ``user`` as read, and so as seen.

    Give either ``ids`` or ``up_to``. What is not the user's, or is read already, is left alone: a repeat does nothing.

    Args:
        user: whose inbox.
        ids: the notifications, by id.
        up_to: all that are numbered up to this ``seq``, however many. What arrives meanwhile is numbered higher and stays unread.
        client: the mark of the page that asks, at most 100 characters: it comes back in the ``update`` event, so that the page
            knows its own.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    _mark(user, _READ, ids, up_to, client)


def mark_unread(user: User, ids: Iterable[int], client: str = "") -> None:
    """Mark notifications of ``user`` as unread, also those that a mark by ``up_to`` has covered. They stay seen.

    Args and errors as for :func:`mark_read`.
    """
    _mark(user, _UNREAD, ids, None, client)


def mark_seen(
    user: User, ids: Iterable[int] | None = None, up_to: int | None = None, client: str = ""
) -> None:
    """Mark notifications of ``user`` as seen: they were before the user's eyes, but stay unread.

    Args and errors as for :func:`mark_read`.
    """
    _mark(user, _SEEN, ids, up_to, client)


def archive(
    user: User, ids: Iterable[int] | None = None, up_to: int | None = None, client: str = ""
) -> None:
    """Put notifications of ``user`` away: neither listed nor counted from then on, but kept.

    One that is sent again under its ``key`` comes back. Args and errors as for :func:`mark_read`.
    """
    _mark(user, _ARCHIVED, ids, up_to, client)


def unarchive(user: User, ids: Iterable[int], client: str = "") -> None:
    """Take notifications of ``user`` back from the archive, also those that an :func:`archive` by ``up_to`` has covered.

    They come back at their place, read or unread as they were. Args and errors as for :func:`mark_read`.
    """
    _mark(user, _UNARCHIVED, ids, None, client)


def visible(user: User) -> NotificationQuerySet:
    """Return what ``user`` may see, without what is archived."""
    return Notification.objects.using(log.database()).visible_to(user)


def categories(rows: NotificationQuerySet) -> set[str]:
    """Return the categories of the newest 200 of ``rows``: bounded, however long the inbox."""
    return {*rows.newest(CATEGORIES_OF).values_list("category", flat=True)} - {""}


def counts(user: User) -> tuple[int, int]:
    """Return how many notifications of ``user`` are unread and how many unseen: exact, in two queries at most."""
    return Notification.objects.using(log.database()).counts(user)


def unread_count(user: User) -> int:
    """Return how many notifications of ``user`` are unread, 0 for an anonymous visitor."""
    return counts(user)[0]


def unseen_count(user: User) -> int:
    """Return how many notifications of ``user`` are unseen, 0 for an anonymous visitor."""
    return counts(user)[1]


def state(user: User) -> State:
    """Return the state of the inbox of ``user``, in four queries. Ask for it before the items, so that nothing falls between."""
    cursor = log.head()
    state_seq = (
        Inbox.objects.using(log.database())
        .filter(pk=user.pk)
        .values_list("state_seq", flat=True)
        .first()
    )
    unread, unseen = counts(user)
    return State(cursor=cursor, state_seq=state_seq, unread=unread, unseen=unseen)


def page(
    rows: NotificationQuerySet, limit: int, begin: Place | None = None
) -> tuple[list[Notification], Place | None]:
    """Return a page of an inbox, newest first, and the place where the next begins; ``None`` if this is the last.

    Args:
        rows: what :func:`visible` gave, filtered or not.
        limit: items of a page; with 0 there is no next one.
        begin: what the page before gave, or ``Place.top(cursor)`` of a :func:`state` that was asked for before; the top by default.
    """
    begin = begin or Place.top(log.head())
    found = list(rows.newest(limit + 1, begin))  # one more, to know whether there is a next page
    has_next = 0 < limit < len(found)
    return found[:limit], begin.after(found[limit - 1]) if has_next else None


def _mark(
    user: User, mark: _Mark, ids: Iterable[int] | None, up_to: int | None, client: str
) -> None:
    check_user(user)
    _check_client(client)
    if (ids is None) == (up_to is None):
        raise ValueError("ids, up_to: exactly one of the two is needed")
    chosen = None if ids is None else _check_ids(ids)
    limit = 0 if up_to is None else _check_number("up_to", up_to)
    using = log.database()
    try:
        _write(user, mark, chosen, limit, client, using)
    except (
        IntegrityError
    ):  # at the commit: one of them was pruned in this moment, and is not found again
        if chosen is None or connections[using].in_atomic_block:
            raise
        _write(user, mark, chosen, limit, client, using)


def _write(
    user: User, mark: _Mark, chosen: list[int] | None, limit: int, client: str, using: str
) -> None:
    with transaction.atomic(using=using):
        inbox = _lock(user, using)
        if chosen is None:
            limit = min(limit, log.head())  # oddity 1
            marked: dict[str, Any] = {"up_to": limit}
            changed = _mark_up_to(inbox, mark, limit, using)
        else:
            marked = {"ids": _mark_ids(inbox, mark, chosen, user, using)}
            changed = bool(marked["ids"])
        if changed:
            changes.note(inbox, {"set": mark.name, **marked, "client": client})
            inbox.save(using=using)
            fanout.announce_on_commit()


def _lock(user: User, using: str) -> Inbox:
    """Return the user's inbox, locked until the end of the transaction; made if there is none."""
    inboxes = Inbox.objects.using(using)
    inboxes.bulk_create([Inbox(pk=user.pk)], ignore_conflicts=True)  # oddity 2
    return inboxes.select_for_update().get(pk=user.pk)


def _mark_ids(inbox: Inbox, mark: _Mark, ids: list[int], user: User, using: str) -> list[int]:
    """Write a receipt for each of the notifications that the mark changes; return their ids."""
    now = timezone.now()
    theirs: Any = (
        Notification.objects.using(using).with_states(user, heed_mutes=False).filter(mark.changes)
    )
    columns = [mark.stamps, *filter(None, [mark.clears, "seen_at" if mark.sees else ""])]
    receipts = []
    for start in range(0, len(ids), CHUNK):
        chunk = theirs.filter(pk__in=ids[start : start + CHUNK]).order_by("pk")
        for pk, seen_at in chunk.values_list("pk", "receipt__seen_at"):
            receipt = Receipt(
                user_id=inbox.pk,
                notification_id=pk,
                seen_at=(seen_at or now) if mark.sees else None,
            )
            setattr(receipt, mark.stamps, now)
            receipts.append(receipt)
    with_target = connections[using].features.supports_update_conflicts_with_target
    Receipt.objects.using(using).bulk_create(
        receipts,
        batch_size=CHUNK,
        update_conflicts=True,
        update_fields=columns,
        unique_fields=["user", "notification"]
        if with_target
        else None,  # MySQL takes any unique key, and refuses to be told
    )
    return [receipt.notification_id for receipt in receipts]


def _mark_up_to(inbox: Inbox, mark: _Mark, up_to: int, using: str) -> bool:
    """Raise the watermarks, and end what overrides them below; return whether that changed anything."""
    changed = False
    for name in mark.watermarks:
        if getattr(inbox, name) < up_to:
            setattr(inbox, name, up_to)
            changed = True
    if mark.clears:
        overriding = {f"{mark.clears}__isnull": False}
        below = Receipt.objects.using(using).filter(
            user_id=inbox.pk, notification__seq__lte=up_to, **overriding
        )
        changed = bool(below.update(**{mark.clears: None, mark.stamps: timezone.now()})) or changed
    return changed


def check_user(user: Any) -> None:
    """Have a user that has an inbox.

    Raises:
        TypeError, ValueError: it is none, anonymous, or not saved.
    """
    if not isinstance(user, get_user_model()):
        kind = "an anonymous user" if getattr(user, "is_anonymous", False) else type(user).__name__
        raise TypeError(f"user: a user is needed, not {kind}")
    if user.pk is None:
        raise ValueError("user: the user is not saved")


def _check_client(client: Any) -> None:
    if not isinstance(client, str):
        raise TypeError(f"client: text is needed, not {type(client).__name__}")
    if len(client) > CLIENT_LENGTH or not (client.isascii() and client.isprintable()):
        raise ValueError(f"client: at most {CLIENT_LENGTH} printable ASCII characters are allowed")


def _check_ids(ids: Any) -> list[int]:
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise TypeError(f"ids: a list of whole numbers is needed, not {type(ids).__name__}")
    return list(dict.fromkeys(_check_number("ids", id) for id in ids))


def _check_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: a whole number is needed, not {type(value).__name__}")
    if not 0 <= value <= MAX_CURSOR:
        raise ValueError(f"{name}: a number from 0 to {MAX_CURSOR} is needed")
    return value


amark_read = twin(mark_read)
amark_unread = twin(mark_unread)
amark_seen = twin(mark_seen)
aarchive = twin(archive)
aunarchive = twin(unarchive)
acounts = twin(counts)
aunread_count = twin(unread_count)
aunseen_count = twin(unseen_count)
