"""Orders: who may watch and move which, and what the pages are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from demo_project.orders.models import Order, State
from sse_notify.models import Notification
from tests.support.readers import is_allowed


@pytest.fixture
def lamp(alice: User) -> Order:
    """An order of Alice that has just been placed."""
    return Order.objects.create(owner=alice, item="A lamp")


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What was published, as topic and data."""
    found: list[tuple[str, Any]] = []
    monkeypatch.setattr(
        "demo_project.orders.receivers.publish",
        lambda topic, data, event: found.append((topic, json.loads(json.dumps(data)))),
    )
    return found


@pytest.mark.parametrize(("name", "allowed"), [("alice", True), ("carol", True), ("bob", False)])
def test_the_owner_and_staff_may_watch_an_order_and_nobody_else(
    name: str, allowed: bool, lamp: Order, people: dict[str, User]
) -> None:
    assert is_allowed(people[name], f"order.{lamp.pk}") is allowed
    assert not is_allowed(people[name], "order.999999")


def test_the_stream_of_anothers_order_is_refused(
    lamp: Order, people: dict[str, User], client: Client
) -> None:
    address = f"{reverse('sse_notify:stream')}?topic=order.{lamp.pk}"
    assert client.get(address).status_code == 401
    client.force_login(people["bob"])
    assert client.get(address).status_code == 403
    client.force_login(people["alice"])
    assert client.head(address).status_code == 200


def test_moving_on_tells_who_watches_after_the_commit(
    lamp: Order,
    page: Client,
    published: list[tuple[str, Any]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        page.post(reverse("orders:advance", args=[lamp.pk]))
        assert published == []
    ((topic, data),) = published
    assert topic == f"order.{lamp.pk}"
    assert set(data["reached"]) == {"placed", "paid"}
    assert data["pk"] == lamp.pk
    assert data["is_over"] is False


def test_an_order_reaches_every_state_once_and_the_bell_tells_of_the_last(
    lamp: Order, page: Client, alice: User
) -> None:
    for _ in range(7):
        assert page.post(reverse("orders:advance", args=[lamp.pk])).status_code == 302
    lamp.refresh_from_db()
    assert set(lamp.reached) == set(State.values)
    assert lamp.next_state is None
    assert Notification.objects.filter(recipient=alice, title="Delivered: A lamp").count() == 1


def test_nobody_moves_anothers_order_and_no_link_does(
    lamp: Order, people: dict[str, User], client: Client
) -> None:
    address = reverse("orders:advance", args=[lamp.pk])
    client.force_login(people["bob"])
    assert client.post(address).status_code == 404
    client.force_login(people["alice"])
    assert client.get(address).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(people["alice"])
    assert strict.post(address).status_code == 403
    lamp.refresh_from_db()
    assert lamp.state == State.PLACED


def test_the_page_shows_ones_own_orders_and_staff_all(
    lamp: Order, people: dict[str, User], client: Client
) -> None:
    client.force_login(people["alice"])
    states = client.get(reverse("orders:states")).json()["orders"]
    assert [order["pk"] for order in states] == [
        *Order.objects.filter(owner=people["alice"]).values_list("pk", flat=True)
    ]
    assert (
        f'data-foreign="{Order.objects.exclude(owner=people["alice"])[0].pk}"'
        in client.get("/orders/").content.decode()
    )
    client.force_login(people["carol"])
    assert len(client.get(reverse("orders:states")).json()["orders"]) == Order.objects.count()


def test_an_order_is_placed(page: Client, alice: User) -> None:
    before = Order.objects.filter(owner=alice).count()
    assert page.post(reverse("orders:place")).status_code == 302
    assert Order.objects.filter(owner=alice).count() == before + 1
    assert Order.objects.all()[0].state == State.PLACED
