"""A view's own events: what is sent, when the iterator waits, and that it is closed, whoever serves it and however it ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from contextvars import ContextVar
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, markcoroutinefunction, sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.asgi import get_asgi_application
from django.db import OperationalError, connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client, SimpleTestCase, override_settings
from django.urls import path
from django.utils import timezone, translation
from django.views.decorators.csrf import csrf_exempt

from sse_notify import Event, EventStreamResponse, recheck
from sse_notify.asgi.app import EventStreams
from sse_notify.asgi.exchange import event_stream
from sse_notify.log.sequence import get_position
from sse_notify.streaming import generator, registry
from sse_notify.streaming import hub as hub_module
from sse_notify.streaming.limits import admission
from tests.asgi.client import GUARD, connect, cookies_of, threads, until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio,
    pytest.mark.urls(__name__),
]

#: What the view of the test at hand answers with.
make: Callable[[HttpRequest], EventStreamResponse]


@csrf_exempt
def view(request: HttpRequest) -> HttpResponseBase:
    return make(request)


@csrf_exempt
async def aview(request: HttpRequest) -> HttpResponseBase:
    request.user = await request.auser()
    return make(request)


@csrf_exempt
@event_stream
def marked(request: HttpRequest) -> HttpResponseBase:
    return make(request)


urlpatterns = [path("sync/", view), path("async/", aview), path("marked/", marked)]


def answer_with(new: Callable[[HttpRequest], EventStreamResponse]) -> None:
    global make
    make = new


@pytest.fixture(params=["wrapped", "inside Django"])
def app(request: pytest.FixtureRequest) -> Any:
    inner = get_asgi_application()
    return EventStreams(inner) if request.param == "wrapped" else inner


class Endless:
    """An iterator that waits for ever after its first event, and tells how it ended."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self.how = ""

    async def events(self) -> AsyncIterator[Any]:
        try:
            self.began.set()
            yield "first"
            await asyncio.Event().wait()
        except BaseException as error:
            self.how = type(error).__name__
            raise
        finally:
            self.ended.set()

    async def wait(self) -> None:
        async with asyncio.timeout(GUARD):
            await self.ended.wait()


def executors() -> int:
    """Return how many contexts have a thread of their own."""
    return len(SyncToAsync.context_to_thread_executor)


async def words() -> AsyncIterator[Any]:
    yield "one\r\ntwo"
    await asyncio.sleep(0)
    yield {"word": "drei"}
    yield Event([1], event="numbers", id="a-1", retry=5)


WORDS = b'data: one\ndata: two\n\ndata: {"word":"drei"}\n\nretry: 5\nevent: numbers\ndata: [1]\nid: a-1\n\n'


# --- what is sent ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["/sync/", "/async/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_yielded_is_sent_and_then_the_end(app: Any, where: str, method: str) -> None:
    answer_with(
        lambda request: EventStreamResponse(words(), end="[DONE]", headers={"X-Model": "small"})
    )
    async with connect(app, where, method=method) as stream:
        status, headers, body = await stream.answer()
    assert (status, headers["content-type"], headers["x-model"]) == (
        200,
        "text/event-stream; charset=utf-8",
        "small",
    )
    assert (headers["cache-control"], headers["x-accel-buffering"]) == (
        "no-cache, no-store, no-transform",
        "no",
    )
    assert body == WORDS + b"data: [DONE]\n\n"
    assert not stream.sent[-1].get("more_body")
    assert admission.total == 0


async def test_a_synchronous_iterator_has_a_thread_of_its_own_and_gives_it_back(app: Any) -> None:
    seen: list[int] = []
    before, held = threads(), executors()

    def rows() -> Iterator[Any]:
        try:
            for user in User.objects.order_by("pk"):
                seen.append(threading.get_ident())
                yield user.username
        finally:
            seen.append(0)

    await User.objects.acreate(username="alice")
    await User.objects.acreate(username="bob")
    answer_with(lambda request: EventStreamResponse(rows()))
    async with connect(app, "/async/") as stream:
        assert (await stream.answer())[2] == b"data: alice\n\ndata: bob\n\n"
    assert seen[-1] == 0
    assert len(set(seen[:-1])) == 1
    assert threading.get_ident() not in seen
    if isinstance(app, EventStreams):
        assert executors() <= held
    await until(lambda: threads() <= before)


async def test_the_first_event_does_not_wait_for_the_second(app: Any) -> None:
    waits = Endless()
    answer_with(lambda request: EventStreamResponse(waits.events()))
    async with connect(app, "/async/") as stream:
        assert b"data: first\n\n" in await stream.until(b"first")
        assert not waits.ended.is_set()


@override_settings(SSE_NOTIFY={"HEARTBEAT": 0.05})
async def test_comments_break_the_silence_and_cancel_nothing(app: Any) -> None:
    go = asyncio.Event()

    async def slow() -> AsyncIterator[Any]:
        await go.wait()
        yield "late"

    answer_with(lambda request: EventStreamResponse(slow()))
    async with connect(app, "/async/") as stream:
        await stream.until(b":\n:\n")
        go.set()
        assert (await stream.answer())[2].endswith(b":\ndata: late\n\n")


@pytest.mark.parametrize("bad", ["raises", "cannot be sent"])
async def test_a_failure_ends_the_stream_and_says_nothing_of_its_cause(
    app: Any, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> AsyncIterator[Any]:
        yield "one"
        if bad == "raises":
            raise RuntimeError("the secret password is swordfish")
        yield {"swordfish": object()}
        yield "never"

    answer_with(lambda request: EventStreamResponse(fails(), end="[DONE]"))
    with caplog.at_level(logging.ERROR, "sse_notify"):
        async with connect(app, "/async/") as stream:
            _, _, body = await stream.answer()
    assert (
        body
        == b'data: one\n\nevent: error\ndata: {"error":"failed","message":"The stream has failed."}\n\n'
    )
    assert any("iterator" in record.message and record.exc_info for record in caplog.records)
    assert admission.total == 0


async def cancelled_task() -> None:
    task = asyncio.ensure_future(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def raises_cancelled() -> None:
    raise asyncio.CancelledError


async def raises_exit() -> None:
    raise GeneratorExit


@pytest.mark.parametrize("at_first", [True, False])
@pytest.mark.parametrize(
    "fail",
    [cancelled_task, cancels_itself, raises_cancelled, raises_exit],
    ids=lambda f: f.__name__,
)
async def test_an_iterator_that_is_cancelled_by_something_else_ends_the_stream_as_a_failure(
    app: Any, fail: Callable[[], Awaitable[None]], at_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def events() -> AsyncIterator[Any]:
        if not at_first:
            yield "one"
        await fail()
        yield "never"

    answer_with(lambda request: EventStreamResponse(events(), end="[DONE]"))
    with caplog.at_level(logging.ERROR, "sse_notify"):
        async with connect(app, "/async/") as stream:
            _, _, body = await stream.answer()
    before = b"" if at_first else b"data: one\n\n"
    assert body == before + generator.FAILED
    assert any("iterator" in record.message and record.exc_info for record in caplog.records)
    assert admission.total == 0


async def test_a_synchronous_iterator_that_raises_a_cancellation_ends_the_stream(app: Any) -> None:
    def events() -> Iterator[Any]:
        yield "one"
        raise asyncio.CancelledError

    answer_with(lambda request: EventStreamResponse(events()))
    async with connect(app, "/async/") as stream:
        assert (await stream.answer())[2] == b"data: one\n\n" + generator.FAILED
    assert admission.total == 0


class Failing:
    """A sync iterator, one of whose methods raises."""

    def __init__(self, method: str, error: BaseException) -> None:
        self.method, self.error, self.rows = method, error, iter(["one"])
        self.is_closed = False

    def _run(self, method: str) -> None:
        if method == self.method:
            raise self.error

    def __iter__(self) -> Failing:
        self._run("iter")
        return self

    def __next__(self) -> str:
        self._run("next")
        return next(self.rows)

    def close(self) -> None:
        self.is_closed = True
        self._run("close")


ODD = [
    StopIteration(),
    ValueError(),
    StopAsyncIteration(),
    asyncio.CancelledError(),
    GeneratorExit(),
]


@pytest.mark.parametrize("error", ODD, ids=repr)
@pytest.mark.parametrize("method", ["iter", "next", "close"])
async def test_whatever_a_method_of_a_synchronous_iterator_raises_ends_the_stream(
    app: Any, method: str, error: BaseException
) -> None:
    """StopIteration, as of next() on an empty file, left the stream open for ever. After GeneratorExit, the iterator stayed open,
    and the garbage collector gave the stream's context to whatever ran then.
    """
    source = Failing(method, error)
    answer_with(lambda request: EventStreamResponse(source))
    async with connect(app, "/async/") as stream:
        _, _, body = await stream.answer()
    is_end = method == "next" and isinstance(error, StopIteration)
    before = b"data: one\n\n" if method == "close" else b""
    assert body == before + (b"" if is_end else generator.FAILED)
    assert source.is_closed == (method != "iter")
    assert admission.total == 0


@pytest.mark.parametrize("error", ODD, ids=repr)
@pytest.mark.parametrize("method", ["iter", "next", "close"])
async def test_under_wsgi_as_well(method: str, error: BaseException) -> None:
    source = Failing(method, error)
    is_end = method == "next" and isinstance(error, StopIteration)
    response = EventStreamResponse(source, end="[DONE]")
    before = b"data: one\n\n" if method == "close" else b""
    assert b"".join(response) == before + (b"data: [DONE]\n\n" if is_end else generator.FAILED)
    response.close()
    assert source.is_closed == (method != "iter")
    assert admission.total == 0


class FailingAtItsEnd:
    """An async iterator that cannot be closed."""

    def __init__(self, error: BaseException | None) -> None:
        self.error, self.rows = error, iter(["one"])

    def __aiter__(self) -> FailingAtItsEnd:
        return self

    async def __anext__(self) -> str:
        for row in self.rows:
            return row
        raise StopAsyncIteration

    def aclose(self) -> Any:
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [*ODD, None], ids=repr)
@pytest.mark.parametrize("where", ["sync", "async", "WSGI"])
async def test_an_iterator_that_fails_when_it_is_closed_has_not_finished(
    app: Any, where: str, error: BaseException | None
) -> None:
    """The client was told the end, and then that the stream has failed."""
    failing = Failing("close" if error else "", error or ValueError())
    answer_with(lambda request: EventStreamResponse(source, end="[DONE]"))
    source: Any = failing if where == "sync" else FailingAtItsEnd(error)
    if where == "WSGI":
        body = await asyncio.to_thread(lambda: b"".join(Client().get("/sync/")))
    else:
        async with connect(app, "/async/") as stream:
            _, _, body = await stream.answer()
    is_well = where == "sync" and error is None
    end = b"data: [DONE]\n\n" if is_well else generator.FAILED
    assert body == b"data: one\n\n" + end


async def test_under_wsgi_one_that_fails_when_its_client_leaves_is_closed_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Failing("close", ValueError("not closed"))
    source.rows = iter(["one", "two"])
    response = EventStreamResponse(source, end="[DONE]")
    parts: Any = iter(response)
    assert next(parts) == b"data: one\n\n"
    parts.close()
    response.close()
    assert source.is_closed
    assert "iterator" in caplog.text
    assert admission.total == 0


async def test_head_gets_the_headers_and_begins_nothing() -> None:
    waits = Endless()
    answer_with(lambda request: EventStreamResponse(waits.events()))
    app = EventStreams(get_asgi_application())
    for where in ("/sync/", "/async/"):
        async with connect(app, where, method="HEAD") as stream:
            status, _, body = await stream.answer()
        assert (status, body) == (200, b"")
    assert not waits.began.is_set()
    assert admission.total == 0


# --- its context -----------------------------------------------------------------------------------------------------------------

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


def context() -> list[str | None]:
    return [translation.get_language(), timezone.get_current_timezone_name(), tenant.get()]


def rows_in_context() -> Iterator[Any]:
    yield context()
    with translation.override(
        "fr"
    ):  # what it changes itself stays changed until it changes it back
        yield context()
    yield context()


async def arows_in_context() -> AsyncIterator[Any]:
    yield context()
    with translation.override("fr"):
        yield await sync_to_async(context)()
    yield context()


def answer_in_context(request: HttpRequest) -> EventStreamResponse:
    with timezone.override("Asia/Tokyo"):
        tenant.set("acme")
        rows: Any = arows_in_context if "async" in request.GET else rows_in_context
        return EventStreamResponse(rows())


IN_CONTEXT = b"".join(
    b'data: ["%s","Asia/Tokyo","acme"]\n\n' % name for name in (b"de", b"fr", b"de")
)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("where", ["/sync/", "/async/", "/marked/"])
async def test_the_iterator_has_the_language_time_zone_and_variables_of_its_view(
    app: Any, where: str, kind: str
) -> None:
    before = context()
    answer_with(answer_in_context)
    async with connect(app, where, query=kind, headers={"accept-language": "de"}) as stream:
        assert (await stream.answer())[2] == IN_CONTEXT
    assert context() == before


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("where", ["/sync/", "/async/"])
async def test_under_wsgi_it_has_them_as_well(where: str, kind: str) -> None:
    def ask() -> bytes:
        tenant.set("before")
        response: Any = Client().get(f"{where}?{kind}", headers={"accept-language": "de"})
        tenant.set("after")
        with translation.override("it"), closing(response):
            return b"".join(response)

    answer_with(answer_in_context)
    assert await asyncio.to_thread(ask) == IN_CONTEXT


class Async:
    """An async-only middleware: the view runs in the thread that waits for it."""

    sync_capable, async_capable = False, True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: Any) -> Any:
        return await self.get_response(request)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("where", ["/sync/", "/async/", "/marked/"])
async def test_the_threads_of_its_views_context_are_not_those_of_the_iterator(
    app: Any, where: str, kind: str, settings: Any
) -> None:
    settings.MIDDLEWARE = [f"{__name__}.Async", *settings.MIDDLEWARE, f"{__name__}.Async"]
    inner = get_asgi_application()
    answer_with(answer_in_context)
    async with connect(
        EventStreams(inner) if isinstance(app, EventStreams) else inner,
        where,
        query=kind,
        headers={"accept-language": "de"},
    ) as stream:
        assert (await stream.answer())[2] == IN_CONTEXT


# --- in tests ----------------------------------------------------------------------------------------------------------------------


def contains(response: Any) -> bytes:
    SimpleTestCase().assertContains(response, '"de","Asia/Tokyo","acme"', count=2)
    return IN_CONTEXT


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("where", ["/sync/", "/async/"])
@pytest.mark.parametrize(
    "read",
    [
        lambda response: b"".join(response.streaming_content),
        StreamingHttpResponse.getvalue,
        contains,
    ],
    ids=["join", "getvalue", "assertContains"],
)
async def test_what_is_streamed_can_be_joined_in_the_answer_of_djangos_clients(
    where: str, kind: str, read: Callable[[Any], bytes]
) -> None:
    url, headers = f"{where}?{kind}", {"accept-language": "de"}

    def ask() -> bytes:
        return read(Client().get(url, headers=headers))

    answer_with(answer_in_context)
    with ThreadPoolExecutor(1) as thread:  # where no loop is known
        assert await asyncio.wrap_future(thread.submit(ask)) == IN_CONTEXT
    assert await sync_to_async(ask)() == IN_CONTEXT
    response: Any = await AsyncClient().get(url, headers=headers)
    assert read(response) == IN_CONTEXT
    response = await AsyncClient().get(url, headers=headers)
    assert b"".join([part async for part in response.streaming_content]) == IN_CONTEXT
    await until(lambda: admission.total == 0)


# --- which stream is served -----------------------------------------------------------------------------------------------------


class Wrapping:
    """A middleware that puts another response around the body."""

    sync_capable, async_capable = True, False

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        again = StreamingHttpResponse(response.streaming_content, headers=response.headers)
        again._resource_closers.append(response.close)  # type: ignore[attr-defined]
        return again


@pytest.mark.parametrize("middleware", ["none", "wrapping", "headers"])
@pytest.mark.parametrize("where", ["/sync/", "/async/", "/marked/"])
@pytest.mark.parametrize("returned", [0, 1, 2])
async def test_the_stream_that_is_served_is_the_one_of_the_response_that_was_returned(
    app: Any, where: str, returned: int, middleware: str, settings: Any
) -> None:
    if middleware == "wrapping":
        if where == "/marked/":
            pytest.skip("there the last one is taken: nothing says which body it is")
        settings.MIDDLEWARE = [f"{__name__}.Wrapping", *settings.MIDDLEWARE]
    elif middleware == "headers":
        settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
    app = (
        EventStreams(get_asgi_application())
        if isinstance(app, EventStreams)
        else get_asgi_application()
    )
    made: list[EventStreamResponse] = []
    sources = [Endless() for _ in range(3)]

    async def named(number: int) -> AsyncIterator[Any]:
        yield f"number {number}"
        async for event in sources[number].events():
            yield event

    def several(request: HttpRequest) -> EventStreamResponse:
        made.extend(EventStreamResponse(named(number)) for number in range(3))
        return made[returned]

    answer_with(several)
    async with connect(app, where) as stream:
        body = await stream.until(b"first")
        assert body.startswith(f"data: number {returned}\n\n".encode())
        if isinstance(app, EventStreams):
            assert admission.total == 1, (
                "the others gave their places back, though the view keeps them"
            )
        del several
        answer_with(lambda request: made[0])
        made.clear()
        await until(lambda: admission.total == 1)
    assert [each.began.is_set() for each in sources] == [n == returned for n in range(3)]
    await until(lambda: admission.total == 0)


# --- the end -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["/sync/", "/async/"])
async def test_when_the_client_leaves_the_iterator_is_closed_where_it_waits(
    app: Any, where: str
) -> None:
    waits = Endless()
    answer_with(lambda request: EventStreamResponse(waits.events()))
    async with connect(app, where) as stream:
        await stream.until(b"first")
    await waits.wait()
    assert waits.how in ("CancelledError", "GeneratorExit")
    await until(lambda: admission.total == 0)


async def test_a_synchronous_iterator_is_closed_when_its_client_leaves(app: Any) -> None:
    closed, go = threading.Event(), threading.Event()

    def blocks() -> Iterator[Any]:
        try:
            yield "first"
            go.wait(GUARD)
            yield "second"
        finally:
            closed.set()

    answer_with(lambda request: EventStreamResponse(blocks()))
    async with connect(app, "/async/") as stream:
        await stream.until(b"first")
    go.set()  # only it can end what blocks in a thread
    assert await asyncio.to_thread(closed.wait, GUARD)
    await until(lambda: admission.total == 0)


async def test_an_iterator_is_only_a_little_ahead_of_a_client_that_takes_nothing() -> None:
    made = 0

    async def fast() -> AsyncIterator[Any]:
        nonlocal made
        for _ in range(10_000):
            made += 1
            yield "x" * 1_000
            await asyncio.sleep(0)

    stream = generator.SourceStream(fast(), buffer_bytes=10_000, feed=registry.current)
    assert await stream.read()
    await until(lambda: made >= 11)
    for _ in range(
        100
    ):  # that nothing happens is no event: turns in which it could have made a hundred more
        await asyncio.sleep(0)
    assert made < 15
    total = 0
    while chunk := await stream.read():
        total += chunk.count(b"data: ")
    assert total > 9_980
    stream.close()


async def test_a_client_that_left_while_the_view_worked_is_not_served() -> None:
    waits, working, goes_on = Endless(), threading.Event(), threading.Event()

    def slow(request: HttpRequest) -> EventStreamResponse:
        working.set()
        goes_on.wait(GUARD)
        return EventStreamResponse(waits.events())

    answer_with(slow)
    async with connect(
        EventStreams(get_asgi_application()), "/sync/", method="POST", leaves_once=True
    ) as connection:
        await asyncio.to_thread(working.wait, GUARD)
        connection.go()
        await until(lambda: connection.told)
        goes_on.set()
        await connection.leave()
    assert not waits.began.is_set()
    assert admission.total == 0


async def test_one_that_says_nothing_at_first_opens_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generator, "OPENING_SECONDS", 0.01)

    async def silent() -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield "never"

    stream = generator.SourceStream(silent(), buffer_bytes=100, feed=registry.current)
    async with asyncio.timeout(GUARD):
        assert await stream.read() == b":\n"
    again = asyncio.create_task(stream.read())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not again.done(), "the next is a heartbeat"
    stream.close()
    assert await again is None


async def test_an_iterator_that_passes_over_its_cancellation_ends_with_the_next_event() -> None:
    ended = asyncio.Event()

    async def stubborn() -> AsyncIterator[Any]:
        try:
            yield "x" * 1_000
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            while True:
                yield "x" * 1_000
                await asyncio.sleep(0)
        finally:
            ended.set()

    stream = generator.SourceStream(stubborn(), buffer_bytes=10_000, feed=registry.current)
    assert await stream.read()
    stream.close()
    async with asyncio.timeout(GUARD):
        await ended.wait()
    assert ended.is_set()


@override_settings(SSE_NOTIFY={"DRAIN_SECONDS": 0.05})
async def test_one_that_begins_when_the_process_ends_is_cut_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut = asyncio.Event()
    stream = generator.SourceStream(Endless().events(), buffer_bytes=100, feed=registry.current)
    monkeypatch.setattr(admission, "draining", True)  # while its view was at work
    stream.cancel = cut.set
    assert await stream.read()
    async with asyncio.timeout(GUARD):
        await cut.wait()
    stream.close()


@override_settings(SSE_NOTIFY={"SEND_TIMEOUT": 0.05})
async def test_a_write_that_blocks_for_too_long_is_given_up_and_the_iterator_closed() -> None:
    waits = Endless()
    given_up = asyncio.Event()
    stream = generator.SourceStream(waits.events(), buffer_bytes=100, feed=registry.current)
    stream.cancel = given_up.set
    assert await stream.read() == b"data: first\n\n"
    async with asyncio.timeout(GUARD):
        await given_up.wait()  # nobody came for the next chunk
    assert stream.aborted
    stream.close()
    await waits.wait()


async def test_at_the_end_of_the_process_it_may_go_on_for_a_while_and_is_cut_then() -> None:
    finishes, hangs = asyncio.Event(), Endless()

    async def last_words() -> AsyncIterator[Any]:
        yield "first"
        await finishes.wait()
        yield "last"

    app = EventStreams(get_asgi_application())
    try:
        answer_with(lambda request: EventStreamResponse(last_words()))
        async with connect(app, "/async/") as polite:
            await polite.until(b"first")
            answer_with(lambda request: EventStreamResponse(hangs.events()))
            async with connect(app, "/async/") as rude:
                await rude.until(b"first")
                with override_settings(SSE_NOTIFY={"DRAIN_SECONDS": 0.3}):
                    registry.drain()
                finishes.set()
                assert (await polite.answer())[2] == b"data: first\n\ndata: last\n\n"
                await hangs.wait()
            async with connect(app, "/async/") as late:
                status, headers, body = await late.answer()
            assert (status, headers["retry-after"]) == (503, "5")
            assert body["error"] == "draining"
    finally:
        admission.draining = False
    assert admission.total == 0


# --- limits ------------------------------------------------------------------------------------------------------------------


@override_settings(SSE_NOTIFY={"MAX_STREAMS_PER_USER": 1})
async def test_a_user_has_so_many_and_no_more_and_the_next_is_not_begun(app: Any) -> None:
    headers = await cookies_of(await User.objects.acreate(username="alice"))
    first, second = Endless(), Endless()

    async def as_user(request: HttpRequest) -> Any:
        return await request.auser()

    answer_with(lambda request: EventStreamResponse(first.events(), user=request.user))
    async with connect(app, "/sync/", headers=headers) as stream:
        await stream.until(b"first")
        answer_with(lambda request: EventStreamResponse(second.events(), user=request.user))
        async with connect(app, "/sync/", headers=headers) as refused:
            status, sent, body = await refused.answer()
        assert (status, sent["retry-after"], sent["content-type"]) == (429, "5", "application/json")
        assert body["error"] == "too_many_streams"
        assert not second.began.is_set()
    await first.wait()
    await until(lambda: admission.total == 0)


@pytest.mark.parametrize("wrong", ["text", b"bytes", {"a": 1}, 7, None])
async def test_what_is_no_iterator_is_refused_at_the_call(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^source must "):
        EventStreamResponse(wrong)
    with pytest.raises(TypeError, match=r"^end must "):
        EventStreamResponse(words(), end=7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^event must not contain"):
        EventStreamResponse(words(), end=Event("", event="a\nb"))
    assert admission.total == 0


async def test_a_response_that_is_thrown_away_is_not_counted_for_ever() -> None:
    response = EventStreamResponse(words())
    assert admission.total == 1
    del response
    assert admission.total == 0


async def test_a_response_that_a_middleware_replaces_begins_nothing(app: Any) -> None:
    waits = Endless()

    def replaced(request: HttpRequest) -> Any:
        EventStreamResponse(waits.events())
        return HttpResponse("sorry", status=500)

    answer_with(replaced)
    async with connect(app, "/sync/") as stream:
        assert (await stream.answer())[2] == b"sorry"
    assert not waits.began.is_set()
    await until(lambda: admission.total == 0)


# --- a user's stream ------------------------------------------------------------------------------------------------------------


async def as_alice() -> tuple[User, Client, dict[str, str]]:
    """Return alice, a browser in which she is signed in, and its cookie."""
    alice = await sync_to_async(User.objects.create_user)("alice", password="swordfish")
    browser = Client()
    await sync_to_async(browser.force_login)(alice)
    return alice, browser, {"cookie": f"sessionid={browser.cookies['sessionid'].value}"}


def deactivate(alice: User, browser: Client) -> None:
    alice.is_active = False
    alice.save()


def change_password(alice: User, browser: Client) -> None:
    alice.set_password("other")
    alice.save()


def delete(alice: User, browser: Client) -> None:
    alice.delete()


def log_out(alice: User, browser: Client) -> None:
    browser.logout()


def deactivate_unnoticed(alice: User, browser: Client) -> None:
    """Without a signal: whoever changed it says so."""
    User.objects.filter(pk=alice.pk).update(is_active=False)
    recheck(alice)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (deactivate, "revoked"),
        (change_password, "revoked"),
        (delete, "revoked"),
        (deactivate_unnoticed, "revoked"),
        (log_out, "logout"),
    ],
)
@pytest.mark.parametrize("where", ["/sync/", "/async/"])
async def test_a_users_stream_ends_as_all_others_of_the_user_do(
    app: Any, where: str, act: Callable[[User, Client], None], reason: str
) -> None:
    alice, browser, headers = await as_alice()
    waits, anybodys = Endless(), Endless()
    answer_with(lambda request: EventStreamResponse(waits.events(), user=request.user))
    async with connect(app, where, headers=headers) as stream:
        await stream.until(b"first")
        answer_with(lambda request: EventStreamResponse(anybodys.events()))
        async with connect(app, where, headers=headers) as other:
            await other.until(b"first")
            await sync_to_async(act)(alice, browser)
            _, _, body = await stream.answer()
            assert body.startswith(
                b'data: first\n\nevent: bye\ndata: {"reason":"%s",' % reason.encode()
            )
            assert not anybodys.ended.is_set(), "nobody's is not theirs"
    assert waits.how in ("CancelledError", "GeneratorExit")
    await until(lambda: admission.total == 0)


async def test_the_cleanup_of_an_iterator_is_not_interrupted_when_its_stream_ends(app: Any) -> None:
    alice, browser, headers = await as_alice()
    cleaned, over = asyncio.Event(), asyncio.Event()

    async def work() -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            await over.wait()  # as for a slow query: the client has its "bye" by then
            await User.objects.filter(pk=alice.pk).aupdate(last_name="cleaned")
            cleaned.set()

    answer_with(lambda request: EventStreamResponse(work(), user=request.user))
    async with connect(app, "/async/", headers=headers) as stream:
        await stream.until(b"first")
        await sync_to_async(change_password)(alice, browser)
        await stream.answer()
    over.set()
    async with asyncio.timeout(GUARD):
        await cleaned.wait()
    assert (await User.objects.aget(pk=alice.pk)).last_name == "cleaned"


async def test_a_logout_in_another_browser_ends_no_stream_of_this_one() -> None:
    alice, _, headers = await as_alice()
    elsewhere = Client()
    await sync_to_async(elsewhere.force_login)(alice)
    waits = Endless()
    answer_with(lambda request: EventStreamResponse(waits.events(), user=request.user))
    app = EventStreams(get_asgi_application())
    async with connect(app, "/async/", headers=headers) as stream:
        await stream.until(b"first")
        await sync_to_async(elsewhere.logout)()
        await sync_to_async(deactivate)(await User.objects.acreate(username="bob"), elsewhere)
        answer_with(lambda request: EventStreamResponse(words(), user=request.user))
        async with connect(app, "/async/", headers=headers) as later:
            assert (await later.answer())[2] == WORDS
        assert not waits.ended.is_set()


def elsewhere(act: Callable[[], Any]) -> Any:
    """Do something in a thread of its own, and wait for it."""

    def run() -> Any:
        try:
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


LOGOUT = b'event: bye\ndata: {"reason":"logout","retry_after":'


@pytest.mark.parametrize("where", ["/sync/", "/async/", "/marked/"])
async def test_a_logout_that_races_with_the_view_ends_its_stream(where: str) -> None:
    """The message names no stream yet when it arrives."""
    _, browser, headers = await as_alice()
    waits = Endless()

    def answer(request: HttpRequest) -> EventStreamResponse:
        assert request.user.is_authenticated
        elsewhere(browser.logout)
        return EventStreamResponse(waits.events(), user=request.user)

    answer_with(answer)
    async with connect(EventStreams(get_asgi_application()), where, headers=headers) as stream:
        assert LOGOUT in (await stream.answer())[2]
    await until(lambda: admission.total == 0)


@override_settings(SSE_NOTIFY={"RECHECK_INTERVAL": 0.05})
@pytest.mark.parametrize("where", ["/sync/", "/async/", "/marked/"])
async def test_a_session_that_ends_without_a_word_ends_the_streams_of_views(where: str) -> None:
    _, _, headers = await as_alice()
    waits = Endless()
    answer_with(lambda request: EventStreamResponse(waits.events(), user=request.user))
    async with connect(EventStreams(get_asgi_application()), where, headers=headers) as stream:
        await stream.until(b"first")
        await Session.objects.aupdate(expire_date=timezone.now())
        body = (await stream.answer())[2]
        assert body.startswith(b"data: first\n\n" + LOGOUT)
        assert b"null" not in body, "only the handshake can decide"
    await waits.wait()


@pytest.mark.parametrize("where", ["/sync/", "/async/"])
async def test_a_user_who_came_without_a_session_does_not_depend_on_an_old_cookie(
    where: str,
) -> None:
    """With a token, say. The first stream shows that the cookie is old, if it is not known; clients come back."""
    alice, browser, headers = await as_alice()
    elsewhere(browser.logout)
    waits = [Endless(), Endless()]
    app = EventStreams(get_asgi_application())
    answer_with(lambda request: EventStreamResponse(waits[0].events(), user=alice))
    async with connect(app, where, headers=headers) as stream:
        assert LOGOUT in (await stream.answer())[2]
    answer_with(lambda request: EventStreamResponse(waits[1].events(), user=alice))
    async with connect(app, where, headers=headers) as stream:
        await stream.until(b"first")
        await User.objects.filter(pk=alice.pk).aupdate(is_active=False)
        await sync_to_async(recheck)(alice)
        assert b'{"reason":"revoked","retry_after":null}' in (await stream.answer())[2]


@override_settings(SSE_NOTIFY={"MAX_LIFETIME": 0.2, "RETRY_MS": (100, 200)})
async def test_a_users_stream_has_a_lifetime_and_nobodys_has_none(app: Any) -> None:
    _, _, headers = await as_alice()
    waits, anybodys = Endless(), Endless()
    answer_with(lambda request: EventStreamResponse(anybodys.events()))
    async with connect(app, "/async/", headers=headers) as other:
        await other.until(b"first")
        answer_with(lambda request: EventStreamResponse(waits.events(), user=request.user))
        async with connect(app, "/async/", headers=headers) as stream:
            _, _, body = await stream.answer()
        assert b'event: bye\ndata: {"reason":"lifetime","retry_after":' in body
        assert not anybodys.ended.is_set()
    await waits.wait()
    await until(lambda: admission.total == 0)


async def test_a_users_stream_does_not_wait_for_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its permission is looked at when there is one again."""
    monkeypatch.setattr(hub_module, "RETRY_SECONDS", 0.01)
    alice, browser, headers = await as_alice()
    calls: list[int] = []
    real = get_position

    def failing() -> Any:
        calls.append(1)
        if len(calls) < 3:
            raise OperationalError("away")
        return real()

    monkeypatch.setattr(hub_module, "get_position", failing)
    waits = Endless()
    answer_with(lambda request: EventStreamResponse(waits.events(), user=request.user))
    async with connect(EventStreams(get_asgi_application()), "/async/", headers=headers) as stream:
        await stream.until(b"first")
        await until(lambda: len(calls) == 3)
        await sync_to_async(deactivate)(alice, browser)
        assert b'"revoked"' in (await stream.answer())[2]


# --- without ASGI ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_under_wsgi_it_is_streamed_as_well(kind: str) -> None:
    seen: list[str] = []

    def rows() -> Generator[Any, None, None]:
        try:
            yield "one"
            seen.append("asked for the second")
            yield "two"
        finally:
            seen.append("closed")

    async def arows() -> AsyncIterator[Any]:
        with closing(rows()) as inner:
            for row in inner:
                yield row
                await asyncio.sleep(0)

    def ask() -> Any:
        response: Any = Client().get("/sync/")
        return response, iter(response)

    def read_all() -> None:
        response, parts = ask()
        assert b"".join(parts) == b"data: one\n\ndata: two\n\nevent: done\ndata: {}\n\n"
        response.close()

    def leave() -> None:
        response, parts = ask()
        assert next(parts) == b"data: one\n\n"
        parts.close()
        response.close()

    answer_with(
        lambda request: EventStreamResponse(
            rows() if kind == "sync" else arows(), end=Event({}, event="done")
        )
    )
    await asyncio.to_thread(read_all)
    assert seen == ["asked for the second", "closed"]
    await asyncio.to_thread(leave)
    assert seen[-1] == "closed"
    assert admission.total == 0


async def test_queries_of_an_iterator_leave_no_connection_open() -> None:
    """What it does with ``sync_to_async`` has a thread of its own, which ends with it."""
    inside: list[Any] = []
    held = executors()

    async def queries() -> AsyncIterator[Any]:
        yield len([user async for user in User.objects.all()])
        inside.append(await sync_to_async(lambda: connections["default"].connection)())

    answer_with(lambda request: EventStreamResponse(queries()))
    async with connect(EventStreams(get_asgi_application()), "/async/") as stream:
        assert (await stream.answer())[2] == b"data: 0\n\n"
    assert inside != [None]
    if connection.vendor == "postgresql":
        assert inside[0].closed
    elif connection.vendor == "mysql":
        assert not inside[0].open
    else:  # Django never closes one to a database in memory, and Python 3.13 tells of it
        inside[0].close()
    assert executors() <= held
