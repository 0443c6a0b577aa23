"""The models: notifications, each user's state, the head of the log, process heartbeats."""

from sse_notify.models.content import Level as Level
from sse_notify.models.notification import Notification as Notification
from sse_notify.models.notification import iso as iso
from sse_notify.models.state import Exclusion as Exclusion
from sse_notify.models.state import Heartbeat as Heartbeat
from sse_notify.models.state import Inbox as Inbox
from sse_notify.models.state import LogHead as LogHead
from sse_notify.models.state import Mute as Mute
from sse_notify.models.state import Receipt as Receipt
from sse_notify.topics import Audience as Audience
