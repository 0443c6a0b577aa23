# Every public name, each once: type checkers read this file, and `__init__.py` reads it to know where a name lives.

from sse_notify.events import Event as Event
from sse_notify.exceptions import Cancelled as Cancelled
from sse_notify.exceptions import ProgressFailed as ProgressFailed
from sse_notify.inbox import aarchive as aarchive
from sse_notify.inbox import amark_read as amark_read
from sse_notify.inbox import amark_seen as amark_seen
from sse_notify.inbox import amark_unread as amark_unread
from sse_notify.inbox import archive as archive
from sse_notify.inbox import aunarchive as aunarchive
from sse_notify.inbox import aunread_count as aunread_count
from sse_notify.inbox import aunseen_count as aunseen_count
from sse_notify.inbox import mark_read as mark_read
from sse_notify.inbox import mark_seen as mark_seen
from sse_notify.inbox import mark_unread as mark_unread
from sse_notify.inbox import unarchive as unarchive
from sse_notify.inbox import unread_count as unread_count
from sse_notify.inbox import unseen_count as unseen_count
from sse_notify.links import signed_stream_url as signed_stream_url
from sse_notify.preferences import amute as amute
from sse_notify.preferences import amuted_categories as amuted_categories
from sse_notify.preferences import aunmute as aunmute
from sse_notify.preferences import mute as mute
from sse_notify.preferences import muted_categories as muted_categories
from sse_notify.preferences import unmute as unmute
from sse_notify.progress.context import Progress as Progress
from sse_notify.responses import EventStreamResponse as EventStreamResponse
from sse_notify.revocation import arecheck as arecheck
from sse_notify.revocation import recheck as recheck
from sse_notify.topics import EVERYONE as EVERYONE
from sse_notify.topics import STAFF as STAFF
from sse_notify.topics import topic as topic
from sse_notify.verbs import abroadcast as abroadcast
from sse_notify.verbs import anotify as anotify
from sse_notify.verbs import apublish as apublish
from sse_notify.verbs import arecall as arecall
from sse_notify.verbs import broadcast as broadcast
from sse_notify.verbs import notify as notify
from sse_notify.verbs import publish as publish
from sse_notify.verbs import recall as recall

__version__: str
