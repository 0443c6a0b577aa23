"""Who is connected: the public names of :mod:`sse_notify.monitoring.presence`."""

from sse_notify.monitoring.heartbeat import HubStatus
from sse_notify.monitoring.presence import (
    Presence,
    aconnected_users,
    ahubs,
    alook,
    connected_users,
    hubs,
    listeners,
    look,
)

__all__ = [
    "HubStatus",
    "Presence",
    "aconnected_users",
    "ahubs",
    "alook",
    "connected_users",
    "hubs",
    "listeners",
    "look",
]
