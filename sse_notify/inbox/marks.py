"""A user's inbox: the verbs that mark what is in it, their async twins, and what it holds.

    caller's transaction   lock the inbox, write the watermark or receipts, note the change ... COMMIT
    after the commit       the log numbers the inbox, and every page of that user gets ``update``

A mark by ``up_to`` moves a watermark: one row, whatever the number of notifications, and no race,
as what is numbered later is above it. A mark by ``ids`` writes a receipt for each notification
that it changes. The lock puts the marks of one user in order; those of different users never wait
for each other, and none waits for the log.

Deliberate oddities:

1. ``up_to`` is cut to the head of the log. A larger one would mark what is yet to arrive.
2. The lock begins with an insert that ignores conflicts. It makes the row on the first mark; and
   SQLite waits for its one lock here, where a transaction that begins with a read fails at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections, transaction
from django.db.models import Q
from django.utils import timezone

from sse_notify.concurrency.threadpool import twin
from sse_notify.log.reader import note
from sse_notify.log.sequence import announce_on_commit, database, get_head
from sse_notify.models import Inbox, Notification, Receipt
from sse_notify.models.paging import Place
from sse_notify.models.querysets import NotificationQuerySet, User
from sse_notify.sse.format import MAX_CURSOR

#: The longest ``client``, in characters.
CLIENT_LENGTH = 100
#: Ids in one statement, below the limits of every database.
CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a page needs to know of an inbox, apart from the items."""

    cursor: int
    """The head of the log, read before the rest: a stream that starts there brings what follows."""
    state_seq: int | None
    """The number of the inbox's newest change; ``None`` if there is none or it has none yet."""
    unread: int
    unseen: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """One way to mark."""

    name: str
    """What the ``update`` event calls it."""
    changes: Q
    """Which rows it changes. A repeat finds none, so that it writes and says nothing."""
    stamps: dict[str, str]
    """The receipt's columns that get the time, each with the inbox's watermark that stands for it:
    ``up_to`` raises that. "": there is none, so the mark is by ``ids`` alone.
    """
    clears: str = ""
    """The receipt's column that says the opposite, and overrides the watermarks: it is emptied."""


_READ = _Mark(
    "read", Q(is_unread=True), {"read_at": "read_up_to", "seen_at": "seen_up_to"}, "unread_at"
)
_UNREAD = _Mark("unread", Q(is_unread=False), {"unread_at": ""}, "read_at")
_SEEN = _Mark("seen", Q(is_unseen=True), {"seen_at": "seen_up_to"})
_ARCHIVED = _Mark(
    "archived", Q(is_archived=False), {"archived_at": "archived_up_to"}, "unarchived_at"
)
_UNARCHIVED = _Mark("unarchived", Q(is_archived=True), {"unarchived_at": ""}, "archived_at")


def mark_read(
    user: User, ids: Iterable[int] | None = None, up_to: int | None = None, client: str = ""
) -> None:
    """Mark notifications of ``user`` as read, and so as seen.

    Give either ``ids`` or ``up_to``. What is not the user's, or is read already, is left alone.

    Args:
        user: whose inbox.
        ids: the notifications, by id.
        up_to: all that are numbered up to this ``seq``, however many. What arrives meanwhile is
            numbered higher and stays unread.
        client: the mark of the page that asks, at most 100 characters: it comes back in the
            ``update`` event, so that the page knows its own.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, and nothing is written.
    """
    _mark(user, _READ, ids, up_to, client)


def mark_unread(user: User, ids: Iterable[int], client: str = "") -> None:
    """Mark notifications of ``user`` as unread, also those that ``up_to`` has covered.

    They stay seen. Args and errors as for :func:`mark_read`.
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
    """Take notifications of ``user`` back from the archive.

    They come back at their place, read or unread as they were, also those that an :func:`archive`
    by ``up_to`` has covered. Args and errors as for :func:`mark_read`.
    """
    _mark(user, _UNARCHIVED, ids, None, client)


def visible(user: User) -> NotificationQuerySet:
    """Return what ``user`` may see, without what is archived."""
    return Notification.objects.using(database()).visible_to(user)


def counts(user: User) -> tuple[int, int]:
    """Return how many notifications of ``user`` are unread and how many unseen, in two queries."""
    return Notification.objects.using(database()).counts(user)


def unread_count(user: User) -> int:
    """Return how many notifications of ``user`` are unread, 0 for an anonymous visitor."""
    return counts(user)[0]


def unseen_count(user: User) -> int:
    """Return how many notifications of ``user`` are unseen, 0 for an anonymous visitor."""
    return counts(user)[1]


def state(user: User) -> State:
    """Return the state of an inbox, in four queries. Ask before the items: nothing falls between."""
    cursor = get_head()
    inboxes = Inbox.objects.using(database()).filter(pk=user.pk)
    state_seq = inboxes.values_list("state_seq", flat=True).first()
    unread, unseen = counts(user)
    return State(cursor=cursor, state_seq=state_seq, unread=unread, unseen=unseen)


def page(
    rows: NotificationQuerySet, limit: int, begin: Place | None = None
) -> tuple[list[Notification], Place | None]:
    """Return a page of :func:`visible` rows, newest first, and where the next begins, if any.

    It begins where the page before says, or at ``Place.top(cursor)`` of a :func:`state`.
    """
    begin = begin or Place.top(get_head())
    found = list(rows.newest(limit + 1, begin))  # one more, to know whether there is a next page
    has_next = 0 < limit < len(found)
    return found[:limit], begin.after(found[limit - 1]) if has_next else None


def _mark(
    user: User, mark: _Mark, ids: Iterable[int] | None, up_to: int | None, client: str
) -> None:
    check_user(user)
    if not isinstance(client, str):
        raise TypeError(f"client must be a string, not {type(client).__name__}.")
    if len(client) > CLIENT_LENGTH or not (client.isascii() and client.isprintable()):
        raise ValueError(f"client must be at most {CLIENT_LENGTH} printable ASCII characters.")
    if (ids is None) == (up_to is None):
        raise ValueError("Give either ids or up_to, not both.")
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable | None):
        raise TypeError(f"ids must be a list of whole numbers, not {type(ids).__name__}.")
    name, numbers = ("up_to", [up_to]) if ids is None else ("ids", ids)
    asked = [check_number(name, number, is_whole=True) for number in numbers]
    using = database()
    try:
        _write(user, mark, name, asked, client, using)
    except IntegrityError:
        # At the commit: one of them was pruned in this moment, and is not found again.
        if ids is None or connections[using].in_atomic_block:
            raise
        _write(user, mark, name, asked, client, using)


def _write(user: User, mark: _Mark, name: str, asked: list[int], client: str, using: str) -> None:
    with transaction.atomic(using=using):
        inboxes = Inbox.objects.using(using)
        inboxes.bulk_create([Inbox(pk=user.pk)], ignore_conflicts=True)  # oddity 2
        inbox = inboxes.select_for_update().get(pk=user.pk)
        if name == "ids":
            marked: Any = _mark_ids(user, mark, list(dict.fromkeys(asked)), using)
            is_changed = bool(marked)
        else:
            marked = min(asked[0], get_head())  # oddity 1
            is_changed = _mark_up_to(inbox, mark, marked, using)
        if is_changed:
            note(inbox, {"set": mark.name, name: marked, "client": client})
            inbox.save(using=using)
            announce_on_commit()


def _mark_ids(user: Any, mark: _Mark, ids: list[int], using: str) -> list[int]:
    """Write a receipt for each of the notifications that the mark changes; return their ids."""
    now = timezone.now()
    theirs: Any = Notification.objects.using(using).with_states(user, heed_mutes=False)
    receipts = []
    for start in range(0, len(ids), CHUNK):
        chunk = theirs.filter(mark.changes, pk__in=ids[start : start + CHUNK]).order_by("pk")
        for pk, *before in chunk.values_list("pk", *(f"receipt__{name}" for name in mark.stamps)):
            stamps = {name: at or now for name, at in zip(mark.stamps, before, strict=True)}
            receipts.append(Receipt(user=user, notification_id=pk, **stamps))
    # MySQL takes any unique key, and refuses to be told.
    with_target = connections[using].features.supports_update_conflicts_with_target
    Receipt.objects.using(using).bulk_create(
        receipts,
        batch_size=CHUNK,
        update_conflicts=True,
        update_fields=[*mark.stamps, *filter(None, [mark.clears])],
        unique_fields=["user", "notification"] if with_target else None,
    )
    return [receipt.notification_id for receipt in receipts]


def _mark_up_to(inbox: Inbox, mark: _Mark, up_to: int, using: str) -> bool:
    """Raise the watermarks, end what overrides them below, and return whether anything changed."""
    raised = [name for name in mark.stamps.values() if getattr(inbox, name) < up_to]
    for name in raised:
        setattr(inbox, name, up_to)
    if mark.clears:
        overriding = {f"{mark.clears}__isnull": False, "notification__seq__lte": up_to}
        below = Receipt.objects.using(using).filter(user_id=inbox.pk, **overriding)
        if below.update(**{mark.clears: None, next(iter(mark.stamps)): timezone.now()}):
            return True
    return bool(raised)


def check_user(user: Any) -> None:
    """Raise a ``TypeError`` or ``ValueError`` if ``user`` is not a user, or not saved."""
    model = get_user_model()
    if not isinstance(user, model):  # `__class__`: what a lazy object such as request.user is
        raise TypeError(f"user must be a {model.__name__}, not {user.__class__.__name__}.")
    if user.pk is None:
        raise ValueError("user must be saved.")


def check_number(
    name: str, value: Any, least: float = 0, most: float = MAX_CURSOR, *, is_whole: bool = False
) -> Any:
    """Return the argument ``name`` if it is a number in this range.

    Raises:
        TypeError, ValueError: it is not; the message begins with ``name``.
    """
    kind = "a whole number" if is_whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int if is_whole else (int, float)):
        raise TypeError(f"{name} must be {kind}, not {type(value).__name__}.")
    if not least <= value <= most:  # refuses NaN, too
        raise ValueError(f"{name} must be {kind} from {least:g} to {most}, not {value!r}.")
    return value


amark_read = twin(mark_read)
amark_unread = twin(mark_unread)
amark_seen = twin(mark_seen)
aarchive = twin(archive)
aunarchive = twin(unarchive)
aunread_count = twin(unread_count)
aunseen_count = twin(unseen_count)
