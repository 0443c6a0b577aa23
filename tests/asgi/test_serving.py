"""Serving a stream: heartbeats, lifetime, departures, slow clients, and the middleware that must leave it alone."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
import weakref
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any, ClassVar

import pytest
from asgiref.sync import markcoroutinefunction, sync_to_async
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.db import connections
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path, register_converter

from sse_notify import anotify, counters, notify
from sse_notify.asgi.app import EventStreams
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import get_position
from sse_notify.streaming import hub as hub_module
from sse_notify.streaming import registry
from sse_notify.streaming import stream as stream_module
from sse_notify.streaming.limits import admission
from sse_notify.streaming.registry import end_streams
from tests.asgi.client import GUARD, connect, cookies_of, events, threads, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


@pytest.fixture
def app() -> EventStreams:
    return EventStreams(get_asgi_application())


async def sign_in() -> tuple[User, dict[str, str]]:
    user = await User.objects.acreate(username="alice")
    return user, await cookies_of(user)


@override_settings(SSE_NOTIFY={"HEARTBEAT": 1})
async def test_silence_is_broken_by_pings_that_carry_the_cursor(app: EventStreams) -> None:
    user, headers = await sign_in()
    async with connect(app, headers=headers) as stream:
        await stream.until(b"hello")
        await anotify(user, "One")
        await stream.until(b"One")
        await stream.until(b'event: ping\ndata: {"cursor":1}\n\n')
    assert not any(name == "ping" and id for name, _, id in events(stream.body)), (
        "a ping moves no cursor by itself"
    )


@override_settings(SSE_NOTIFY={"MAX_LIFETIME": 0.5, "RETRY_MS": (100, 200)})
async def test_a_stream_ends_with_bye_when_its_time_is_up(app: EventStreams) -> None:
    _, headers = await sign_in()
    async with connect(app, headers=headers) as stream:
        status, _, body = await stream.answer()
    assert status == 200
    name, data, _ = events(body)[-1]
    assert (name, data["reason"]) == ("bye", "lifetime")
    assert 0 <= data["retry_after"] <= 100
    assert stream.sent[-1]["more_body"] is False
    assert admission.total == 0


async def test_draining_says_bye_and_ends(app: EventStreams, joined: asyncio.Event) -> None:
    _, headers = await sign_in()
    async with connect(app, headers=headers) as stream:
        await stream.until(b"hello")
        await asyncio.wait_for(joined.wait(), GUARD)
        ending = asyncio.create_task(end_streams(registry.current(), 10))
        _, _, body = await stream.answer()
        await ending
    name, data, _ = events(body)[-1]
    assert (name, data["reason"]) == ("bye", "drain")
    assert 0 <= data["retry_after"] <= 10_000


@pytest.mark.parametrize("wrapped", [True, False])
async def test_when_the_client_leaves_nothing_stays(app: EventStreams, wrapped: bool) -> None:
    user, headers = await sign_in()
    application = app if wrapped else get_asgi_application()
    before = len(asyncio.all_tasks())
    async with connect(application, headers=headers) as stream:
        await stream.until(b"hello")
        await anotify(user, "One")
        await stream.until(b"One")
        (open_stream,) = registry.current().streams
        gone = weakref.ref(open_stream)
        current = registry.current()
        del open_stream
    await until(lambda: admission.total == 0)
    assert current.stopped, "a hub without streams does nothing"
    del stream, current
    await until(lambda: len(asyncio.all_tasks()) <= before)
    gc.collect()
    assert gone() is None


async def test_an_idle_stream_holds_no_thread_and_no_connection(
    app: EventStreams, joined: asyncio.Event
) -> None:
    _, headers = await sign_in()
    with override_settings(SSE_NOTIFY={"MAX_STREAMS_PER_USER": 100, "POLL_INTERVAL": 60}):
        async with connect(app, headers=headers) as first:
            await first.until(b"hello")
            await asyncio.wait_for(joined.wait(), GUARD)
            before = threads()
            contexts = [connect(app, headers=headers) for _ in range(30)]
            for context in contexts:
                await (await context.__aenter__()).until(b"hello")
            assert threads() <= before
            pools = [
                each.name
                for each in threading.enumerate()
                if each.name.startswith(("sse_notify-stream", "sse_notify-hub"))
            ]
            assert len(pools) <= 8 + 1, pools
            for context in contexts:
                await context.__aexit__(None, None, None)


async def test_an_idle_stream_holds_one_task_beside_its_own_and_little_memory(
    app: EventStreams, joined: asyncio.Event
) -> None:
    _, headers = await sign_in()
    number = 50
    with override_settings(SSE_NOTIFY={"MAX_STREAMS_PER_USER": 100, "POLL_INTERVAL": 60}):
        async with connect(app, headers=headers) as first:
            await first.until(b"hello")
            await asyncio.wait_for(joined.wait(), GUARD)
            contexts = [connect(app, headers=headers) for _ in range(number)]
            tasks = len(asyncio.all_tasks())
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.take_snapshot()
            for context in contexts:
                opened = await context.__aenter__()
                await opened.until(b"hello")
                opened.sent.clear()
            # Two for each, and what the hub does at this moment.
            assert len(asyncio.all_tasks()) - tasks < 2.5 * number
            gc.collect()
            after = tracemalloc.take_snapshot()
            tracemalloc.stop()
            others = [tracemalloc.Filter(False, f"*/{name}/*") for name in ("tests", "django")]
            changes = after.filter_traces(others).compare_to(before.filter_traces(others), "lineno")
            # 6.8 KB, with what the loop needs for the tasks, and without the server's own.
            assert sum(each.size_diff for each in changes) / number < 7500, changes[:20]
            for context in contexts:
                await context.__aexit__(None, None, None)


async def test_without_the_wrapper_the_thread_is_given_back_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sse_notify.views import responses

    responses._warn.cache_clear()
    user, headers = await sign_in()
    application = get_asgi_application()
    before = threads()
    with override_settings(SSE_NOTIFY={"MAX_STREAMS_PER_USER": 100, "POLL_INTERVAL": 60}):
        contexts = [connect(application, headers=headers) for _ in range(20)]
        opened = [await context.__aenter__() for context in contexts]
        for stream in opened:
            await stream.until(b"hello")
        await until(lambda: len(registry.current().streams) == 20)
        await until(lambda: len(threads() - before) < 10)
        await anotify(user, "Everybody")
        for stream in opened:
            await stream.until(b"Everybody")
        for context in contexts:
            await context.__aexit__(None, None, None)
    said = [
        record.getMessage() for record in caplog.records if "EventStreams" in record.getMessage()
    ]
    assert len(said) == 1


class StuckClient:
    """A ``send`` that blocks from a given message on, as a client that has stopped reading does."""

    def __init__(self, app: Any, headers: dict[str, str], after: int) -> None:
        self.messages: list[Any] = []
        self.go_on = asyncio.Event()
        self._after = after
        scope_headers = {"host": "testserver", "accept": "text/event-stream", **headers}
        scope = {
            "type": "http", "method": "GET", "path": "/notifications/stream/", "query_string": b"", "root_path": "",
            "headers": [(k.encode(), v.encode()) for k, v in scope_headers.items()], "client": None, "server": ("testserver", 80),
        }  # fmt: skip
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        await asyncio.Event().wait()

    async def _send(self, message: Any) -> None:
        if len(self.messages) >= self._after:
            await self.go_on.wait()
        self.messages.append(message)


@override_settings(SSE_NOTIFY={"BUFFER_BYTES": 2000, "HEARTBEAT": 1})
async def test_a_slow_client_loses_its_buffer_and_no_event(app: EventStreams) -> None:
    user, headers = await sign_in()
    stuck = StuckClient(app, headers, after=2)
    await until(lambda: len(stuck.messages) == 2 and registry.current().streams)
    (stream,) = registry.current().streams
    for start in range(0, 200, 50):
        await sync_to_async(
            lambda start=start: [notify(user, f"N{i}") for i in range(start, start + 50)]
        )()
    await until(lambda: stream._behind)
    assert stream._buffer.size <= 2000
    stuck.go_on.set()
    await until(lambda: b'"N199"' in b"".join(m.get("body", b"") for m in stuck.messages))
    got = [
        d["title"]
        for name, d, _ in events(b"".join(m.get("body", b"") for m in stuck.messages))
        if name == "notification"
    ]
    assert got == [f"N{i}" for i in range(200)]
    stuck.task.cancel()
    await asyncio.wait({stuck.task})


@override_settings(SSE_NOTIFY={"SEND_TIMEOUT": 1, "HEARTBEAT": 1})
async def test_a_client_that_blocks_too_long_is_closed(app: EventStreams) -> None:
    user, headers = await sign_in()
    before = counters.get("closed", "slow")
    stuck = StuckClient(app, headers, after=2)
    await until(lambda: len(stuck.messages) == 2 and registry.current().streams)
    await anotify(user, "Never read")
    async with asyncio.timeout(GUARD):
        await stuck.task
    assert counters.get("closed", "slow") == before + 1
    assert admission.total == 0


GZIP = "django.middleware.gzip.GZipMiddleware"
CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"
WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"
CORS = "corsheaders.middleware.CorsMiddleware"


class ReplacingMiddleware:
    """Answers in the view's place, after the view has agreed."""

    sync_capable, async_capable = True, False

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        from django.http import HttpResponseForbidden

        self.get_response(request)
        return HttpResponseForbidden("no")


class RenamingMiddleware:
    """Makes another kind of answer of the view's stream."""

    sync_capable, async_capable = True, False

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        response.status_code = 203
        return response


@pytest.mark.parametrize("wrapped", [True, False])
async def test_the_usual_middleware_leaves_the_stream_intact(wrapped: bool, settings: Any) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "corsheaders"]
    settings.MIDDLEWARE = [GZIP, CONDITIONAL, WHITENOISE, CORS, *settings.MIDDLEWARE]
    settings.CORS_ALLOWED_ORIGINS = ["https://shop.example"]
    settings.CORS_ALLOW_CREDENTIALS = True
    user, headers = await sign_in()
    application: Any = get_asgi_application()
    if wrapped:
        application = EventStreams(application)
    headers |= {
        "origin": "https://shop.example",
        "accept-encoding": "gzip, br",
        "if-none-match": "*",
    }
    async with connect(application, headers=headers) as stream:
        await stream.until(b"event: hello")
        await anotify(user, "Plain text")
        await stream.until(b"Plain text")
    assert stream.status == 200
    assert stream.headers["content-encoding"] == "identity"
    assert stream.headers["access-control-allow-origin"] == "https://shop.example"
    assert stream.headers["access-control-allow-credentials"] == "true"
    assert not {"content-length", "etag"} & set(stream.headers)


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*"])
async def test_a_middleware_that_answers_instead_closes_the_stream(
    accept: str, settings: Any
) -> None:
    settings.MIDDLEWARE = ["tests.asgi.test_serving.ReplacingMiddleware", *settings.MIDDLEWARE]
    _, headers = await sign_in()
    async with connect(
        EventStreams(get_asgi_application()), headers={**headers, "accept": accept}
    ) as stream:
        status, _, body = await stream.answer()
    assert (status, body) == (403, b"no")
    assert admission.total == 0


@pytest.mark.django_db(transaction=True)
async def test_a_stream_that_a_middleware_makes_another_answer_of_is_answered_once(
    settings: Any,
) -> None:
    settings.MIDDLEWARE = ["tests.asgi.test_serving.RenamingMiddleware", *settings.MIDDLEWARE]
    _, headers = await sign_in()
    async with connect(EventStreams(get_asgi_application()), headers=headers) as stream:
        status, _, _ = await stream.answer()
        await asyncio.wait_for(stream.task, 10)
    assert status == 203
    ends = [
        message
        for message in stream.sent
        if message["type"] == "http.response.body" and not message.get("more_body", False)
    ]
    assert len(ends) == 1
    assert stream.sent[-1] == ends[0]
    assert admission.total == 0


class Querying:
    """A middleware that reads the database when it is made, as one does that loads rules or tenants."""

    made: ClassVar[list[int]] = []

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        self.made.append(User.objects.count())

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)


async def test_a_middleware_that_queries_when_it_is_made_is_made_once_and_not_on_the_loop(
    settings: Any,
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.asgi.test_serving.Querying"]
    _, headers = await sign_in()
    app = EventStreams(await sync_to_async(get_asgi_application)())
    Querying.made.clear()
    async with AsyncExitStack() as stack:
        opening = (stack.enter_async_context(connect(app, headers=headers)) for _ in range(4))
        streams = await asyncio.gather(*opening)
        await asyncio.gather(*(stream.until(b"hello") for stream in streams))
    assert Querying.made == [1]


class Service:
    """An async client of which a project has one: its connection belongs to the loop that opened it."""

    def __init__(self) -> None:
        self.port = 0
        self.connection: Any = None

    async def ask(self) -> str:
        if self.connection is None:
            self.connection = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.connection
        writer.write(b"?\n")
        await writer.drain()
        line: bytes = await reader.readline()
        return line.decode().strip()


service = Service()


class Asking:
    """An async-only middleware that asks the service before the view and after it."""

    sync_capable, async_capable = False, True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: Any) -> Any:
        first = await service.ask()
        response = await self.get_response(request)
        response["X-Asked"] = f"{first} {await service.ask()}"
        return response


@pytest.mark.parametrize("place", [0, 4, 99], ids=["first", "in the middle", "last"])
@pytest.mark.parametrize("wrapped", [True, False])
async def test_async_only_middleware_shares_its_client_between_pages_and_streams(
    settings: Any, wrapped: bool, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering: list[Any] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.append(asyncio.current_task())
        while await reader.readline():
            writer.write(b"!\n")
        writer.close()
        await writer.wait_closed()

    middleware = list(settings.MIDDLEWARE)
    middleware.insert(place, "tests.asgi.test_serving.Asking")
    settings.MIDDLEWARE = middleware
    _, headers = await sign_in()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    monkeypatch.setattr(service, "port", server.sockets[0].getsockname()[1])
    monkeypatch.setattr(service, "connection", None)
    app: Any = get_asgi_application()
    app = EventStreams(app) if wrapped else app
    for _ in range(2):
        async with connect(app, headers=headers) as stream:
            await stream.until(b"hello")
        async with connect(app, "/admin/login/", headers={"accept": "text/html"}) as page:
            assert (await page.answer())[0] == 200
        assert [each.headers["x-asked"] for each in (stream, page)] == ["! !", "! !"]
    service.connection[1].close()
    await asyncio.gather(service.connection[1].wait_closed(), *answering)
    server.close()
    await until(lambda: admission.total == 0)


class Stuck:
    """An async-only middleware that waits until it is cancelled."""

    sync_capable, async_capable = False, True
    began: ClassVar[asyncio.Event]

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: Any) -> Any:
        response = await self.get_response(request)
        self.began.set()
        await asyncio.Event().wait()
        return response


async def test_a_client_that_leaves_while_async_only_middleware_waits_is_not_served(
    settings: Any,
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.asgi.test_serving.Stuck"]
    Stuck.began = asyncio.Event()
    _, headers = await sign_in()
    async with connect(EventStreams(get_asgi_application()), headers=headers) as stream:
        await asyncio.wait_for(Stuck.began.wait(), GUARD)
        await stream.leave()
    assert stream.sent == []
    await until(lambda: admission.total == 0)


async def test_other_requests_pass_through_unchanged(app: EventStreams) -> None:
    async with connect(app, "/admin/login/", headers={"accept": "text/html"}) as page:
        status, headers, body = await page.answer()
    assert status == 200
    assert b"csrfmiddlewaretoken" in body
    assert headers["content-length"] == str(len(body))
    async with connect(app, "/nowhere/") as page:
        assert (await page.answer())[0] == 404


async def test_a_database_that_is_away_keeps_the_stream_open(
    app: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    monkeypatch.setattr("sse_notify.streaming.stream.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("sse_notify.access.monitor.RETRY_SECONDS", 0.01)
    user, headers = await sign_in()
    await anotify(user, "Missed")
    failures: list[int] = []
    real_read = read_entries

    def failing_read(*args: Any, **kwargs: Any) -> Any:
        if len(failures) < 3:
            failures.append(1)
            raise OperationalError("away")
        return real_read(*args, **kwargs)

    monkeypatch.setattr(stream_module, "read_entries", failing_read)
    async with connect(app, query="cursor=0", headers=headers) as stream:
        await stream.until(b"Missed")
    assert [name for name, _, _ in events(stream.body)] == [
        "hello",
        "ping",
        "ping",
        "ping",
        "notification",
    ]
    connections.close_all()


async def test_a_client_that_leaves_during_the_handshake_keeps_no_place(
    app: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers cancel the request then, while the view still works in its thread."""
    view_module: Any = import_module("sse_notify.views.stream")
    _, headers = await sign_in()
    entered, go_on = threading.Event(), threading.Event()
    real = view_module.make_stream

    def slow(opening: Any) -> Any:
        entered.set()
        assert go_on.wait(GUARD)
        return real(opening)

    monkeypatch.setattr(view_module, "make_stream", slow)
    async with connect(app, headers=headers) as stream:
        await asyncio.to_thread(entered.wait, GUARD)
        stream.task.cancel()
        go_on.set()
    del stream
    await until(lambda: gc.collect() >= 0 and admission.total == 0)


async def test_a_hub_that_cannot_start_is_tried_again(
    app: EventStreams, monkeypatch: pytest.MonkeyPatch, joined: asyncio.Event
) -> None:
    from django.db import OperationalError

    monkeypatch.setattr("sse_notify.streaming.hub.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("sse_notify.access.monitor.RETRY_SECONDS", 0.01)
    user, headers = await sign_in()
    calls: list[int] = []
    real = get_position

    def failing() -> Any:
        calls.append(1)
        if len(calls) in (1, 2, 4):  # the third is the hub's, the others are its decision's
            raise OperationalError("away")
        return real()

    monkeypatch.setattr(hub_module, "get_position", failing)
    monkeypatch.setattr("sse_notify.access.openings.get_position", failing)
    async with connect(app, headers=headers) as stream:
        await asyncio.wait_for(joined.wait(), GUARD)
        assert len(calls) >= 5
        await anotify(user, "Live again")
        await stream.until(b"Live again")


async def test_a_site_below_a_prefix_is_served_the_same(app: EventStreams) -> None:
    user, headers = await sign_in()
    async with connect(
        app, "/site/notifications/stream/", root_path="/site", headers=headers
    ) as stream:
        await stream.until(b"hello")
        await anotify(user, "Below")
        await stream.until(b"Below")


async def test_a_path_that_is_no_text_is_a_bad_request(app: EventStreams) -> None:
    async with connect(app, "/notifications/stream/", query="topic=%FF%FE&cursor=%00") as stream:
        status, _, body = await stream.answer()
    assert (status, body["error"]) == (401, "unauthenticated")


async def test_what_is_not_http_goes_to_the_wrapped_application() -> None:
    seen: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await EventStreams(inner)({"type": "websocket"}, None, None)
    await EventStreams(inner)({"type": "lifespan"}, None, None)
    assert seen == ["websocket", "lifespan"]


class Failing:
    """A path converter of a project that fails, as one that queries does on an event loop."""

    regex = "[a-z]+"

    def to_python(self, value: str) -> str:
        raise RuntimeError("the row cannot be loaded")

    def to_url(self, value: str) -> str:
        return value


register_converter(Failing, "failing")


class FailingUrls:
    urlpatterns: ClassVar[list[Any]] = [path("odd/<failing:name>/", lambda _: HttpResponse())]


async def test_a_converter_that_fails_is_answered_by_django(settings: Any) -> None:
    settings.ROOT_URLCONF = FailingUrls
    app = EventStreams(get_asgi_application())
    async with connect(app, "/odd/one/", headers={"accept": "text/html"}) as page:
        assert (await page.answer())[0] == 500
