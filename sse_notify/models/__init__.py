"""The tables: what was sent, what each user did with it, how far the log is, how processes are."""

from sse_notify.models.notification import Level, Notification, iso
from sse_notify.models.state import Exclusion, Heartbeat, Inbox, LogHead, Mute, Receipt
from sse_notify.topics import Audience

__all__ = [
    "Audience",
    "Exclusion",
    "Heartbeat",
    "Inbox",
    "Level",
    "LogHead",
    "Mute",
    "Notification",
    "Receipt",
    "iso",
]
