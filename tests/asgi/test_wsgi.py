"""Under WSGI, where a stream would hold a worker: a finite stream, after which the browser asks again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, connections
from django.test import Client

from sse_notify import EventStreamResponse, notify
from sse_notify.log import reader as log_reader
from sse_notify.log.sequence import get_head
from sse_notify.models import LogHead, Notification
from sse_notify.streaming.limits import admission
from tests.asgi.client import GUARD, events

STREAM = "/notifications/stream/"


@pytest.mark.django_db(transaction=True)
def test_under_wsgi_the_stream_is_finite_and_resumes() -> None:
    user = User.objects.create_user("alice")
    client = Client()
    client.force_login(user)
    notify(user, "One")
    first: Any = client.get(STREAM)
    assert (first.status_code, first["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert [name for name, _, _ in events(b"".join(first.streaming_content))] == ["hello"]
    notify(user, "Two")
    notify(user, "Three")
    second: Any = client.get(STREAM, headers={"Last-Event-ID": "1"})
    body = b"".join(second.streaming_content)
    assert b"retry: " in body
    assert [(name, id) for name, _, id in events(body)] == [
        ("ping", ""),
        ("hello", "1"),
        ("notification", "2"),
        ("notification", "3"),
    ]
    notify(user, "Four", event="order.paid")
    third: Any = client.get(f"{STREAM}?cursor=3&transport=eventsource")
    found = events(b"".join(third.streaming_content))
    assert [name for name, _, _ in found] == ["hello", "next", "order.paid"]
    assert Client().get(STREAM).status_code == 401
    assert get_head() == 4


@pytest.mark.django_db(transaction=True)
def test_under_wsgi_what_was_missed_is_read_and_sent_page_by_page(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reader, "PAGE_BYTES", 5_000)
    for number in range(9):
        notify(alice, f"n{number}", "x" * 1_000)
    client: Any = Client()
    client.force_login(alice)
    statuses: list[str] = []
    start: Any = lambda status, headers: statuses.append(status)  # noqa: E731
    environ = {**client._base_environ(), "PATH_INFO": STREAM, "QUERY_STRING": "cursor=0"}
    response: Any = WSGIHandler()(environ, start)
    chunks = iter(response)
    assert events(next(chunks))[0][0] == "hello"
    assert [data["title"] for _, data, _ in events(next(chunks))] == ["n0", "n1"]
    # The second page, and an event of the third, are pruned before they are read.
    Notification.objects.filter(seq__lte=5).delete()
    LogHead.objects.update(floor=5)
    rest = list(chunks)
    assert all(0 < len(chunk) < 5_000 for chunk in rest)
    assert [data.get("reason", data.get("title")) for _, data, _ in events(b"".join(rest))] == [
        "expired", "n5", "n6", "n7", "n8",
    ]  # fmt: skip
    assert statuses == ["200 OK"]
    response.close()
    assert connection.vendor == "sqlite" or connection.connection is None


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


# --- an asynchronous iterator is one task -------------------------------------------------------------


variable: ContextVar[str] = ContextVar("variable", default="unset")


async def remembers() -> AsyncIterator[Any]:
    variable.set("one")
    yield "first"
    yield variable.get()
    variable.set("two")
    await asyncio.sleep(0)
    yield variable.get()


async def stays_in_its_task() -> AsyncIterator[Any]:
    task = asyncio.current_task()
    yield "first"
    yield str(asyncio.current_task() is task)
    await asyncio.sleep(0)
    yield str(asyncio.current_task() is task)


async def times_out() -> AsyncIterator[Any]:
    try:
        async with asyncio.timeout(0.05):
            yield "first"
            await asyncio.Event().wait()
    except TimeoutError:
        yield "late"


async def has_time() -> AsyncIterator[Any]:
    async with asyncio.timeout(GUARD) as timeout:
        yield "first"
        await asyncio.sleep(0)
    yield str(timeout.expired())


async def has_a_scope() -> AsyncIterator[Any]:
    with anyio.move_on_after(0.05) as scope:
        yield "first"
        await anyio.sleep_forever()
    yield str(scope.cancelled_caught)


async def has_a_group() -> AsyncIterator[Any]:
    async def fail() -> None:
        raise ZeroDivisionError

    found = ""
    try:
        async with asyncio.TaskGroup() as group:
            yield "first"
            group.create_task(fail())
            await asyncio.Event().wait()
    except* ZeroDivisionError:
        found = "failed"
    yield found


async def cleans_up_in_its_task() -> AsyncIterator[Any]:
    task = asyncio.current_task()
    try:
        yield "first"
    finally:
        variable.set("cleaned")
        ENDS.append((asyncio.current_task() is task, variable.get()))


ENDS: list[tuple[bool, str]] = []


@pytest.mark.django_db  # the end of a response looks at the connections of the tests before
@pytest.mark.timeout(GUARD)
@pytest.mark.parametrize(
    ("source", "rest"),
    [
        (remembers, ["one", "two"]),
        (stays_in_its_task, ["True", "True"]),
        (times_out, ["late"]),
        (has_time, ["False"]),
        (has_a_scope, ["True"]),
        (has_a_group, ["failed"]),
        (cleans_up_in_its_task, []),
    ],
)
def test_under_wsgi_an_iterator_is_one_task(
    source: Callable[[], AsyncIterator[Any]], rest: list[str]
) -> None:
    found = [part.decode() for part in EventStreamResponse(source())]
    assert found == [f"data: {text}\n\n" for text in ["first", *rest]]
    assert variable.get() == "unset"
    ENDS.clear()
    response = EventStreamResponse(source())
    parts: Any = iter(response)
    assert next(parts) == b"data: first\n\n"
    parts.close()
    response.close()
    assert admission.total == 0
    if source is cleans_up_in_its_task:
        assert ENDS == [(True, "cleaned")]


def test_under_wsgi_an_iterator_goes_on_when_its_event_was_sent() -> None:
    """It may work without a break, and its client waits for what was yielded."""
    begun: list[int] = []

    async def works() -> AsyncIterator[int]:
        for number in range(3):
            begun.append(number)
            yield number

    for number, part in enumerate(EventStreamResponse(works())):
        assert part == b"data: %d\n\n" % number
        assert begun == list(range(number + 1))


def test_under_wsgi_what_fails_is_sent_after_what_was_yielded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails() -> AsyncIterator[str]:
        yield "first"
        raise ZeroDivisionError

    first, failed = EventStreamResponse(fails(), end="[DONE]")
    assert first == b"data: first\n\n"
    assert events(failed)[0][:2] == (
        "error",
        {"error": "failed", "message": "The stream has failed."},
    )
    assert len([record for record in caplog.records if record.name == "sse_notify"]) == 1
    caplog.clear()
    response = EventStreamResponse(has_time())
    parts: Any = iter(response)
    next(parts)
    parts.close()
    assert not caplog.records, "a client that left is no failure"
