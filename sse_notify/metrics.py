"""Prometheus metrics of every process. Needs ``pip install 'sse-notify[metrics]'``.

::

    from sse_notify.metrics import metrics

    urlpatterns = [path("metrics/", metrics), ...]  # only your Prometheus should have access
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from django import db
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from sse_notify import counters
from sse_notify.concurrency.transactions import never_atomic
from sse_notify.log.sequence import count_pending, get_head
from sse_notify.monitoring import presence, processes
from sse_notify.monitoring.processes import HubStatus

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    text = "sse_notify.metrics needs prometheus_client: pip install 'sse-notify[metrics]'"
    raise ImportError(text) from error

#: Seconds that other processes have to report their connected users.
TIMEOUT = 1.0

_GAUGES = {
    "streams": ("streams", "Open streams."),
    "anonymous": ("anonymous_streams", "Open streams of visitors."),
    "users": ("users", "Signed-in users with a stream in the process."),
    "cursor": ("cursor", "The number up to which the process has pushed."),
    "lag": ("lag", "Numbers of the log that it has not pushed yet."),
    "draining": ("draining", "1 if the process was asked to end."),
    "started": ("process_start_time_seconds", "When the process started."),
}


class NotifyCollector(Collector):
    """Collect the metrics, for your own Prometheus registry.

    Args:
        everywhere: ``True``: metrics of every process. ``False``: only of this process, for a site
            whose Prometheus scrapes each process separately.
        timeout: seconds that other processes have to report their connected users.
    """

    def __init__(self, *, everywhere: bool = True, timeout: float = TIMEOUT) -> None:
        self._everywhere = everywhere
        self._timeout = timeout

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; while the database is down, only those of this process."""
        gauges = dict(_GAUGES)
        try:
            head, pending = get_head(), count_pending()
            found = presence.look(self._timeout, head=head, everywhere=self._everywhere)
        except db.Error:
            found = presence.look(self._timeout, head=0, everywhere=False)
            del gauges["lag"]
        else:
            yield GaugeMetricFamily("sse_notify_log_head", "The newest number of the log.", head)
            text = "Events that are committed and not numbered yet."
            yield GaugeMetricFamily("sse_notify_log_pending", text, pending)
        text = "Signed-in users with a stream in some process."
        yield GaugeMetricFamily("sse_notify_users_connected", text, len(found.users))
        labelled = _by_label([processes.here(found.head), *found.hubs])
        for attribute, (metric, text) in gauges.items():
            gauge = GaugeMetricFamily(f"sse_notify_{metric}", text, labels=["process"])
            for process, status in labelled.items():
                if status.streams or attribute not in ("cursor", "lag"):
                    value = getattr(status, attribute)
                    is_moment = isinstance(value, datetime)
                    gauge.add_metric([process], value.timestamp() if is_moment else value)
            yield gauge
        for name, (metric, label, text) in counters.COUNTED.items():
            labels = ["process", label] if label else ["process"]
            counter = CounterMetricFamily(f"sse_notify_{metric}", text, labels=labels)
            for process, status in labelled.items():
                counted = status.counters[name]
                for of, number in counted.items() if isinstance(counted, dict) else [("", counted)]:
                    counter.add_metric([process, of] if label else [process], number)
            yield counter


def _by_label(statuses: Iterable[HubStatus]) -> dict[str, HubStatus]:
    """Return the processes by label; this one even without streams, so that its counters stay.

    Two processes may have the same host and pid, as in containers or after a restart. Then a part
    of the id is added.
    """
    distinct = {status.id: status for status in statuses}.values()
    shared = Counter(status.process for status in distinct)
    return {
        f"{one.process}:{one.id[:8]}" if shared[one.process] > 1 else one.process: one
        for one in distinct
    }


@never_atomic  # it writes nothing, and the database may be down
@login_not_required  # Prometheus does not sign in. Restrict access in the proxy or a decorator.
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics of every process, in a format that the request accepts."""
    registry = CollectorRegistry()
    registry.register(NotifyCollector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
    return HttpResponse(encode(registry), headers=headers)
