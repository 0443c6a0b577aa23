"""What the tests of long work share."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
from sse_notify.log.announcing import announce
from sse_notify.models import Notification
from sse_notify.sse.format import parse


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is told to open pages, as (topic, data)."""
    heard: list[tuple[str, dict[str, Any]]] = []
    ring = publisher.ring

    def record(message: Any) -> None:
        if isinstance(message, Ephemeral):
            (event,) = parse(message.frame)
            assert (event.event, event.id) == ("progress", None)
            heard.append((message.topic, event.data))
        ring(message)

    monkeypatch.setattr(publisher, "ring", record)
    return heard


def row() -> Notification:
    """Return the only notification, numbered."""
    announce()
    return Notification.objects.get()


def said() -> dict[str, Any]:
    """Return what clients get of the only notification's progress."""
    found = row().payload()["progress"]
    assert isinstance(found, dict)
    return found


def age(seconds: float) -> None:
    """Have the worker been silent for so long."""
    found = Notification.objects.get()
    assert found.progress_state is not None
    found.progress_state["run"]["heard_at"] -= seconds
    found.save(update_fields=["progress_state"])


def everything() -> list[Any]:
    rows: Any = Notification.objects.order_by("pk")
    return list(rows.values())


def press_cancel(client: Client, pk: int | None) -> Any:
    return client.post(reverse("sse_notify:cancel"), {"ids": [pk]}, content_type="application/json")


def writes(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries.captured_queries if query["sql"].startswith("UPDATE")]


def reads(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries.captured_queries if query["sql"].startswith("SELECT")]
