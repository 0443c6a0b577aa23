"""What Prometheus reads, in one process, by Prometheus' own parsers; several processes are in ``tests/servers/test_operations.py``."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, replace

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models.functions import Now
from django.test import RequestFactory
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from sse_notify import counters, metrics, notify
from sse_notify.models import Heartbeat
from sse_notify.monitoring import processes
from sse_notify.testing import open_stream

ME = f"{socket.gethostname()}:{os.getpid()}"


def scrape(accept: str = "") -> dict[tuple[str, str], float]:
    """Return the samples, by name and by the label beside the process."""
    response = metrics.metrics(RequestFactory().get("/metrics/", headers={"Accept": accept}))
    assert response["Cache-Control"] == "no-store"
    kind = "application/openmetrics-text" if accept else "text/plain"
    assert response["Content-Type"].startswith(kind)
    families = (parse_openmetrics if accept else parse)(response.content.decode())
    samples: dict[tuple[str, str], float] = {}
    for sample in (sample for family in families for sample in family.samples):
        labels = dict(sample.labels)
        assert labels.pop("process", ME) == ME
        samples[sample.name, ",".join(labels.values())] = sample.value
    return samples


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_scrape_has_every_gauge_and_every_counter(alice: User, bob: User) -> None:
    async with open_stream(alice) as stream, open_stream(alice), open_stream(bob):
        await sync_to_async(notify)(alice, "Hello")
        await stream.next("notification")
        counters.add("refused", "full")
        found = await sync_to_async(scrape)()
        again = await sync_to_async(scrape)("application/openmetrics-text; version=1.0.0")
    gauges = {
        "log_head": 1,
        "log_pending": 0,
        "users_connected": 2,
        "streams": 3,
        "anonymous_streams": 0,
        "users": 2,
        "cursor": 1,
    }
    assert {name: found[f"sse_notify_{name}", ""] for name in gauges} == gauges
    assert (found["sse_notify_lag", ""], found["sse_notify_draining", ""]) == (0, 0)
    assert (
        found["sse_notify_process_start_time_seconds", ""] == processes.here(0).started.timestamp()
    )
    for name, (metric, label, _) in counters.COUNTED.items():
        assert label or (f"sse_notify_{metric}_total", "") in found, name
    assert found["sse_notify_streams_opened_total", ""] == counters.get("opened")
    assert found["sse_notify_handshakes_refused_total", "full"] == counters.get("refused", "full")
    assert again == found


@pytest.mark.django_db
def test_a_process_without_streams_keeps_its_counters_and_one_without_a_database_its_gauges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = scrape()
    assert (found["sse_notify_streams", ""], found["sse_notify_streams_opened_total", ""]) == (
        0,
        counters.get("opened"),
    )
    assert ("sse_notify_cursor", "") not in found

    def away() -> int:
        raise OperationalError("away")

    monkeypatch.setattr(metrics, "get_head", away)
    assert set(found) - set(scrape()) == {
        ("sse_notify_log_head", ""),
        ("sse_notify_log_pending", ""),
    }


@pytest.mark.django_db
def test_the_collector_can_be_put_into_a_projects_own_registry() -> None:
    registry = CollectorRegistry()
    registry.register(metrics.NotifyCollector(everywhere=False))
    assert f'sse_notify_streams{{process="{ME}"}} 0.0' in generate_latest(registry).decode()


@pytest.mark.django_db
def test_two_processes_with_the_same_host_and_pid_are_two() -> None:
    for name in ("first-one", "second-one"):
        status = replace(processes.here(0), id=name, host="box", pid=1, streams=3)
        Heartbeat.objects.create(id=name, at=Now(), figures=asdict(status))
    text = metrics.metrics(RequestFactory().get("/metrics/")).content.decode()
    for process in ("box:1:first-on", "box:1:second-o"):
        assert f'sse_notify_streams{{process="{process}"}} 3.0' in text
