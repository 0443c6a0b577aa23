"""Spans for whoever collects them, and nothing for whoever does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sse_notify import EVERYONE, broadcast, notify
from sse_notify.testing import open_stream

NEITHER = """
import importlib.abc, os, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("opentelemetry", "prometheus_client"):
            raise ModuleNotFoundError(f"No module named {name!r}")

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from sse_notify import notify
from sse_notify import telemetry
from sse_notify.views import health, inbox, stream
assert not {"opentelemetry", "prometheus_client"} & {name.split(".")[0] for name in sys.modules}, "nothing is imported beforehand"
sys.meta_path.insert(0, Absent())
with telemetry.span("notify", a=1) as span:
    span.set_attribute("sse_notify.b", 2)
try:
    notify(None, "")
except ValueError as error:
    print(error)
try:
    import sse_notify.metrics
except ImportError as error:
    print(error)
"""


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """What a project records: its provider is set once for the process, as in a real one."""
    found = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    processor = SimpleSpanProcessor(found)
    provider.add_span_processor(processor)
    yield found
    processor.shutdown()


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_the_way_of_a_notification_is_told_in_spans(
    alice: User, bob: User, exporter: InMemorySpanExporter
) -> None:
    await sync_to_async(lambda: notify([alice, bob], "One"))()
    await sync_to_async(broadcast)("Two", audience=EVERYONE)
    async with open_stream(alice, cursor=0) as stream:
        await stream.next("notification")
        await stream.next("notification")
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert list(spans) == [
        "sse_notify.sequence",
        "sse_notify.notify",
        "sse_notify.broadcast",
        "sse_notify.replay",
    ]
    told = {
        name.removeprefix("sse_notify."): dict(span.attributes or {})
        for name, span in spans.items()
    }
    assert told["notify"] == {"sse_notify.notifications": 2}
    assert told["broadcast"] == {"sse_notify.topic": "everyone"}
    assert told["sequence"] == {"sse_notify.events": 1}
    assert told["replay"] == {
        "sse_notify.after": 0,
        "sse_notify.up_to": 3,
        "sse_notify.events": 2,
    }
    numbered = spans["sse_notify.sequence"]
    assert numbered.parent == spans["sse_notify.broadcast"].context, (
        "it was numbered on the commit, inside the call"
    )
    assert numbered.status.is_unset


@pytest.mark.django_db
def test_a_call_that_fails_is_marked_and_raises(
    alice: User, exporter: InMemorySpanExporter
) -> None:
    with pytest.raises(ValueError, match="title"):
        notify(alice, "")
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.status.is_ok, [event.name for event in span.events]) == (
        "sse_notify.notify",
        False,
        ["exception"],
    )


def test_without_the_packages_nothing_is_recorded_and_metrics_say_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NEITHER], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    refused, missing = done.stdout.splitlines()
    assert refused.startswith("title")
    assert (
        missing == "sse_notify.metrics needs prometheus_client: pip install 'sse-notify[metrics]'"
    )
