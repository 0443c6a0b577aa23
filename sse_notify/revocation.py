"""End the streams of users: the public names of `sse_notify.access.receivers`."""

from sse_notify.access.receivers import arecheck as arecheck
from sse_notify.access.receivers import disconnect as disconnect
from sse_notify.access.receivers import recheck as recheck
