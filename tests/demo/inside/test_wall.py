"""The wall: anybody writes, within bounds; what was written stays text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from demo_project.wall import models, views
from demo_project.wall.models import Message, write
from tests.support.readers import is_allowed

pytestmark = pytest.mark.django_db

AS_SCRIPT = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def _counted_anew() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def test_a_visitor_watches_and_writes_without_an_account(
    client: Client, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(
        models, "publish", lambda topic, data, event: told.append((topic, event, data))
    )
    assert is_allowed(AnonymousUser(), "wall")
    assert client.head(f"{reverse('sse_notify:stream')}?topic=wall").status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        assert (
            client.post("/wall/", {"name": "Mia", "text": "Hello"}, headers=AS_SCRIPT).status_code
            == 201
        )
        assert told == []
    message = Message.objects.get()
    assert told == [("wall", "wall", message.as_event())]
    assert (message.name, message.text, message.author) == ("Mia", "Hello", None)


def test_who_is_signed_in_writes_under_their_own_name(page: Client) -> None:
    assert 'name="name"' not in page.get("/wall/").content.decode()
    assert page.post("/wall/", {"name": "Somebody else", "text": "Hello"}).status_code == 302
    assert Message.objects.get().name == "Alice"


@pytest.mark.parametrize("text", ["", " ", "x" * 281, "nul\0"])
def test_what_is_empty_or_too_long_is_refused_and_says_why(text: str, client: Client) -> None:
    answer = client.post("/wall/", {"text": text}, headers=AS_SCRIPT)
    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert 'class="errorlist"' in client.post("/wall/", {"text": text}).content.decode()
    assert client.post("/wall/", {}, headers=AS_SCRIPT).status_code == 400
    assert not Message.objects.exists()


def test_one_address_writes_only_so_often(client: Client) -> None:
    answers = [
        client.post("/wall/", {"text": str(n)}, headers=AS_SCRIPT).status_code
        for n in range(views.TIMES + 2)
    ]
    assert answers == [201] * views.TIMES + [429] * 2
    assert (
        client.post("/wall/", {"text": "x"}, headers=AS_SCRIPT, REMOTE_ADDR="192.0.2.7").status_code
        == 201
    )
    assert Message.objects.count() == views.TIMES + 1


def test_a_form_from_elsewhere_is_refused() -> None:
    assert Client(enforce_csrf_checks=True).post("/wall/", {"text": "x"}).status_code == 403


def test_who_comes_late_sees_the_last_messages_and_asks_for_what_is_newer(client: Client) -> None:
    for n in range(views.SHOWN + 5):
        write(Message(text=f"message {n:03}"))
    text = client.get("/wall/").content.decode()
    assert f"message {views.SHOWN + 4:03}" in text
    assert text.count('data-message="') == views.SHOWN + 1  # and the blank
    third = Message.objects.all()[2]
    newer = client.get("/wall/newer/", {"after": third.pk}).json()["messages"]
    assert [message["text"] for message in newer] == [
        message.text for message in Message.objects.all()[:2]
    ]
    for nonsense in ("", "x", "-1", "9" * 30, "٣"):
        assert client.get("/wall/newer/", {"after": nonsense}).status_code == 200


def test_old_messages_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "KEPT", 3)
    for n in range(6):
        write(Message(text=str(n)))
    assert [message.text for message in Message.objects.all()] == ["5", "4", "3"]


def test_markup_stays_text(client: Client) -> None:
    write(Message(name="<i>x</i>", text="<script>alert(1)</script>"))
    text = client.get("/wall/").content.decode()
    assert "<script>alert" not in text
    assert "<i>x" not in text
