"""Workers whose threads are greenlets: what cannot work there is refused, before it harms other requests."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from sse_notify import EventStreamResponse
from sse_notify.access.authorisers import may_listen
from sse_notify.concurrency import greenlets
from sse_notify.topics import Match


class Patcher(ModuleType):
    """``eventlet.patcher``, or ``gevent.monkey``, as far as it is asked."""

    def __init__(self, *patched: str) -> None:
        super().__init__("patcher")
        self.is_monkey_patched = self.is_module_patched = patched.__contains__


def test_a_worker_of_eventlet_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first message on, each query of the worker failed."""
    app = apps.get_app_config("sse_notify")
    monkeypatch.setitem(sys.modules, "eventlet.patcher", Patcher("thread"))
    with pytest.raises(ImproperlyConfigured, match=r"does not support eventlet\. Use threads or"):
        app.ready()
    # What `gunicorn --preload` loaded before.
    with pytest.raises(ImproperlyConfigured, match="eventlet"):
        greenlets.start_loop("sender")


def test_eventlet_may_be_there_if_it_has_replaced_no_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "eventlet.patcher", Patcher("os", "socket"))
    apps.get_app_config("sse_notify").ready()


async def allow(user: Any) -> bool:
    return True


@pytest.mark.parametrize("patched", [True, False])
def test_gevent_runs_no_async_function_of_a_topic(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, patched: bool
) -> None:
    """While it waited, each query of the worker's other requests failed."""
    monkeypatch.setitem(sys.modules, "gevent.monkey", Patcher(*["threading"] * patched))
    visitor: Any = type("Visitor", (), {"is_authenticated": True})()
    registered = Match("wall", allow)
    monkeypatch.setattr("sse_notify.access.authorisers.find", lambda name: registered)
    assert may_listen(visitor, registered) is not patched
    assert ("make it sync" in caplog.text) is patched


class Iterator:
    """An async iterator that is no generator, and waits for nothing."""

    def __aiter__(self) -> Iterator:
        return self

    async def __anext__(self) -> str:
        raise StopAsyncIteration


async def generator() -> AsyncIterator[str]:
    yield "one"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("patched", [True, False])
@pytest.mark.parametrize("source", [Iterator, generator])
def test_gevent_runs_no_async_iterator_of_a_view(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    source: Any,
    *,
    patched: bool,
) -> None:
    """While it waited, each query of the worker's other requests failed."""
    monkeypatch.setitem(sys.modules, "gevent.monkey", Patcher(*["threading"] * patched))
    response = EventStreamResponse(source(), end="end")
    try:
        sent = b"".join(response)
    finally:
        response.close()
    assert (b'"error":"failed"' in sent, b"data: end" in sent) == (patched, not patched)
    assert ("make it sync" in caplog.text) is patched
    response = EventStreamResponse(iter(["one"]))  # a sync one runs
    assert b"".join(response) == b"data: one\n\n"
    response.close()
