"""More clients than threads: who gave up is not served, who cannot be served is told at once, and every place comes back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.test import override_settings

from sse_notify import counters, topics
from sse_notify.asgi.app import EventStreams
from sse_notify.asgi.exchange import MARK
from sse_notify.concurrency import threadpool, turns
from sse_notify.streaming.limits import admission
from tests.asgi.client import GUARD, Connection, connect, cookies_of, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

STREAM = "/notifications/stream/"


class Gate:
    """Where the view of every handshake waits, in its thread, while the gate is shut."""

    def __init__(self) -> None:
        self.entered = 0
        self.arrived = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def shut(self) -> None:
        self.arrived.clear()
        self.open.clear()

    def pass_through(self) -> None:
        self.entered += 1
        self.arrived.set()
        assert self.open.wait(GUARD)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate before the end of every handshake, and a pool of one thread, so that a second handshake waits."""
    view: Any = import_module("sse_notify.views.stream")
    gate, make_stream = Gate(), view.make_stream

    def wait_and_make(opening: Any) -> Any:
        gate.pass_through()
        return make_stream(opening)

    monkeypatch.setattr(view, "make_stream", wait_and_make)
    monkeypatch.setattr(threadpool, "streams", threadpool.Pool("one", lambda: 1))
    yield gate
    gate.open.set()


@pytest.fixture
def app() -> EventStreams:
    return EventStreams(get_asgi_application())


async def sign_in() -> dict[str, str]:
    return await cookies_of(await User.objects.acreate(username="alice"))


async def test_a_client_that_gave_up_waiting_is_never_served(app: EventStreams, gate: Gate) -> None:
    headers = await sign_in()
    gate.shut()
    async with connect(app, headers=headers) as first:
        await asyncio.to_thread(gate.arrived.wait, GUARD)
        impatient = Connection(app, "/notifications/stream/", headers=headers)
        async with connect(app, headers=headers) as patient:
            await until(lambda: app._waiting == 3)
            # As most servers tell it: nothing is cancelled, ``receive()`` says that the client is gone.
            await impatient.leave()
            assert impatient.sent == []
            assert app._waiting == 2
            gate.open.set()
            await first.until(b"hello")
            await patient.until(b"hello")
    assert gate.entered == 2
    await until(lambda: admission.total == 0)


async def test_a_client_that_leaves_while_its_handshake_runs_gives_its_place_back(
    app: EventStreams, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[Any] = []
    monkeypatch.setattr("sse_notify.asgi.app._render", rendered.append)
    headers = await sign_in()
    gate.shut()
    async with connect(app, headers=headers) as stream:
        await asyncio.to_thread(gate.arrived.wait, GUARD)
        await stream.leave()
        assert stream.sent == []
        assert app._waiting == 0
        gate.open.set()
        await until(lambda: admission.total == 0)
        # The place is there for the next one.
        with override_settings(SSE_NOTIFY={"MAX_STREAMS": 1, "MAX_STREAMS_PER_USER": 1}):
            async with connect(app, headers=headers) as next_one:
                await next_one.until(b"hello")
                assert admission.total == 1
    assert admission.total == 0
    assert rendered == [], (
        "nobody reads what would be rendered, and an asynchronous body takes an event loop"
    )


async def test_a_page_goes_before_handshakes_until_its_response_begins(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "HOLD_SECONDS", 600.0)
    responds, ends, headers = asyncio.Event(), asyncio.Event(), await sign_in()

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await responds.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await ends.wait()
        await send({"type": "http.response.body", "body": b"page"})

    app = EventStreams(page)
    async with connect(app, "/page/") as visitor, connect(app, headers=headers) as stream:
        # What ran before has left the handshake's thread nothing to wait for.
        await threadpool.streams(lambda: None)
        assert (app._waiting, gate.entered) == (1, 0)
        responds.set()
        await stream.until(b"hello")
        assert visitor.body == b""
        ends.set()
        await visitor.until(b"page")


async def test_a_page_that_fails_holds_no_handshake_up(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "HOLD_SECONDS", 600.0)
    headers = await sign_in()

    async def page(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    app = EventStreams(page)
    visitor = Connection(app, "/page/")
    with pytest.raises(ZeroDivisionError):
        await visitor.task
    async with connect(app, headers=headers) as stream:
        await stream.until(b"hello")


@pytest.mark.parametrize(
    ("state", "code"), [("full", "full"), ("draining", "draining"), ("queue", "busy")]
)
async def test_who_cannot_be_served_is_told_without_a_thread(
    app: EventStreams, gate: Gate, monkeypatch: pytest.MonkeyPatch, state: str, code: str
) -> None:
    headers = await sign_in()
    limits = {"MAX_STREAMS": 1 if state == "full" else 2}
    refused = counters.get("refused", code)
    with override_settings(SSE_NOTIFY=limits):
        async with connect(app, headers=headers) as first:
            await first.until(b"hello")
            gate.shut()
            busy = asyncio.ensure_future(threadpool.streams(gate.pass_through))  # the one thread
            await asyncio.to_thread(gate.arrived.wait, GUARD)
            waiting = []
            if state == "draining":
                monkeypatch.setattr(admission, "draining", True)
            elif state == "queue":
                waiting = [
                    Connection(app, "/notifications/stream/", headers=headers) for _ in range(2)
                ]
                await until(lambda: app._waiting == 2)
            async with connect(app, headers=headers) as second:
                status, got, body = await second.answer()
            assert (status, got["retry-after"], body["error"]) == (503, "5", code)
            assert got["cache-control"] == "no-store"
            for connection in waiting:
                await connection.leave()
            gate.open.set()
            await busy
    assert counters.get("refused", code) == refused + 1
    assert (admission.total, app._waiting) == (0, 0)


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*", "text/html", ""])
async def test_whatever_a_client_accepts_its_handshake_waits_for_a_thread(
    app: EventStreams, gate: Gate, accept: str
) -> None:
    """With the header that curl sends, every client got a thread and a connection of its own."""
    headers = {**await sign_in(), "accept": accept}
    gate.shut()
    clients = [Connection(app, STREAM, headers=headers) for _ in range(3)]
    await until(lambda: app._waiting == 3)
    assert await asyncio.to_thread(gate.arrived.wait, GUARD)
    assert gate.entered == 1
    gate.open.set()
    for client in clients:
        await client.until(b"hello")
        await client.leave()


@pytest.mark.parametrize("way", ["marked", "not marked", "inside Django"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("state", ["full", "draining", "has room"])
async def test_a_process_without_room_decides_nothing_and_head_asks_for_no_topic(
    monkeypatch: pytest.MonkeyPatch, way: str, method: str, state: str
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(topics, "_registrations", {})

    @topics.topic("wall", public=True)
    def anybody(user: Any) -> bool:
        calls.append(user)
        return True

    monkeypatch.setattr(admission, "total", 1)
    monkeypatch.setattr(admission, "draining", state == "draining")
    if way == "not marked":
        monkeypatch.delattr(import_module("sse_notify.views.stream").stream, MARK)
    application: Any = get_asgi_application()
    application = application if way == "inside Django" else EventStreams(application)
    with override_settings(SSE_NOTIFY={"MAX_STREAMS": 1 if state == "full" else 9}):
        for headers in {}, await sign_in():
            calls.clear()
            async with connect(
                application, method=method, query="topic=wall", headers=headers
            ) as stream:
                if state != "has room":
                    status, got, body = await stream.answer()
                    assert (status, body["error"], got["retry-after"]) == (503, state, "5")
                elif method == "GET":
                    await stream.until(b"hello")
                else:
                    assert (await stream.answer())[0] == 200
            assert len(calls) == (method == "GET" and state == "has room")


async def test_head_opens_no_stream_so_it_takes_no_place_of_those_that_wait() -> None:
    """HEAD was never turned away, but counted: enough of them had every GET refused."""
    goes_on = asyncio.Event()
    asked: list[str] = []

    async def other(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["method"])
        await goes_on.wait()

    app = EventStreams(other)
    waiting = [Connection(app, STREAM, method="HEAD") for _ in range(3)]
    await until(lambda: len(asked) == 3)
    assert app._waiting == 0
    with override_settings(SSE_NOTIFY={"MAX_STREAMS": 2}):
        async with connect(app, headers=await sign_in()) as stream:
            await stream.until(b"hello")
    goes_on.set()
    for connection in waiting:
        await connection.leave()


@pytest.mark.parametrize("prefix", ["", "/site", "/notifications", "/notifications/stream/", "x"])
async def test_whatever_prefix_a_request_names_it_is_turned_away_early_and_nothing_remembers_it(
    app: EventStreams, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    """Some servers take the prefix from a header of the client."""
    handled: list[Any] = []
    monkeypatch.setattr(threadpool, "streams", lambda *args: handled.append(args))
    monkeypatch.setattr(admission, "draining", True)
    async with connect(app, STREAM, root_path=prefix) as first:
        status, _, _ = await first.answer()
    # Where the rest of the path is no stream, Django's handler does not find one either.
    assert status == (404 if prefix.startswith("/notifications") else 503)
    remembered = []
    for number in range(3):
        async with connect(app, f"/{number}{STREAM}", root_path=f"/{number}") as other:
            assert (await other.answer())[0] == 503
        remembered.append({name: repr(value) for name, value in vars(app).items()})
    assert remembered[0] == remembered[1] == remembered[2]
    assert handled == []


async def test_what_is_no_event_stream_gets_its_whole_request_and_hears_of_the_departure() -> None:
    """A request that asks for an event stream at a path of another application: what was read ahead is not lost to it."""
    heard: list[Any] = []

    async def other(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            heard.append(message["body"])
            if not message.get("more_body"):
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"", "more_body": True})
        heard.append("left")
        assert (await receive())["type"] == "http.disconnect", "as often as it is asked"

    chunks = [b"one", b"two", b"three"]
    messages = [
        {"type": "http.request", "body": chunk, "more_body": chunk != b"three"} for chunk in chunks
    ]
    sent: list[Any] = []
    answered, leaves = asyncio.Event(), asyncio.Event()

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        await leaves.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        answered.set()

    scope = {
        "type": "http", "method": "GET", "path": "/nowhere/", "query_string": b"", "headers": [(b"accept", b"text/event-stream")],
        "server": ("testserver", 80),
    }  # fmt: skip
    task = asyncio.ensure_future(EventStreams(other)(scope, receive, send))
    async with asyncio.timeout(GUARD):
        await answered.wait()
        leaves.set()
        await task
    assert heard == [*chunks, "left"]


async def test_the_server_going_away_in_the_middle_of_the_answer_gives_the_place_back(
    app: EventStreams,
) -> None:
    headers = await sign_in()

    class Broken(Connection):
        async def _send(self, message: Any) -> None:
            raise ConnectionResetError("the socket is gone")

    connection = Broken(app, "/notifications/stream/", headers=headers)
    async with asyncio.timeout(GUARD):
        await asyncio.wait({connection.task})
    assert isinstance(connection.task.exception(), ConnectionResetError)
    assert (admission.total, app._waiting) == (0, 0)
