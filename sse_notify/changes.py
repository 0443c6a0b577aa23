"""What a user did with an inbox, as the inbox keeps it and tells it to the user's pages.

    note()      in the user's transaction: the change waits, without a number
    number()    after the commit, by the log: all that wait get the inbox's new number
    tell()      live and in replay: what is numbered in the stretch of the log that a page hears now

What was told is kept for a while, as a page may not have heard it: two changes can be numbered before its hub looks, or while it does.
So the inbox's own number, that of its last change, does not say whether there is something to tell of an earlier stretch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sse_notify import frames
from sse_notify.models import Notification
from sse_notify.wire import encode_json

if TYPE_CHECKING:
    from sse_notify.models import Inbox

#: Ids in one change, and so in one ``update`` event; more become several.
IDS_PER_CHANGE = 500
#: Changes that an inbox keeps, told or not. A page that has missed more is told to start over.
CHANGES = 20
#: The ``set`` of what stands for changes that were too many to keep.
LOST = "lost"


def note(inbox: Inbox, changes: list[dict[str, Any]]) -> None:
    """Add to what ``inbox`` has to tell, without saving it.

    Args:
        inbox: the user's, locked.
        changes: each ``{"set": ..., "ids": [...] or "up_to": n, "client": ...}``.
    """
    noted = inbox.changes
    for change in changes:
        last = noted[-1] if noted else {}
        # One that was told has other keys: it has a number.
        alike = last.keys() == change.keys() and (last["set"], last["client"]) == (
            change["set"],
            change["client"],
        )
        if alike and "up_to" in change:
            last["up_to"] = max(last["up_to"], change["up_to"])
        elif alike and len(last["ids"]) + len(change["ids"]) <= IDS_PER_CHANGE:
            last["ids"] = list(dict.fromkeys([*last["ids"], *change["ids"]]))
        else:
            noted.append(change)
    inbox.changes = _shorten(noted)
    inbox.state_seq = None


def lose(inbox: Inbox) -> None:
    """Have the user's pages start over, without saving ``inbox``: what changed is more than can be told one by one."""
    inbox.changes = [{"set": LOST}]
    inbox.state_seq = None


def _shorten(noted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest changes, and in front of them, if there were more, one that stands for those: who misses it starts over."""
    kept: list[dict[str, Any]] = []
    ids = 0
    for change in reversed(noted):
        ids += len(change.get("ids", ()))
        if (
            len(kept) == CHANGES
            or ("seq" in change and ids > IDS_PER_CHANGE)
            or change["set"] == LOST
        ):
            number = {"seq": change["seq"]} if "seq" in change else {}
            return [{"set": LOST, **number}, *reversed(kept)]
        kept.append(change)
    return noted


def number(inbox: Inbox, seq: int) -> None:
    """Give ``inbox`` and all of its changes that have none the number ``seq``, without saving it."""
    inbox.state_seq = seq
    for change in inbox.changes:
        change.setdefault("seq", seq)


def tell(inbox: Inbox, after: int, up_to: int) -> tuple[int, bytes] | None:
    """Return the changes that are numbered after ``after`` and up to ``up_to``, each as ``update``, and the number of the last of them.

    A ``reset`` if there were more than are kept; ``None`` if there are none. What has a later number, or none yet, is for another time.

    The counts are absolute, of the inbox as it is now, and of what is numbered up to the last change: what is numbered later comes after
    it in the stream, and the client counts it then.
    """
    numbers = [change.get("seq", inbox.state_seq) for change in inbox.changes]
    numbered = [
        (seq, change)
        for seq, change in zip(numbers, inbox.changes, strict=True)
        if seq and after < seq <= up_to
    ]
    if not numbered:
        return None
    seq, last = numbered[-1]
    if any(change["set"] == LOST for _, change in numbered):
        return seq, frames.reset("state", seq)
    notifications = Notification.objects.using(inbox._state.db)  # not a replica
    unread, unseen = notifications.counts(inbox.user, up_to=seq)
    blocks = []
    for _, change in numbered:
        data = {**change, "state_seq": seq, "unread": unread, "unseen": unseen}
        data.pop("seq", None)
        # Several go out as one entry; only the last may move the client's cursor.
        blocks.append(encode_json(data, event="update", id=seq if change is last else None))
    return seq, b"".join(blocks)
