"""The newest change of each inbox, and how the user's pages hear of it.

    note()      in the user's transaction: the change waits, without a number
    sequence()  after the commit, by the log: the inbox gets the next number
    tell()      live and in replay: ``update``, or ``reset`` to a page that missed more than the newest

An inbox keeps its newest change alone, its number, and the number of the change before. That is
enough to lose none: a page that heard the one before hears ``update``; a page that did not fetches
the inbox again. So does a page whose stretch of the log ends between the two, as it finds the
earlier change overwritten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import Q

from sse_notify.models import Inbox, Notification
from sse_notify.models.counts import Owner, count
from sse_notify.sse import control
from sse_notify.sse.format import encode_json
from sse_notify.topics import topics_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

#: Ids that one change can name; a change of more is told as ``reset``. A request marks as many at
#: most.
IDS_PER_CHANGE = 1000

#: What stands for more than one change can say.
_LOST = {"set": "lost"}


def note(inbox: Inbox, change: dict[str, Any]) -> None:
    """Make ``change`` the newest of ``inbox``, without saving it.

    One like it that still waits for its number is merged with it.

    Args:
        inbox: the user's, locked.
        change: ``{"set": ..., "ids": [...] or "up_to": n, "client": ...}``.
    """
    if len(change.get("ids", ())) > IDS_PER_CHANGE:
        change = _LOST
    newest, before = _newest(inbox)
    if inbox.state_seq is not None:
        before = inbox.state_seq
    elif newest is not None:
        change = _merge(newest, change)
    inbox.changes = [{**change, "after": before}]
    inbox.state_seq = None


def lose(inbox: Inbox) -> None:
    """Have the user's pages fetch the inbox again, without saving ``inbox``."""
    note(inbox, _LOST)


def pending(using: str) -> QuerySet[Inbox]:
    """Return the inboxes with a change that is committed and not numbered yet."""
    return Inbox.objects.using(using).filter(state_seq=None).exclude(changes=[])


def changed_after(after: int, using: str) -> QuerySet[Inbox]:
    """Return the inboxes whose newest change, or the one before it, may be numbered after ``after``."""
    since = Q(state_seq__gt=after) | Q(state_seq=None)
    return Inbox.objects.using(using).filter(since).exclude(changes=[])


def tell(inboxes: Iterable[Inbox], after: int, up_to: int) -> list[tuple[Any, int, bytes]]:
    """Return what is numbered after ``after`` and up to ``up_to``: user's key, number and frame.

    The counts in an ``update`` are absolute: of the inbox as it is now, and of what is numbered up
    to the change. What is numbered later comes after it in the stream, and the client counts it
    then.
    """
    told: list[tuple[Any, int, bytes]] = []
    whole: dict[Any, tuple[int, dict[str, Any]]] = {}
    for inbox in inboxes:
        number = inbox.state_seq
        change, before = _newest(inbox)
        if number is None or number > up_to:
            # The newest is for another time, and has overwritten the one before.
            number = before
        elif change and change != _LOST and before <= after:
            whole[inbox.pk] = number, change
            continue
        if after < number <= up_to:
            told.append((inbox.pk, number, control.reset("state", number)))
    for user_id, (unread, unseen) in _counts({pk: seq for pk, (seq, _) in whole.items()}).items():
        seq, change = whole[user_id]
        data = {**change, "state_seq": seq, "unread": unread, "unseen": unseen}
        told.append((user_id, seq, encode_json(data, event="update", id=seq)))
    return told


def _newest(inbox: Inbox) -> tuple[dict[str, Any] | None, int]:
    """Return the newest change, and the number of the one before.

    A process of an older version, beside this one or before it, kept more than the newest, and
    with each its own number.
    """
    if not inbox.changes:
        return None, 0
    newest = inbox.changes[-1]
    *earlier, number = (change.get("seq", inbox.state_seq) for change in inbox.changes)
    before = max(filter(None, earlier), default=newest.get("after", 0))
    if number in earlier:
        return _LOST, before
    said = {name: value for name, value in newest.items() if name not in ("after", "seq")}
    return said, before


def _merge(waiting: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return both changes as one, or what stands for more than one."""
    is_alike = all(waiting.get(name) == change.get(name) for name in ("set", "client"))
    if is_alike and "up_to" in waiting and "up_to" in change:
        return {**change, "up_to": max(waiting["up_to"], change["up_to"])}
    if is_alike and "ids" in waiting and "ids" in change:
        ids = list(dict.fromkeys([*waiting["ids"], *change["ids"]]))
        return {**change, "ids": ids} if len(ids) <= IDS_PER_CHANGE else _LOST
    return _LOST


def _counts(up_to: dict[Any, int]) -> dict[Any, tuple[int, int]]:
    """Return what is unread and unseen for each user's key, up to a number: in few queries."""
    users = get_user_model()._base_manager.all()
    if hasattr(get_user_model(), "groups"):  # a custom user model need not have groups
        users = users.prefetch_related("groups")
    owners = [
        Owner(pk, topics_of(user), getattr(user, "date_joined", None), up_to[pk])
        for pk, user in users.in_bulk(list(up_to)).items()  # without those who are deleted by now
    ]
    counted = count(owners, router.db_for_write(Notification))
    return {owner.user_id: counts for owner, counts in zip(owners, counted, strict=True)}
