"""A user's inbox: the verbs that mark what is in it, their async twins, and what it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model

from sse_notify.concurrency.twins import twin
from sse_notify.inbox import receipts
from sse_notify.log.sequence import database, get_head
from sse_notify.models import Inbox, Notification
from sse_notify.models.paging import Place
from sse_notify.sse.format import MAX_CURSOR

if TYPE_CHECKING:
    from sse_notify.inbox.receipts import Mark
    from sse_notify.models.querysets import NotificationQuerySet, User

#: The newest notifications in which categories are looked for.
CATEGORIES_OF = 200

#: The longest ``client``, in characters.
CLIENT_LENGTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a page needs to know of an inbox, apart from the items."""

    cursor: int
    """The head of the log, read before the rest: a stream that starts there brings what follows."""
    state_seq: int | None
    """The number of the inbox's newest change; ``None`` if there is none or it has none yet."""
    unread: int
    """How many notifications are unread."""
    unseen: int
    """How many notifications the user has not seen yet."""


def mark_read(
    user: User, ids: Iterable[int] | None = None, up_to: int | None = None, client: str = ""
) -> None:
    """Mark notifications of ``user`` as read, and so as seen.

    Give either ``ids`` or ``up_to``. What is not the user's, or is read already, is left alone: a
    repeat does nothing.

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
    _mark(user, receipts.READ, ids, up_to, client)


def mark_unread(user: User, ids: Iterable[int], client: str = "") -> None:
    """Mark notifications of ``user`` as unread. They stay seen.

    Those that a mark by ``up_to`` has covered can be marked, too.

    Args and errors as for :func:`mark_read`.
    """
    _mark(user, receipts.UNREAD, ids, None, client)


def mark_seen(
    user: User, ids: Iterable[int] | None = None, up_to: int | None = None, client: str = ""
) -> None:
    """Mark notifications of ``user`` as seen: they were before the user's eyes, but stay unread.

    Args and errors as for :func:`mark_read`.
    """
    _mark(user, receipts.SEEN, ids, up_to, client)


def archive(
    user: User, ids: Iterable[int] | None = None, up_to: int | None = None, client: str = ""
) -> None:
    """Put notifications of ``user`` away: neither listed nor counted from then on, but kept.

    One that is sent again under its ``key`` comes back. Args and errors as for :func:`mark_read`.
    """
    _mark(user, receipts.ARCHIVED, ids, up_to, client)


def unarchive(user: User, ids: Iterable[int], client: str = "") -> None:
    """Take notifications of ``user`` back from the archive.

    Those that an :func:`archive` by ``up_to`` has covered come back, too.

    They come back at their place, read or unread as they were. Args and errors as for
    :func:`mark_read`.
    """
    _mark(user, receipts.UNARCHIVED, ids, None, client)


def visible(user: User) -> NotificationQuerySet:
    """Return what ``user`` may see, without what is archived."""
    return Notification.objects.using(database()).visible_to(user)


def categories(rows: NotificationQuerySet) -> set[str]:
    """Return the categories of the newest 200 of ``rows``: bounded, however long the inbox."""
    return {*rows.newest(CATEGORIES_OF).values_list("category", flat=True)} - {""}


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
    """Return the state of the inbox of ``user``, in four queries.

    Ask for it before the items, so that nothing falls between.
    """
    cursor = get_head()
    state_seq = (
        Inbox.objects.using(database())
        .filter(pk=user.pk)
        .values_list("state_seq", flat=True)
        .first()
    )
    unread, unseen = counts(user)
    return State(cursor=cursor, state_seq=state_seq, unread=unread, unseen=unseen)


def page(
    rows: NotificationQuerySet, limit: int, begin: Place | None = None
) -> tuple[list[Notification], Place | None]:
    """Return a page of an inbox, newest first, and where the next begins, ``None`` at the end.

    Args:
        rows: what :func:`visible` gave, filtered or not.
        limit: items of a page; with 0 there is no next one.
        begin: what the page before gave, or ``Place.top(cursor)`` of a :func:`state` that was
            asked for before; the top by default.
    """
    begin = begin or Place.top(get_head())
    found = list(rows.newest(limit + 1, begin))  # one more, to know whether there is a next page
    has_next = 0 < limit < len(found)
    return found[:limit], begin.after(found[limit - 1]) if has_next else None


def _mark(
    user: User, mark: Mark, ids: Iterable[int] | None, up_to: int | None, client: str
) -> None:
    check_user(user)
    _check_client(client)
    if (ids is None) == (up_to is None):
        raise ValueError("Give either ids or up_to, not both.")
    chosen = None if ids is None else _check_ids(ids)
    limit = 0 if up_to is None else _check_number("up_to", up_to)
    receipts.write(user, mark, chosen, limit, client)


def check_user(user: Any) -> None:
    """Check that ``user`` has an inbox.

    Raises:
        TypeError, ValueError: it is not a user, or not saved.
    """
    model = get_user_model()
    if not isinstance(user, model):
        # The class that a lazy object stands for, as `request.user` is one.
        raise TypeError(f"user must be a {model.__name__}, not {user.__class__.__name__}.")
    if user.pk is None:
        raise ValueError("user must be saved.")


def _check_client(client: Any) -> None:
    if not isinstance(client, str):
        raise TypeError(f"client must be a string, not {type(client).__name__}.")
    if len(client) > CLIENT_LENGTH or not (client.isascii() and client.isprintable()):
        raise ValueError(f"client must be at most {CLIENT_LENGTH} printable ASCII characters.")


def _check_ids(ids: Any) -> list[int]:
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise TypeError(f"ids must be a list of whole numbers, not {type(ids).__name__}.")
    return list(dict.fromkeys(_check_number("ids", id) for id in ids))


def _check_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}.")
    if not 0 <= value <= MAX_CURSOR:
        raise ValueError(f"{name} must be a number from 0 to {MAX_CURSOR}, not {value}.")
    return value


amark_read = twin(mark_read)
amark_unread = twin(mark_unread)
amark_seen = twin(mark_seen)
aarchive = twin(archive)
aunarchive = twin(unarchive)
acounts = twin(counts)
aunread_count = twin(unread_count)
aunseen_count = twin(unseen_count)
