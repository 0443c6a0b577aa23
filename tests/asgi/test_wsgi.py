"""Under WSGI, where a stream would hold a worker: a finite stream, after which the browser asks again."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from sse_notify import EventStreamResponse, notify
from sse_notify.log.sequence import get_head
from sse_notify.streaming.limits import admission
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


class Source:
    """An asynchronous iterator that is no generator, and queries in a thread."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.is_closed = False

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> str:
        await sync_to_async(self.query)()
        return "one"

    async def aclose(self) -> None:
        self.is_closed = True

    def query(self) -> None:
        User.objects.count()
        self.connections.add(connections["default"])


@pytest.mark.django_db(transaction=True)
def test_under_wsgi_each_source_has_a_thread_of_its_own_and_gives_it_back() -> None:
    sources = [Source(), Source()]
    responses = [EventStreamResponse(source) for source in sources]
    bodies = [iter(response) for response in responses]
    assert [next(body) for body in bodies] == [b"data: one\n\n"] * 2
    assert [next(body) for body in bodies] == [b"data: one\n\n"] * 2
    used = [source.connections for source in sources]
    assert [len(each) for each in used] == [1, 1]
    assert used[0] != used[1]
    for response, body in zip(responses, bodies, strict=True):
        body.close()  # type: ignore[attr-defined]
        response.close()
    assert admission.total == 0
    assert all(source.is_closed for source in sources)
    assert all(connection.connection is None for each in used for connection in each)
