"""The status of the whole system: the log, what is pending, the layer, every process."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django import db
from django.db.models import Count, Min
from django.db.models.functions import Coalesce
from django.utils import timezone

from sse_notify import fanout, log
from sse_notify.bus import requests
from sse_notify.models import Notification
from sse_notify.monitoring import presence

if TYPE_CHECKING:
    from sse_notify.monitoring.heartbeat import HubStatus

#: Seconds after which a committed row without a number is a problem: hubs number it when they poll.
PENDING_SECONDS = 60.0


@dataclass(kw_only=True, slots=True)
class Status:
    """What was found."""

    head: int = 0
    """The newest number of the log."""
    floor: int = 0
    """Everything up to here may have been pruned."""
    rows: int = 0
    """Notifications in the table."""
    oldest: datetime | None = None
    """When the oldest of them was sent."""
    pending: int = 0
    """Notifications and changes of inboxes that are committed and not numbered yet."""
    layer: str = ""
    """The class of the layer that connects processes; "" if none does."""
    hubs: list[HubStatus] = field(default_factory=list)
    """Every process that has streams."""
    users: int = 0
    """Signed-in users who are connected; without a layer, counted once for each process."""
    problems: list[str] = field(default_factory=list)
    """What is out of order, in words."""

    @property
    def streams(self) -> int:
        """Open streams, of all processes."""
        return sum(hub.streams for hub in self.hubs)


def read(timeout: float = 1.0) -> Status:
    """Read the status. What cannot be read is among the problems, and nothing is raised.

    Not to be called on an event loop.

    Args:
        timeout: seconds that the layer, and the other processes, have to answer.
    """
    found = Status()
    layer = fanout.remote_layer()
    if layer is not None:
        found.layer = f"{type(layer).__module__}.{type(layer).__qualname__}"
        if not requests.ping(timeout).result():
            found.problems.append(f"The channel layer does not answer within {timeout:g} seconds.")
    try:
        _read_log(found)
        connected = presence.look(timeout, head=found.head)
    except db.Error as error:
        found.problems.append(f"The database does not answer: {' '.join(str(error).split())}")
        return found
    found.hubs = connected.hubs
    found.users = len(connected.users) if layer else sum(hub.users for hub in connected.hubs)
    return found


def _read_log(found: Status) -> None:
    position = log.position()
    found.head, found.floor = position.head, position.floor
    rows = Notification.objects.using(log.database())
    figures = rows.aggregate(rows=Count("pk"), oldest=Min("created_at"))
    found.rows, found.oldest = figures["rows"], figures["oldest"]
    found.pending = log.pending()
    since = timezone.now() - timedelta(seconds=PENDING_SECONDS)
    # The event of imported history is "", and it is never numbered.
    waiting = rows.filter(seq=None).exclude(event="")
    waiting = waiting.annotate(since=Coalesce("recalled_at", "created_at"))
    if late := waiting.filter(since__lt=since).count():
        found.problems.append(
            f"{late} notifications are committed for more than {PENDING_SECONDS:.0f} seconds "
            "and not numbered: no process with open streams polls, or a transaction holds the head "
            "of the log."
        )
