"""Reports for the admin's live page: the status of every process, and connected users.

An event loop with watchers sends them a report every few seconds. What it says about other
processes comes from their heartbeats. Without watchers, nothing is sent or queried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model

from sse_notify.bus import queries
from sse_notify.log.sequence import count_pending
from sse_notify.models import Notification
from sse_notify.monitoring import presence
from sse_notify.monitoring.presence import Presence
from sse_notify.monitoring.processes import HubStatus
from sse_notify.sse.format import dumps, encode
from sse_notify.streaming import registry
from sse_notify.streaming.hub import Hub
from sse_notify.telemetry import Incident
from sse_notify.topics import topic

#: The reports, and the reports without the users.
TOPIC = "sse_notify.live"
NUMBERS = "sse_notify.live.numbers"
#: Seconds between two reports, besides the time to make one.
INTERVAL = 1.0
#: Seconds that other processes have to report their connected users.
TIMEOUT = 1.0
#: Maximum number of users in a report.
USERS = 100

_SHOWN = ("process", "streams", "users", "anonymous", "rate", "cursor", "lag", "draining")
_SUMMED = ("repaired", "reset", "slow", "refused")


@topic(NUMBERS)
def may_watch(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether ``user`` may see the page: staff who may view notifications in the admin."""
    is_staff = user.is_active and getattr(user, "is_staff", False)
    return is_staff and may_view(user, Notification)


@topic(TOPIC)
def may_watch_users(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether ``user`` may see the page with the users: staff who may view users, too."""
    return may_watch(user) and may_view(user, get_user_model())


def may_view(user: Any, model: type[Model]) -> bool:
    """Return what ``ModelAdmin.has_view_permission()`` returns by default."""
    label, name = model._meta.app_label, model._meta.model_name
    return any(user.has_perm(f"{label}.{verb}_{name}") for verb in ("view", "change"))


def report(found: Presence, *, query: str = "", names: bool = True) -> dict[str, Any]:
    """Return a report that JSON can represent: ``hubs``, ``totals`` and ``users``.

    This queries the number of pending events, and the users' names.

    Args:
        found: the processes and users.
        query: only users whose name contains it.
        names: whether to list users.
    """
    rows = [_row(status) for status in found.hubs]
    rates = [row["rate"] for row in rows if row["rate"] is not None]
    users = named(found.users, query) if names else []
    return {
        "totals": {
            "processes": len(rows),
            "users": len(found.users),
            "rate": round(sum(rates), 1) if rates else None,
            "head": found.head,
            "pending": count_pending(),
            **{name: sum(row[name] for row in rows) for name in ("streams", "anonymous", *_SUMMED)},
        },
        "hubs": rows,
        "users": users[:USERS],
        "more": max(0, len(users) - USERS),
    }


def _row(status: HubStatus) -> dict[str, Any]:
    return {
        "key": status.id,
        "started": status.started.isoformat(timespec="seconds"),
        **{name: getattr(status, name) for name in _SHOWN},
        **{name: status.count(name) for name in _SUMMED},
    }


def named(users: Mapping[str, int], query: str = "") -> list[dict[str, Any]]:
    """Return ``key``, ``name`` and ``streams`` of the users, those with the most streams first.

    Names are queried for the first :data:`USERS` users; with a ``query``, for all.
    """
    model: Any = get_user_model()
    keys = sorted(users, key=lambda key: (-users[key], len(key), key))
    rows = model._default_manager.only(model.USERNAME_FIELD)
    if query:
        rows = rows.filter(**{f"{model.USERNAME_FIELD}__icontains": query})
    found = rows.in_bulk(keys if query else keys[:USERS])  # In chunks if the database requires it.
    names = {str(pk): user.get_username() for pk, user in found.items()}
    return [
        {"key": key, "name": names.get(key, key), "streams": users[key]}
        for key in keys
        if not query or key in names
    ]


# --- sending reports ------------------------------------------------------------------------------


@registry.jobs.append
async def _send_reports(hub: Hub) -> None:
    """Send reports to the watchers on this event loop."""
    incident = Incident("live_page")
    while True:
        try:
            if watched := [name for name in (TOPIC, NUMBERS) if hub.listeners(name)]:
                answers = await asyncio.wrap_future(queries.ask(TIMEOUT))
                for name, frame in (await hub.run(_frames, answers, watched)).items():
                    for stream in hub.listeners(name):
                        stream.push_ephemeral(frame)
                incident.worked()
        except Exception as error:  # The page marks its last report as old.
            incident.failed(error)
        await asyncio.sleep(INTERVAL)


def _frames(answers: list[dict[str, int]], topics: list[str]) -> dict[str, bytes]:
    found = presence.combine(answers)
    reports = {name: report(found, names=name == TOPIC) for name in topics}
    return {name: encode(dumps(each), event=name) for name, each in reports.items()}
