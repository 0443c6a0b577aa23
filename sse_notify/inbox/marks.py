"""A user's inbox: mark, count and list its notifications. The public functions have async twins.

    caller's transaction   lock the inbox, write the watermark or receipts, store the change, COMMIT
    after the commit       the log numbers the inbox, and every page of that user gets ``update``

A mark by ``up_to`` moves a watermark. This writes one row, whatever the number of notifications,
and has no race, because later rows get higher numbers. A mark by ``ids`` writes a receipt for each
notification that it changes. The lock puts the marks of one user in order. Marks of different users
do not wait for each other, and no mark waits for the log.

Deliberate oddities:

1. ``up_to`` is limited to the head of the log. A larger value would mark future notifications.
2. The lock begins with an insert that ignores conflicts. It creates the row on the first mark. On
   SQLite it also waits for the database lock, where a transaction that begins with a read fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections
from django.db.models import Q
from django.utils import timezone

from sse_notify.concurrency.threadpool import twin
from sse_notify.log.announcing import announce_on_commit, locked_inbox
from sse_notify.log.sequence import database, get_head, writing
from sse_notify.models import Inbox, Notification, Receipt
from sse_notify.models.notification import fetch
from sse_notify.models.paging import Place
from sse_notify.models.querysets import NotificationQuerySet, User
from sse_notify.signals import marked
from sse_notify.sse.format import MAX_CURSOR, shown
from sse_notify.topics import has_key

#: Maximum length of ``client`` in characters.
CLIENT_LENGTH = 100
#: Number of ids in one statement, below the limits of every database.
CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """The state of an inbox that a page needs, apart from the items."""

    cursor: int
    """The head of the log, read before the rest, so that a stream from here misses nothing."""
    state_seq: int | None
    """The number of the newest change; ``None`` if there is no change or no number yet."""
    unread: int
    unseen: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """One kind of mark."""

    name: str
    """The name in the ``update`` event."""
    changes: Q
    """The rows that it changes. A repeat finds none, so it writes and sends nothing."""
    stamps: dict[str, str]
    """The receipt's columns that get the time, each with the inbox's watermark that ``up_to``
    raises. "": there is no watermark, so the mark works only by ``ids``.
    """
    clears: str = ""
    """The receipt's column with the opposite meaning, which the mark sets to NULL."""


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
    """Mark notifications of ``user`` as read and seen.

    Give either ``ids`` or ``up_to``. Notifications that are already read, or that are not the
    user's, do not change.

    Args:
        user: the inbox's owner.
        ids: the ids of the notifications.
        up_to: mark all notifications up to this ``seq``. Those that arrive meanwhile get higher
            numbers and stay unread.
        client: an id of the page that makes the request, at most 100 characters. The ``update``
            event contains it, so that the page recognizes its own change.

    Raises:
        TypeError, ValueError: an argument is invalid. The message names it. Nothing is written.
    """
    _mark(user, _READ, ids, up_to, client)


def mark_unread(user: User, ids: Iterable[int], client: str = "") -> None:
    """Mark notifications of ``user`` as unread, also those that were read by ``up_to``.

    They stay seen. Args and errors as for :func:`mark_read`.
    """
    _mark(user, _UNREAD, ids, None, client)


def mark_seen(
    user: User, ids: Iterable[int] | None = None, up_to: int | None = None, client: str = ""
) -> None:
    """Mark notifications of ``user`` as seen: the page has shown them. They stay unread.

    Args and errors as for :func:`mark_read`.
    """
    _mark(user, _SEEN, ids, up_to, client)


def archive(
    user: User, ids: Iterable[int] | None = None, up_to: int | None = None, client: str = ""
) -> None:
    """Archive notifications of ``user``: keep them, but do not list or count them.

    A repeat under a ``key`` puts the notification back in the inbox. Args and errors as for
    :func:`mark_read`.
    """
    _mark(user, _ARCHIVED, ids, up_to, client)


def unarchive(user: User, ids: Iterable[int], client: str = "") -> None:
    """Move notifications of ``user`` from the archive back to the inbox.

    They keep their place and stay read or unread. This includes notifications that were archived by
    ``up_to``. Args and errors as for :func:`mark_read`.
    """
    _mark(user, _UNARCHIVED, ids, None, client)


def visible(user: User) -> NotificationQuerySet[Notification]:
    """Return the notifications that ``user`` may see, without archived ones."""
    return Notification.objects.using(database()).visible_to(user)


def counts(user: User) -> tuple[int, int]:
    """Return the (unread, unseen) counts of ``user``, with two queries."""
    return Notification.objects.using(database()).counts(user)


def unread_count(user: User) -> int:
    """Return the number of unread notifications of ``user``; 0 for an anonymous visitor."""
    return counts(user)[0]


def unseen_count(user: User) -> int:
    """Return the number of unseen notifications of ``user``; 0 for an anonymous visitor."""
    return counts(user)[1]


def state(user: User) -> State:
    """Return the state of an inbox, with four queries. Call it before reading the items."""
    cursor = get_head()
    inboxes = Inbox.objects.using(database()).filter(pk=user.pk)
    state_seq = inboxes.values_list("state_seq", flat=True).first()
    unread, unseen = counts(user)
    return State(cursor=cursor, state_seq=state_seq, unread=unread, unseen=unseen)


def page(
    rows: NotificationQuerySet[Notification], limit: int, begin: Place | None = None
) -> tuple[list[Notification], Place | None]:
    """Return a page of :func:`visible` rows, newest first, and the place of the next page, if any.

    ``begin`` is the place that the previous page returned, or ``Place.top(cursor)`` with the cursor
    of a :func:`state`.
    """
    begin = begin or Place.top(get_head())
    found = fetch(rows.newest(limit + 1, begin))  # one more, to know whether there is a next page
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
    try:
        _write(user, mark, name, asked, client)
    except IntegrityError:
        # At the commit: a notification was pruned meanwhile. The second try does not find it.
        if ids is None or connections[database()].in_atomic_block:
            raise
        _write(user, mark, name, asked, client)


def _write(user: User, mark: _Mark, name: str, asked: list[int], client: str) -> None:
    with writing(reads=False) as using:
        inbox = locked_inbox(user.pk, using)  # oddity 2
        if name == "ids":
            which: Any = _mark_ids(user, mark, list(dict.fromkeys(asked)), using)
            is_changed = bool(which)
        else:
            which = min(asked[0], get_head())  # oddity 1
            is_changed = _mark_up_to(inbox, mark, which, using)
        if is_changed:
            inbox.note({"set": mark.name, name: which, "client": client})
            inbox.save(using=using)
            said = {"user_id": user.pk, "mark": mark.name, "ids": None, "up_to": None, name: which}
            announce_on_commit(marked, **said)


def _mark_ids(user: Any, mark: _Mark, ids: list[int], using: str) -> list[int]:
    """Write a receipt for each notification that the mark changes, and return their ids."""
    now = timezone.now()
    theirs: Any = Notification.objects.using(using).with_states(user, heed_mutes=False)
    receipts = []
    for start in range(0, len(ids), CHUNK):
        chunk = theirs.filter(mark.changes, pk__in=ids[start : start + CHUNK]).order_by("pk")
        for pk, *before in chunk.values_list("pk", *(f"receipt__{name}" for name in mark.stamps)):
            stamps = {name: at or now for name, at in zip(mark.stamps, before, strict=True)}
            receipts.append(Receipt(user_id=user.pk, notification_id=pk, **stamps))
    # MySQL uses any unique key and does not accept a conflict target.
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
    """Raise the watermarks, clear overrides below them, and return whether anything changed."""
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
    """Raise ``TypeError`` or ``ValueError`` if ``user`` is not a saved user."""
    model = get_user_model()
    if not isinstance(user, model):  # `__class__` sees through lazy objects such as request.user
        raise TypeError(f"user must be a {model.__name__}, not {user.__class__.__name__}.")
    if not has_key(user):
        raise ValueError("user must be saved.")


def check_number(
    name: str, value: Any, least: float = 0, most: float = MAX_CURSOR, *, is_whole: bool = False
) -> Any:
    """Return the argument ``name`` if it is a number from ``least`` to ``most``.

    Raises:
        TypeError, ValueError: it is not. The message begins with ``name``.
    """
    kind = "a whole number" if is_whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int if is_whole else (int, float)):
        raise TypeError(f"{name} must be {kind}, not {type(value).__name__}.")
    if not least <= value <= most:  # also refuses NaN
        raise ValueError(f"{name} must be {kind} from {least:g} to {most}, not {shown(value)}.")
    return value


amark_read = twin(mark_read)
amark_unread = twin(mark_unread)
amark_seen = twin(mark_seen)
aarchive = twin(archive)
aunarchive = twin(unarchive)
aunread_count = twin(unread_count)
aunseen_count = twin(unseen_count)
