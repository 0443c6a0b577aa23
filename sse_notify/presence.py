"""Connected users: the public names of :mod:`sse_notify.monitoring.presence`."""

from sse_notify.monitoring.presence import *  # noqa: F403
