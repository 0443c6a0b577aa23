"""One row per process with open streams: written every 10 seconds, read by monitoring.

    a hub's job     updates this process's row a second after the first stream, then every 10
                    seconds; deletes it after the last stream
    read()          returns the rows of the last three intervals, and the current status of this
                    process

A process without streams has neither a task nor a row. The row of a killed process is ignored after
three intervals, and deleted when another process writes its first row.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now

from sse_notify import counters
from sse_notify.bus import signing
from sse_notify.log.sequence import database, get_head
from sse_notify.models import Heartbeat
from sse_notify.models.content import LARGEST, number
from sse_notify.models.notification import fetch
from sse_notify.streaming import registry
from sse_notify.streaming.hub import Hub
from sse_notify.streaming.limits import admission
from sse_notify.telemetry import Incident

#: Seconds between two reports.
INTERVAL = 10.0
#: Intervals without a report after which a process counts as dead.
MISSED = 3

_NUMBERS = ("pid", "streams", "users", "anonymous", "cursor", "head")
_HOST = socket.gethostname()
_STARTED = datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class HubStatus:
    """The status of one process with open streams, at one moment."""

    id: str
    """Identifies the process while it lives, independent of its host and pid."""
    host: str
    """The name of the machine or container."""
    pid: int
    """The process id on that machine."""
    started: datetime
    """When the process started."""
    at: datetime
    """When this status was taken, by the process's own clock."""
    streams: int
    """Open streams."""
    users: int
    """Signed-in users with open streams, each counted once."""
    anonymous: int
    """Streams of visitors who are not signed in."""
    cursor: int
    """Every event up to here was pushed to the streams."""
    head: int
    """The log's newest number, read just before the status was taken."""
    draining: bool
    """Whether the process is shutting down."""
    counters: dict[str, int | dict[str, int]]
    """The process's counters since it started; see :func:`sse_notify.counters.snapshot`."""
    rate: float | None = None
    """Events delivered per second between the last two heartbeats; ``None`` before the second."""

    @property
    def process(self) -> str:
        """The process, as ``host:pid``."""
        return f"{self.host}:{self.pid}"

    @property
    def lag(self) -> int:
        """How many numbers of the log the process has not pushed yet."""
        return max(0, self.head - self.cursor)

    def count(self, name: str) -> int:
        """Return the counter ``name``, summed over its labels."""
        counted = self.counters.get(name, 0)
        return counted if isinstance(counted, int) else sum(counted.values())


def here(head: int) -> HubStatus:
    """Return the current status of this process, without a query. Callable from any thread.

    Args:
        head: the log's newest number, read just before.
    """
    found = registry.with_streams()
    users = sum((hub.users() for hub in found), Counter[str]())
    streams = sum(len(hub.open_streams()) for hub in found)
    return HubStatus(
        id=signing.origin(),
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
    """Return the status of every process that has streams, with one query.

    Args:
        head: the log's newest number, read just before; for this process.
        everywhere: ``False``: only this process, without a query.

    Raises:
        django.db.Error: the database cannot be read.
    """
    since = Now() - timedelta(seconds=MISSED * INTERVAL)
    rows = _rows().filter(at__gte=since) if everywhere else ()
    found = {row.pk: _status_of(row) for row in fetch(rows)}
    own = found.pop(signing.origin(), None)
    now = here(head)
    if now.streams:
        found[now.id] = replace(now, rate=None if own is None else own.rate)
    return sorted(found.values(), key=lambda status: (status.host, status.pid, status.id))


def write(rate: float | None) -> None:
    """Write the row of this process, with one SELECT for the log's head and one UPDATE.

    Raises:
        django.db.Error: the database cannot be written.
    """
    status = replace(here(get_head()), rate=rate)
    values: dict[str, Any] = {"at": Now(), "figures": asdict(status)}
    if not _rows().filter(pk=status.id).update(**values):
        _rows().filter(at__lt=Now() - timedelta(seconds=MISSED * INTERVAL)).delete()
        _rows().create(pk=status.id, **values)


def _rows() -> QuerySet[Heartbeat]:
    return Heartbeat.objects.using(database())


def _status_of(row: Heartbeat) -> HubStatus:
    """Return what the row says. Another version may have written it: what is not valid is 0."""
    said = row.figures if isinstance(row.figures, dict) else {}
    counted = said.get("counters")
    numbers: Any = {name: _whole(said.get(name)) for name in _NUMBERS}
    return HubStatus(
        **numbers,
        id=row.pk,
        host=str(said.get("host", "?")),
        started=_moment(said.get("started"), row.at),
        at=_moment(said.get("at"), row.at),
        draining=said.get("draining") is True,
        counters=_counters(counted if isinstance(counted, dict) else {}),
        rate=number(said.get("rate"), LARGEST),
    )


def _counters(said: dict[str, Any]) -> dict[str, int | dict[str, int]]:
    """Return the counters that this version has, each as it has it: with labels or without."""
    found: dict[str, int | dict[str, int]] = {}
    for name, (_, has_label, _) in counters.COUNTED.items():
        value = said.get(name)
        labels = value if isinstance(value, dict) else {"": value}
        labelled = {label: whole for label in labels if (whole := _whole(labels[label]))}
        found[name] = labelled if has_label else sum(labelled.values())
    return found


def _whole(value: Any) -> int:
    return int(number(value, LARGEST) or 0)


def _moment(text: Any, default: datetime) -> datetime:
    with suppress(TypeError, ValueError):
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else default
    return default


# --- writing --------------------------------------------------------------------------------------


@registry.jobs.append
async def _beat(hub: Hub) -> None:
    """Write the row in intervals; when cancelled after the last stream, delete the row."""
    incident = Incident("heartbeat")
    rate, before, delivered = None, monotonic(), counters.get("delivered")
    try:
        while True:
            try:
                await hub.run(write, rate)
                incident.worked()
            except Exception as error:  # The next report tries again.
                incident.failed(error)
            await asyncio.sleep(INTERVAL)
            now, number = monotonic(), counters.get("delivered")
            rate = round((number - delivered) / (now - before), 1)
            before, delivered = now, number
    finally:
        if not registry.with_streams():
            try:
                await _remove(hub)
            except asyncio.CancelledError:  # The server is stopping its event loop.
                await _remove(hub)


async def _remove(hub: Hub) -> None:
    with suppress(Exception):  # A row that is not deleted expires.
        await hub.run(_rows().filter(pk=signing.origin()).delete)
