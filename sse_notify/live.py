"""What the admin's live page shows: every hub's numbers, sent to its watchers once a second over the package's own stream.

A hub that has watchers asks all hubs and tells its own. While nobody watches, nobody asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.contrib.auth import get_user_model

from sse_notify import hubs, log, presence, threads
from sse_notify.incidents import Incident
from sse_notify.signals import stream_opened
from sse_notify.topics import topic
from sse_notify.wire import dumps, encode

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    from sse_notify.hub import Hub
    from sse_notify.presence import HubStatus, Presence

TOPIC = "sse_notify.live"
#: Seconds between two reports, in which the hubs answer.
INTERVAL = 1.0
#: Users that a report names.
USERS = 100
#: Seconds after which what was delivered before tells nothing of how much is delivered now.
RATE_SECONDS = 60.0
#: Keys that one query looks up.
CHUNK = 1000

_SUMMED = ("repaired", "reset", "slow", "refused")


@topic(TOPIC)
def may_watch(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether ``user`` may see the page: staff who may view notifications in the admin."""
    found: Any = user
    if not (user.is_active and getattr(user, "is_staff", False)):
        return False
    return bool(
        found.has_perm("sse_notify.view_notification")
        or found.has_perm("sse_notify.change_notification")
    )


class Rates:
    """How many events each process delivers in a second, by what it had delivered when it was asked before."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[datetime, int]] = {}

    def take(self, hubs: list[HubStatus]) -> dict[str, float | None]:
        """Return events per second by process; ``None`` for one that was not asked within the last minute."""
        found: dict[str, float | None] = {}
        now: dict[str, tuple[datetime, int]] = {}
        for hub in hubs:
            if hub.process in now:  # another hub of the same process, with the same counters
                continue
            delivered = _number(hub.counters, "delivered")
            now[hub.process] = (hub.at, delivered)
            at, before = self._before.get(hub.process, (hub.at, delivered))
            seconds = (hub.at - at).total_seconds()
            found[hub.process] = (
                round(max(0, delivered - before) / seconds, 1)
                if 0 < seconds < RATE_SECONDS
                else None
            )
        self._before = now
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class LogState:
    """Where the log is."""

    head: int
    pending: int
    """How much is committed and not numbered yet."""


def log_state() -> LogState:
    """Read where the log is: three queries, by indexes."""
    return LogState(head=log.head(), pending=log.pending())


def report(found: Presence, rates: Rates, pending: int, *, query: str = "") -> dict[str, Any]:
    """Return what the page shows, as JSON can hold it: ``hubs``, ``totals`` and ``users``. It queries the users' names.

    Args:
        found: what the hubs answered.
        rates: those of the reports before.
        pending: how much of the log is not numbered yet.
        query: only users whose name holds it.
    """
    speed = rates.take(found.hubs)
    rows = [_row(hub, speed[hub.process]) for hub in found.hubs]
    once = list({hub.process: row for hub, row in zip(found.hubs, rows, strict=True)}.values())
    known = [row["rate"] for row in once if row["rate"] is not None]
    totals = {
        "processes": len(once),
        "streams": sum(row["streams"] for row in rows),
        "users": len(found.users),
        "anonymous": sum(row["anonymous"] for row in rows),
        "rate": round(sum(known), 1) if known else None,
        "head": found.head,
        "pending": pending,
        **{name: sum(row[name] for row in once) for name in _SUMMED},
    }
    users = named(found.users, query)
    return {
        "totals": totals,
        "hubs": rows,
        "users": users[:USERS],
        "more": max(0, len(users) - USERS),
    }


def _row(hub: HubStatus, rate: float | None) -> dict[str, Any]:
    return {
        "key": hub.id,
        "process": hub.process,
        "started": hub.started.isoformat(timespec="seconds"),
        "streams": hub.streams,
        "users": hub.users,
        "anonymous": hub.anonymous,
        "rate": rate,
        "cursor": hub.cursor,
        "lag": hub.lag,
        "draining": hub.draining,
        **{name: _number(hub.counters, name) for name in _SUMMED},
    }


def _number(counters: Mapping[str, int | dict[str, int]], name: str) -> int:
    value = counters.get(name, 0)
    return value if isinstance(value, int) else sum(value.values())


def named(users: Mapping[str, int], query: str = "") -> list[dict[str, Any]]:
    """Return ``key``, ``name`` and ``streams`` of the users, those with the most streams first.

    Names are looked up for the first :data:`USERS`; with a ``query`` for all, a query for each thousand.
    """
    model: Any = get_user_model()
    keys = sorted(users, key=lambda key: (-users[key], len(key), key))
    names: dict[str, str] = {}
    for start in range(0, len(keys) if query else min(len(keys), USERS), CHUNK):
        rows = model._default_manager.filter(
            pk__in=keys[start : start + (CHUNK if query else USERS)]
        )
        if query:
            rows = rows.filter(**{f"{model.USERNAME_FIELD}__icontains": query})
        names.update(
            {str(pk): str(name) for pk, name in rows.values_list("pk", model.USERNAME_FIELD)}
        )
    return [
        {"key": key, "name": names.get(key, key), "streams": users[key]}
        for key in keys
        if not query or key in names
    ]


# --- telling the watchers --------------------------------------------------------------------------------------------------------

_reporters: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()


def connect() -> None:
    """Begin to report when somebody begins to watch. Called once the apps are ready."""
    stream_opened.connect(_on_opened, dispatch_uid="sse_notify.live")


def _on_opened(*, topics: tuple[str, ...], **kwargs: Any) -> None:
    loop = asyncio.get_running_loop()
    if TOPIC in topics and (loop not in _reporters or _reporters[loop].done()):
        _reporters[loop] = loop.create_task(_report())


async def _report() -> None:
    """Tell the watchers on this loop how every hub is, for as long as there are any."""
    rates = Rates()
    incident = Incident("live_page")
    while (hub := hubs.running()) is not None and _watchers(hub):
        until = monotonic() + INTERVAL
        try:
            state = await threads.hub(log_state)
            found = await presence.alook(INTERVAL, head=state.head)
            frame = encode(
                dumps(await threads.hub(report, found, rates, state.pending)), event=TOPIC
            )
            for stream in _watchers(hub):
                stream.push_ephemeral(frame)
            incident.worked()
        except (
            Exception
        ) as error:  # the database is away: the page shows what it has, and when it is from
            incident.failed(error)
        await asyncio.sleep(max(0.0, until - monotonic()))


def _watchers(hub: Hub) -> list[Any]:
    return [stream for stream in hub.streams if TOPIC in stream.topics]
