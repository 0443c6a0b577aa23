"""Prometheus metrics: the numbers of every process, whichever of them is asked. Needs ``pip install 'sse-notify[metrics]'``.

::

    from sse_notify.metrics import metrics

    urlpatterns = [path("metrics/", metrics), ...]  # open to your Prometheus alone

Nothing is kept in files or shared memory: each scrape is a roll call, so that it does not matter how many processes there are, nor
which of them answers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from django import db
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from sse_notify import counters, live, presence, rollcall
from sse_notify.admission import admission

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "sse_notify.metrics needs prometheus_client: pip install 'sse-notify[metrics]'"
    ) from error

if TYPE_CHECKING:
    from django.http import HttpRequest

    from sse_notify.presence import HubStatus

#: Seconds in which the other processes answer a scrape.
TIMEOUT = 1.0

#: The names of the counters, and of the label of those that have one.
_COUNTERS = {
    "opened": ("sse_notify_streams_opened", ""),
    "closed": ("sse_notify_streams_closed", "reason"),
    "delivered": ("sse_notify_events_delivered", ""),
    "replayed": ("sse_notify_events_replayed", ""),
    "repaired": ("sse_notify_gaps_repaired", ""),
    "reset": ("sse_notify_resets", "reason"),
    "slow": ("sse_notify_slow_clients", ""),
    "lost": ("sse_notify_ephemeral_events_lost", ""),
    "refused": ("sse_notify_handshakes_refused", "code"),
}


class NotifyCollector(Collector):
    """What Prometheus asks, for a registry of your own.

    Args:
        everywhere: whether to ask every process; otherwise the numbers are those of this process, for a site whose Prometheus scrapes
            each process by itself.
        timeout: seconds in which the other processes answer.
    """

    def __init__(self, *, everywhere: bool = True, timeout: float = TIMEOUT) -> None:
        self._everywhere = everywhere
        self._timeout = timeout

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is needs not be asked to be registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Ask, and yield what was answered. Without the database what is about the log is left out."""
        try:
            state = live.log_state()
        except db.Error:
            state = None
        found = presence.look(
            self._timeout, head=state.head if state is not None else 0, everywhere=self._everywhere
        )
        processes = _by_process(found.hubs)
        if state is not None:
            yield GaugeMetricFamily(
                "sse_notify_log_head", "The newest number of the log.", state.head
            )
            yield GaugeMetricFamily(
                "sse_notify_log_pending",
                "Events that are committed and not numbered yet.",
                state.pending,
            )
        yield GaugeMetricFamily(
            "sse_notify_users_connected",
            "Signed-in users with a stream in some process.",
            len(found.users),
        )
        gauges = {
            "streams": ("Open streams.", lambda one: sum(hub.streams for hub in one.hubs)),
            "anonymous_streams": (
                "Open streams of visitors.",
                lambda one: sum(hub.anonymous for hub in one.hubs),
            ),
            "users": (
                "Signed-in users with a stream in the process.",
                lambda one: sum(hub.users for hub in one.hubs),
            ),
            "cursor": (
                "The number up to which the process has pushed.",
                lambda one: min((h.cursor for h in one.hubs), default=None),
            ),
            "lag": (
                "Numbers of the log that it has not pushed yet.",
                lambda one: max((hub.lag for hub in one.hubs), default=None),
            ),
            "draining": ("1 if the process was asked to end.", lambda one: one.draining),
            "process_start_time_seconds": ("When the process started.", lambda one: one.started),
        }
        for name, (text, value) in gauges.items():
            if name != "lag" or state is not None:
                yield _gauge(f"sse_notify_{name}", text, processes, value)
        for name, text in counters.COUNTED.items():
            yield _counter(
                *_COUNTERS[name],
                text,
                {key: one.counters.get(name, 0) for key, one in processes.items()},
            )


class _Process(NamedTuple):
    """The hubs of one process, mostly one, and what they have in common."""

    hubs: list[HubStatus]
    started: float
    draining: bool
    counters: dict[str, int | dict[str, int]]


def _by_process(hubs: Iterable[HubStatus]) -> dict[str, _Process]:
    """Return what each process said. This one is there even if it has no stream, so that its counters do not come and go."""
    here = f"{rollcall.HOST}:{os.getpid()}"
    processes = {here: _Process([], rollcall.STARTED, admission.draining, counters.snapshot())}
    for hub in hubs:
        if hub.process not in processes:
            processes[hub.process] = _Process(
                [], hub.started.timestamp(), hub.draining, hub.counters
            )
        processes[hub.process].hubs.append(hub)
    return processes


def _gauge(
    name: str, text: str, processes: dict[str, _Process], value: Callable[[_Process], float | None]
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["process"])
    for process, one in processes.items():
        number = value(one)
        if number is not None:
            family.add_metric([process], number)
    return family


def _counter(name: str, label: str, text: str, values: dict[str, int | dict[str, int]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["process", label] if label else ["process"])
    for process, value in values.items():
        for kind, number in value.items() if isinstance(value, dict) else [("", value)]:
            family.add_metric([process, kind] if label else [process], number)
    return family


# Outside ATOMIC_REQUESTS: nothing is written, and the log may be away.
@transaction.non_atomic_requests
@login_not_required  # Prometheus does not sign in; who may ask is for the proxy, or for a decorator around this
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape with the numbers of every process, in the format that the request accepts."""
    registry = CollectorRegistry()
    registry.register(NotifyCollector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(
        encode(registry), content_type=content_type, headers={"Cache-Control": "no-store"}
    )
