# Lists every public name once. Type checkers read this file, and `__init__.py` reads from it which
# module defines a name.

from sse_notify.access.links import signed_stream_url as signed_stream_url
from sse_notify.access.receivers import arecheck as arecheck
from sse_notify.access.receivers import recheck as recheck
from sse_notify.exceptions import Cancelled as Cancelled
from sse_notify.exceptions import ProgressFailed as ProgressFailed
from sse_notify.inbox.marks import aarchive as aarchive
from sse_notify.inbox.marks import amark_read as amark_read
from sse_notify.inbox.marks import amark_seen as amark_seen
from sse_notify.inbox.marks import amark_unread as amark_unread
from sse_notify.inbox.marks import archive as archive
from sse_notify.inbox.marks import aunarchive as aunarchive
from sse_notify.inbox.marks import aunread_count as aunread_count
from sse_notify.inbox.marks import aunseen_count as aunseen_count
from sse_notify.inbox.marks import mark_read as mark_read
from sse_notify.inbox.marks import mark_seen as mark_seen
from sse_notify.inbox.marks import mark_unread as mark_unread
from sse_notify.inbox.marks import unarchive as unarchive
from sse_notify.inbox.marks import unread_count as unread_count
from sse_notify.inbox.marks import unseen_count as unseen_count
from sse_notify.inbox.preferences import amute as amute
from sse_notify.inbox.preferences import amuted_categories as amuted_categories
from sse_notify.inbox.preferences import aunmute as aunmute
from sse_notify.inbox.preferences import mute as mute
from sse_notify.inbox.preferences import muted_categories as muted_categories
from sse_notify.inbox.preferences import unmute as unmute
from sse_notify.log.announcing import aflush as aflush
from sse_notify.log.announcing import flush as flush
from sse_notify.notifications.send import abroadcast as abroadcast
from sse_notify.notifications.send import anotify as anotify
from sse_notify.notifications.send import apublish as apublish
from sse_notify.notifications.send import arecall as arecall
from sse_notify.notifications.send import broadcast as broadcast
from sse_notify.notifications.send import notify as notify
from sse_notify.notifications.send import publish as publish
from sse_notify.notifications.send import recall as recall
from sse_notify.progress.context import Progress as Progress
from sse_notify.sse.format import Event as Event
from sse_notify.topics import EVERYONE as EVERYONE
from sse_notify.topics import STAFF as STAFF
from sse_notify.topics import topic as topic
from sse_notify.views.responses import EventStreamResponse as EventStreamResponse

__version__: str
