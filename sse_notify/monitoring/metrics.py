"""Prometheus metrics of every process, whichever answers. Needs ``pip install 'sse-notify[metrics]'``.

::

    from sse_notify.metrics import metrics

    urlpatterns = [path("metrics/", metrics), ...]  # open to your Prometheus alone
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from django import db
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from sse_notify import counters, log
from sse_notify.monitoring import heartbeat, presence

if TYPE_CHECKING:
    from sse_notify.monitoring.heartbeat import HubStatus

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "sse_notify.metrics needs prometheus_client: pip install 'sse-notify[metrics]'"
    ) from error

#: Seconds in which the other processes answer who is connected.
TIMEOUT = 1.0

_GAUGES: dict[str, tuple[str, Callable[[HubStatus], float]]] = {
    "streams": ("Open streams.", lambda one: one.streams),
    "anonymous_streams": ("Open streams of visitors.", lambda one: one.anonymous),
    "users": ("Signed-in users with a stream in the process.", lambda one: one.users),
    "draining": ("1 if the process was asked to end.", lambda one: one.draining),
    "process_start_time_seconds": (
        "When the process started.",
        lambda one: one.started.timestamp(),
    ),
}
#: Gauges that a process without streams does not have.
_STREAM_GAUGES: dict[str, tuple[str, Callable[[HubStatus], float]]] = {
    "cursor": ("The number up to which the process has pushed.", lambda one: one.cursor),
    "lag": ("Numbers of the log that it has not pushed yet.", lambda one: one.lag),
}

#: By the counter: the metric, and its label if it has one.
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
    """The metrics, for a registry of your own.

    Args:
        everywhere: ``True``: of every process. ``False``: of this process alone, for a site whose
            Prometheus scrapes each process by itself.
        timeout: seconds in which the other processes answer who is connected.
    """

    def __init__(self, *, everywhere: bool = True, timeout: float = TIMEOUT) -> None:
        self._everywhere = everywhere
        self._timeout = timeout

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. While the database is away, those of this process without the log's."""
        log_gauges: dict[str, tuple[str, int]] = {}
        try:
            head = log.head()
            found = presence.look(self._timeout, head=head, everywhere=self._everywhere)
            log_gauges["log_head"] = "The newest number of the log.", head
            text = "Events that are committed and not numbered yet."
            log_gauges["log_pending"] = text, log.pending()
        except db.Error:
            found = presence.look(self._timeout, head=0, everywhere=False)
        for name, (text, number) in log_gauges.items():
            yield GaugeMetricFamily(f"sse_notify_{name}", text, number)
        text = "Signed-in users with a stream in some process."
        yield GaugeMetricFamily("sse_notify_users_connected", text, len(found.users))
        processes = _by_label([heartbeat.here(found.head), *found.hubs])
        for name, (text, value) in _GAUGES.items():
            yield _gauge(name, text, processes, value)
        streaming = {process: one for process, one in processes.items() if one.streams}
        for name, (text, value) in _STREAM_GAUGES.items():
            if log_gauges or name != "lag":
                yield _gauge(name, text, streaming, value)
        for name, text in counters.COUNTED.items():
            yield _counter(*_COUNTERS[name], text, processes, name)


def _by_label(statuses: Iterable[HubStatus]) -> dict[str, HubStatus]:
    """Return each process by its label; this one even without streams, so that its counters stay.

    Two processes may have the same host and pid, as in containers or after a restart.
    """
    processes = {status.id: status for status in statuses}.values()
    shared = Counter(status.process for status in processes)
    return {
        f"{one.process}:{one.id[:8]}" if shared[one.process] > 1 else one.process: one
        for one in processes
    }


def _gauge(
    name: str, text: str, processes: dict[str, HubStatus], value: Callable[[HubStatus], float]
) -> Metric:
    family = GaugeMetricFamily(f"sse_notify_{name}", text, labels=["process"])
    for process, status in processes.items():
        family.add_metric([process], value(status))
    return family


def _counter(
    metric: str, label: str, text: str, processes: dict[str, HubStatus], name: str
) -> Metric:
    family = CounterMetricFamily(metric, text, labels=["process", label] if label else ["process"])
    for process, status in processes.items():
        value = status.counters.get(name, 0)
        for kind, number in value.items() if isinstance(value, dict) else [("", value)]:
            family.add_metric([process, kind] if label else [process], number)
    return family


# Outside ATOMIC_REQUESTS: nothing is written, and the database may be away.
@transaction.non_atomic_requests
@login_not_required  # Prometheus does not sign in. Who may ask is up to the proxy or a decorator.
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape with the metrics of every process, in the format that the request accepts."""
    registry = CollectorRegistry()
    registry.register(NotifyCollector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(
        encode(registry), content_type=content_type, headers={"Cache-Control": "no-store"}
    )
