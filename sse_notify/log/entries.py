"""Turn rows of the log, and changes of inboxes, into the entries that streams send.

An inbox keeps its newest change alone, its number, and the number of the change before. That is
enough to lose none: a page that has the one before gets ``update``; a page that has not fetches the
inbox again. So does a page whose stretch of the log ends between the two, as it finds the earlier
change overwritten.

    note()      in the user's transaction: the change waits, without a number
    sequence    after the commit: the inbox gets the next number
    changed()   live and in replay: ``update``, or ``reset`` to a page that missed more than the newest
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import Q, QuerySet

from sse_notify.bus.messages import Entry
from sse_notify.models import Exclusion, Inbox, Notification
from sse_notify.models.counts import Owner, count
from sse_notify.sse import control
from sse_notify.sse.format import encode_json
from sse_notify.topics import topics_of, user_topic

#: Ids that one change can name; a change of more is told as ``reset``. A request marks as many at
#: most.
IDS_PER_CHANGE = 1000

#: What stands for more than one change can say.
_LOST = {"set": "lost"}


def entries_of(
    rows: list[Notification], using: str, muted: frozenset[str] = frozenset()
) -> list[Entry]:
    """Return the rows encoded; ``muted``: the categories that their reader has muted."""
    excluded: dict[int, set[str]] = {row.pk: set() for row in rows if not row.recipient_id}
    if excluded:
        pairs = Exclusion.objects.using(using).filter(notification_id__in=excluded)
        for pk, user_id in pairs.values_list("notification_id", "user_id"):
            excluded[pk].add(str(user_id))
    return [
        Entry(
            row.seq or 0,
            row.topic,
            _frame(row, muted),
            frozenset(excluded.get(row.pk, ())),
            "" if row.recalled_at else row.category,
        )
        for row in rows
    ]


def _frame(row: Notification, muted: frozenset[str]) -> bytes:
    """Return what clients get: what the row says, or if it was recalled, that it is gone."""
    if row.recalled_at is not None:
        return encode_json({"ids": [row.pk]}, event="remove", id=row.seq)
    return encode_json(row.payload(muted=row.category in muted), event=row.event, id=row.seq)


# --- changes of inboxes ---------------------------------------------------------------------------


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


def changed_after(after: int, using: str) -> QuerySet[Inbox]:
    """Return the inboxes whose newest change, or the one before it, may be numbered after ``after``."""
    since = Q(state_seq__gt=after) | Q(state_seq=None)
    return Inbox.objects.using(using).filter(since).exclude(changes=[])


def changed(inboxes: Iterable[Inbox], after: int, up_to: int) -> list[Entry]:
    """Return the changes that are numbered after ``after`` and up to ``up_to``, encoded.

    The counts in an ``update`` are absolute: of the inbox as it is now, and of what is numbered up
    to the change. What is numbered later comes after it in the stream, and the client counts it
    then.
    """
    entries: list[Entry] = []
    updates: dict[Any, tuple[int, dict[str, Any]]] = {}
    for inbox in inboxes:
        number = inbox.state_seq
        change, before = _newest(inbox)
        if number is None or number > up_to:
            # The newest is for another time, and has overwritten the one before.
            number = before
        elif change and change != _LOST and before <= after:
            updates[inbox.pk] = number, change
            continue
        if after < number <= up_to:
            entries.append(Entry(number, user_topic(inbox.pk), control.reset("state", number)))
    if updates:
        entries += _updates(updates)
    return entries


def _updates(changes: dict[Any, tuple[int, dict[str, Any]]]) -> Iterable[Entry]:
    """Yield ``update`` with the counts for each user's key, number and change: in few queries."""
    users = get_user_model()._base_manager.all()
    if hasattr(get_user_model(), "groups"):  # a custom user model need not have groups
        users = users.prefetch_related("groups")
    owners = [
        Owner(pk, topics_of(user), getattr(user, "date_joined", None), changes[pk][0])
        for pk, user in users.in_bulk(list(changes)).items()  # not those who are deleted by now
    ]
    counted = count(owners, router.db_for_write(Notification))
    for owner, (unread, unseen) in zip(owners, counted, strict=True):
        seq, change = changes[owner.user_id]
        data = {**change, "state_seq": seq, "unread": unread, "unseen": unseen}
        frame = encode_json(data, event="update", id=seq)
        yield Entry(seq, user_topic(owner.user_id), frame)


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
