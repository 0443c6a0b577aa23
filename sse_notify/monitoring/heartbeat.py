"""One row per process with open streams: written every 10 seconds, read by monitoring.

    a hub's job     a second after the first stream, and then every 10 seconds, it updates the row of
                    this process; after the last stream it deletes it
    read()          the rows that are not older than three intervals, and this process as it is now

Without streams there is neither a task nor a row. The row of a process that was killed is ignored
after three intervals, and deleted when another process writes its first one.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now

from sse_notify import counters
from sse_notify.bus import publisher
from sse_notify.log.sequence import database, get_head
from sse_notify.models import Heartbeat
from sse_notify.streaming import registry
from sse_notify.streaming.hub import Hub
from sse_notify.streaming.limits import admission
from sse_notify.telemetry import Incident

#: Seconds between two heartbeats.
INTERVAL = 10.0
#: Intervals without a heartbeat after which a process counts as dead.
MISSED = 3

_HOST = socket.gethostname()
_STARTED = datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class HubStatus:
    """One process with open streams, at one moment."""

    id: str
    """Names the process for as long as it lives, whatever its host and pid."""
    host: str
    """The machine's, or container's, name."""
    pid: int
    """The process id on that machine."""
    started: datetime
    """When the process started."""
    at: datetime
    """When these figures were taken, by the process's own clock."""
    streams: int
    """Open streams."""
    users: int
    """Signed-in users among them, each counted once."""
    anonymous: int
    """Streams of visitors who are not signed in."""
    cursor: int
    """Every event up to here was pushed to the streams."""
    head: int
    """How far the log was numbered just before the figures were taken."""
    draining: bool
    """Whether the process was asked to end."""
    counters: dict[str, int | dict[str, int]]
    """What happened in the process since it started; see :func:`sse_notify.counters.snapshot`."""
    rate: float | None = None
    """Events delivered per second, between the last two heartbeats; ``None`` before the second."""

    @property
    def process(self) -> str:
        """The process, as ``host:pid``."""
        return f"{self.host}:{self.pid}"

    @property
    def lag(self) -> int:
        """Numbers of the log that the process had not pushed yet."""
        return max(0, self.head - self.cursor)

    def count(self, name: str) -> int:
        """Return the counter ``name``, whatever its labels."""
        counted = self.counters.get(name, 0)
        return counted if isinstance(counted, int) else sum(counted.values())


def here(head: int) -> HubStatus:
    """Return the status of this process, now. Callable from any thread; it does not query.

    Args:
        head: how far the log was numbered just before.
    """
    found = registry.with_streams()
    users = sum((hub.users() for hub in found), Counter[str]())
    streams = sum(len(hub.open_streams()) for hub in found)
    return HubStatus(
        id=publisher.origin(),
        host=_HOST,
        pid=os.getpid(),
        started=_STARTED,
        at=datetime.now(UTC),
        streams=streams,
        users=len(users),
        anonymous=max(0, streams - users.total()),
        cursor=min((hub.cursor for hub in found), default=0),
        head=head,
        draining=admission.draining,
        counters=counters.snapshot(),
    )


def read(head: int, *, everywhere: bool = True) -> list[HubStatus]:
    """Return the status of every process that has streams: one query.

    Args:
        head: how far the log was numbered just before, for this process.
        everywhere: ``False``: only this process, without a query.

    Raises:
        django.db.Error: the database cannot be read.
    """
    since = Now() - timedelta(seconds=MISSED * INTERVAL)
    rows = _rows().filter(at__gte=since) if everywhere else ()
    found = {row.pk: _status_of(row.figures) for row in rows}
    own = found.pop(publisher.origin(), None)
    now = here(head)
    if now.streams:
        found[now.id] = replace(now, rate=None if own is None else own.rate)
    return sorted(found.values(), key=lambda status: (status.host, status.pid, status.id))


def write(rate: float | None) -> None:
    """Write the row of this process: one SELECT for the head of the log, one UPDATE.

    Raises:
        django.db.Error: the database refuses.
    """
    status = replace(here(get_head()), rate=rate)
    values: dict[str, Any] = {"at": Now(), "figures": asdict(status)}
    if not _rows().filter(pk=status.id).update(**values):
        _rows().filter(at__lt=Now() - timedelta(seconds=MISSED * INTERVAL)).delete()
        _rows().create(pk=status.id, **values)


def _rows() -> QuerySet[Heartbeat]:
    return Heartbeat.objects.using(database())


def _status_of(figures: dict[str, Any]) -> HubStatus:
    # A newer version of this package may have written more.
    known = {each.name: figures[each.name] for each in fields(HubStatus) if each.name in figures}
    moments = {name: datetime.fromisoformat(known[name]) for name in ("started", "at")}
    return HubStatus(**{**known, **moments})


# --- writing --------------------------------------------------------------------------------------


@registry.jobs.append
async def _beat(hub: Hub) -> None:
    """Write heartbeats; when cancelled, delete the row."""
    incident = Incident("heartbeat")
    rate, before, delivered = None, monotonic(), counters.get("delivered")
    try:
        while True:
            try:
                await hub.run(write, rate)
                incident.worked()
            except Exception as error:  # The next heartbeat tries again.
                incident.failed(error)
            await asyncio.sleep(INTERVAL)
            now, number = monotonic(), counters.get("delivered")
            rate = round((number - delivered) / (now - before), 1)
            before, delivered = now, number
    finally:
        if not registry.with_streams():
            try:
                await _remove(hub)
            except asyncio.CancelledError:  # The server ends its event loop in the same moment.
                await _remove(hub)


async def _remove(hub: Hub) -> None:
    with suppress(Exception):  # A row that stays expires.
        await hub.run(_rows().filter(pk=publisher.origin()).delete)
