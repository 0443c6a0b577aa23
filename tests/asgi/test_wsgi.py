"""Under WSGI, where a stream would hold a worker: a finite stream, after which the browser asks again."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sse_notify import notify
from sse_notify.log.sequence import get_head
from tests.asgi.client import events

STREAM = "/notifications/stream/"


@pytest.mark.django_db(transaction=True)
def test_under_wsgi_the_stream_is_finite_and_resumes() -> None:
    user = User.objects.create_user("alice")
    client = Client()
    client.force_login(user)
    notify(user, "One")
    first: Any = client.get(STREAM)
    assert (first.status_code, first["Content-Type"]) == (200, "text/event-stream")
    assert [name for name, _, _ in events(b"".join(first.streaming_content))] == ["hello"]
    notify(user, "Two")
    notify(user, "Three")
    second: Any = client.get(STREAM, headers={"Last-Event-ID": "1"})
    body = b"".join(second.streaming_content)
    assert b"retry: " in body
    assert [(name, id) for name, _, id in events(body)] == [
        ("hello", "1"),
        ("notification", "2"),
        ("notification", "3"),
    ]
    assert Client().get(STREAM).status_code == 401
    assert get_head() == 3
