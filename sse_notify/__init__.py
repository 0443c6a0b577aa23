"""Live notifications for Django that arrive at once and are never lost.

A tour, in the order in which an event travels:

``verbs``       ``notify()`` writes a row inside your transaction
``log``         numbers committed rows, densely and in commit order: the number is the event's id
``fanout``      rings every process: a batch of encoded frames as one layer message
``hub``         one per event loop: checks that nothing is missing, repairs from the log, dispatches
``stream``      one per client: replay, then live, without a hole or an overlap
``asgi``        runs the handshake through Django, then serves the stream without it

Names are imported when they are first used, so that ``from sse_notify import notify`` works in a module that is loaded
before Django's apps are ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sse_notify.audience import EVERYONE, STAFF
    from sse_notify.events import Event
    from sse_notify.exceptions import Cancelled, ProgressFailed
    from sse_notify.inbox import (
        aarchive,
        amark_read,
        amark_seen,
        amark_unread,
        archive,
        aunarchive,
        aunread_count,
        aunseen_count,
        mark_read,
        mark_seen,
        mark_unread,
        unarchive,
        unread_count,
        unseen_count,
    )
    from sse_notify.links import signed_stream_url
    from sse_notify.preferences import (
        amute,
        amuted_categories,
        aunmute,
        mute,
        muted_categories,
        unmute,
    )
    from sse_notify.progress.context import Progress
    from sse_notify.responses import EventStreamResponse
    from sse_notify.revocation import arecheck, recheck
    from sse_notify.topics import topic
    from sse_notify.verbs import (
        abroadcast,
        anotify,
        apublish,
        arecall,
        broadcast,
        notify,
        publish,
        recall,
    )

_HOMES = {
    "Cancelled": "exceptions",
    "EVERYONE": "audience",
    "Event": "events",
    "EventStreamResponse": "responses",
    "Progress": "progress.context",
    "ProgressFailed": "exceptions",
    "STAFF": "audience",
    "aarchive": "inbox",
    "abroadcast": "verbs",
    "amark_read": "inbox",
    "amark_seen": "inbox",
    "amark_unread": "inbox",
    "amute": "preferences",
    "amuted_categories": "preferences",
    "anotify": "verbs",
    "apublish": "verbs",
    "arecall": "verbs",
    "arecheck": "revocation",
    "archive": "inbox",
    "aunarchive": "inbox",
    "aunmute": "preferences",
    "aunread_count": "inbox",
    "aunseen_count": "inbox",
    "broadcast": "verbs",
    "mark_read": "inbox",
    "mark_seen": "inbox",
    "mark_unread": "inbox",
    "mute": "preferences",
    "muted_categories": "preferences",
    "notify": "verbs",
    "publish": "verbs",
    "recall": "verbs",
    "recheck": "revocation",
    "signed_stream_url": "links",
    "topic": "topics",
    "unarchive": "inbox",
    "unmute": "preferences",
    "unread_count": "inbox",
    "unseen_count": "inbox",
}

__all__ = [  # noqa: RUF022  (grouped as one reads them)
    "notify",
    "broadcast",
    "publish",
    "recall",
    "anotify",
    "abroadcast",
    "apublish",
    "arecall",
    "Progress",
    "ProgressFailed",
    "Cancelled",
    "Event",
    "EventStreamResponse",
    "topic",
    "signed_stream_url",
    "recheck",
    "arecheck",
    "EVERYONE",
    "STAFF",
    "mark_read",
    "mark_unread",
    "mark_seen",
    "archive",
    "unarchive",
    "unread_count",
    "unseen_count",
    "amark_read",
    "amark_unread",
    "amark_seen",
    "aarchive",
    "aunarchive",
    "aunread_count",
    "aunseen_count",
    "mute",
    "unmute",
    "muted_categories",
    "amute",
    "aunmute",
    "amuted_categories",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
