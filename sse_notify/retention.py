"""Delete old notifications. The public name of `sse_notify.log.retention`."""

from sse_notify.log.retention import count as count
from sse_notify.log.retention import prune as prune
