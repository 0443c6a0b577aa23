"""The protocol lab: numbered messages, a replay from any id, and a cut that only its own client can ask for."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from demo_project.gallery.ring import Ring
from demo_project.lab import views

pytestmark = pytest.mark.django_db


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring[tuple[str, str]]:
    """The lab's messages, empty and this test's own."""
    ring: Ring[tuple[str, str]] = Ring(100, last=7)
    monkeypatch.setattr(views, "messages", ring)
    return ring


def test_a_visitor_without_an_account_sends_to_everybody(
    ring: Ring[tuple[str, str]], client: Client
) -> None:
    response = client.post(reverse("lab:send"), {"text": "One\r\nTwo", "event": "alarm"})
    assert (response.status_code, response.json()) == (201, {"id": 8})
    assert ring.after(0) == [(8, ("alarm", "Visitor: One\r\nTwo"))]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"text": "", "event": "alarm"}, "text"),
        ({"text": "x" * 501, "event": "alarm"}, "text"),
        ({"text": "x\0", "event": "alarm"}, "text"),
        ({"text": "x", "event": "bye\nid: 5"}, "event"),
        ({"text": "x", "event": views.CUT}, "event"),
    ],
)
def test_what_no_form_offers_is_refused(
    values: dict[str, str], wrong: str, ring: Ring[tuple[str, str]], client: Client
) -> None:
    response = client.post(reverse("lab:send"), values)
    assert (response.status_code, set(response.json()["errors"])) == (400, {wrong})
    assert ring.last == 7


def test_a_form_of_another_site_sends_nothing(ring: Ring[tuple[str, str]]) -> None:
    foreign = Client(enforce_csrf_checks=True)
    assert foreign.post(reverse("lab:send"), {"text": "x", "event": "alarm"}).status_code == 403
    assert ring.last == 7


@pytest.mark.asyncio
async def test_a_cut_ends_one_connection_and_is_told_to_all(ring: Ring[tuple[str, str]]) -> None:
    one: Any = views._events(7)
    two: Any = views._events(7)
    name = (await anext(one)).data["connection"]
    await anext(two)
    assert name in views.connections
    ring.append((views.CUT, name))
    ring.append(("message", "Meanwhile"))
    assert [event async for event in one] == []
    assert name not in views.connections
    assert (await anext(two)).data == "Meanwhile"
    await two.aclose()
    back: Any = views._events(7)
    assert [(await anext(back)).id for _ in range(2)] == [None, 9]
    await back.aclose()


def test_nobody_cuts_a_connection_that_they_cannot_name(
    ring: Ring[tuple[str, str]], client: Client
) -> None:
    assert client.post(reverse("lab:cut"), {"connection": "x" * 100_000}).status_code == 404
    assert client.post(reverse("lab:cut")).status_code == 404
    assert ring.last == 7


@pytest.mark.parametrize("header", ["", "x", "-1", "9" * 5000, "²"])
def test_an_id_that_is_none_begins_with_what_comes(
    header: str, ring: Ring[tuple[str, str]], client: Client
) -> None:
    response = client.get(reverse("lab:stream"), headers={"Last-Event-ID": header})
    assert (response.status_code, response["Content-Type"]) == (
        200,
        "text/event-stream; charset=utf-8",
    )
    response.close()
