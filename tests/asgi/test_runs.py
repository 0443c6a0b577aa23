"""Runs: what a client gets who comes late, leaves, comes back, or may not read; and how a run ends."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.db import connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path

from sse_notify import Event
from sse_notify.asgi.app import EventStreams
from sse_notify.bus import publisher
from sse_notify.contrib.runs import Run, RunEnded, RunExists, State, desks, run_ended
from sse_notify.contrib.runs.blocks import events_of
from sse_notify.contrib.runs.models import Part
from sse_notify.contrib.runs.writing import writer
from sse_notify.revocation import disconnect
from sse_notify.streaming.limits import admission
from tests.asgi.client import GUARD, connect, cookies_of, until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio,
    pytest.mark.urls(__name__),
]

KEY = "chat:1"
T = TypeVar("T")


class Words:
    """An async iterator that says a word for each that a test gives it, and how it was closed."""

    def __init__(self) -> None:
        self.given: deque[Any] = deque()
        self.closed = threading.Event()
        self.how = ""
        self._news: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def say(self, *words: Any) -> None:
        self.given.extend(words)
        if self._news is not None:
            loop, news = self._news
            loop.call_soon_threadsafe(news.set)

    def finish(self) -> None:
        self.say(None)

    async def __aiter__(self) -> AsyncIterator[Any]:
        news = asyncio.Event()
        self._news = (asyncio.get_running_loop(), news)  # that of whoever drives it
        try:
            while True:
                while not self.given:
                    news.clear()
                    if not self.given:
                        await news.wait()
                word = self.given.popleft()
                if isinstance(word, BaseException):
                    raise word
                if word is None:
                    return
                yield word
        except BaseException as error:
            self.how = type(error).__name__
            raise
        finally:
            self.closed.set()


#: What the view of the test at hand starts, and with which options.
asked: dict[str, Any] = {}


async def start(request: HttpRequest) -> HttpResponseBase:
    user = await request.auser()
    run: Run = await Run.astart(asked["source"], user=user, key=KEY, **asked.get("options", {}))
    return run.response()


def start_in_sync(request: HttpRequest) -> HttpResponseBase:
    options = asked.get("options", {})
    return Run.start(asked["source"], user=request.user, key=KEY, **options).response()


def resume(request: HttpRequest) -> HttpResponseBase:
    return Run.response_for(request, asked.get("key", KEY), **asked.get("reading", {}))


urlpatterns = [path("start/", start), path("sync/", start_in_sync), path("resume/", resume)]


@pytest.fixture(params=["wrapped", "inside Django"])
def app(request: pytest.FixtureRequest) -> Any:
    inner = get_asgi_application()
    return EventStreams(inner) if request.param == "wrapped" else inner


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    asked.clear()
    yield
    for feed in list(writer._feeds.values()):
        feed.end(State.INTERRUPTED)
        assert feed.over.wait(GUARD)


async def alice() -> tuple[User, dict[str, str]]:
    user = await User.objects.acreate(username="alice")
    return user, await cookies_of(user)


def numbers(body: bytes) -> list[int]:
    """Return the numbers of all events of a stream."""
    return [int(str(event.id).partition("-")[2]) for event in received(body)]


def received(body: bytes) -> list[Event]:
    blocks = body.replace(b":\n", b"").split(b"retry: ")[0]
    return events_of(blocks) if blocks else []


async def told(look: Callable[[], Awaitable[T]]) -> T:
    """Look again after each message about runs, until what is found is true; return it."""
    news = asyncio.Event()

    def hear(_: object) -> None:
        news.set()

    publisher.attach(hear)
    try:
        async with asyncio.timeout(GUARD):
            while not (found := await look()):
                await news.wait()
                news.clear()
            return found
    finally:
        publisher.detach(hear)


async def ended(key: str = KEY) -> Run:
    """Wait until the newest run has ended, and return it."""

    async def look() -> Run | None:
        newest: Run | None = await Run.objects.filter(key=key).order_by("-pk").afirst()
        return None if newest is None or newest.is_running else newest

    run = await told(look)
    assert run is not None
    return run


def in_thread(function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
    """Call ``function`` in a thread whose connections are closed then."""
    return asyncio.ensure_future(asyncio.to_thread(and_close, function, *args))


def and_close(function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function``, and close the connections of this thread."""
    try:
        return function(*args)
    finally:
        connections.close_all()


@pytest.mark.parametrize("where", ["/start/", "/sync/"])
async def test_a_run_is_read_from_its_beginning_and_live_and_ends_with_done(
    app: Any, where: str
) -> None:
    user, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, where, headers=headers) as stream:
        words.say("one", {"word": "two"})
        await stream.until(b"two")
        words.say(Event("three", event="last"))
        words.finish()
        status, sent, body = await stream.answer()
    assert (status, sent["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert [(each.event, each.data) for each in received(body)] == [
        ("message", "one"),
        ("message", '{"word":"two"}'),
        ("last", "three"),
        ("done", '{"state":"done"}'),
    ]
    run = await ended()
    assert numbers(body) == [1, 2, 3, 4]
    assert received(body)[0].id == f"{run.pk}-1"
    assert (run.state, run.user_id, run.key, run.running_key) == ("done", user.pk, KEY, None)
    assert words.closed.is_set()
    await until(lambda: admission.total == 0)


async def test_a_run_goes_on_without_its_client_and_is_whole_for_the_next(app: Any) -> None:
    _, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
    words.say("two")
    async with connect(app, "/resume/", headers=headers) as second:
        await second.until(b"two")
        words.say("three")
        await second.until(b"three")
        async with connect(app, "/resume/", headers=headers) as third:
            await third.until(b"three")
            words.finish()
            bodies = [(await each.answer())[2] for each in (second, third)]
    assert [numbers(body) for body in bodies] == [[1, 2, 3, 4]] * 2
    async with connect(app, "/resume/", headers=headers) as late:
        assert numbers((await late.answer())[2]) == [1, 2, 3, 4]


@pytest.mark.parametrize("how", ["header", "query", "number"])
@pytest.mark.parametrize("after", [0, 1, 31, 32, 33, 64, 69, 70])
async def test_a_client_gets_what_comes_after_the_last_event_that_it_has(
    app: Any, after: int, how: str
) -> None:
    _, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say(*(f"word {number}" for number in range(1, 71)))
        await stream.until(b"word 70\n")
        run = await Run.objects.aget()
        given: dict[str, Any] = {"headers": headers}
        if how == "header":
            given["headers"] = {**headers, "last-event-id": f"{run.pk}-{after}"}
        else:
            given["query"] = f"after={run.pk}-{after}" if how == "query" else f"after={after}"
        async with connect(app, "/resume/", **given) as other:
            words.say("word 71")
            await other.until(b"word 71")
            words.finish()
            body = (await other.answer())[2]
    assert numbers(body) == list(range(after + 1, 73))


async def test_a_client_that_names_a_run_that_is_gone_gets_the_newest_from_its_beginning(
    app: Any,
) -> None:
    _, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        words.finish()
        await stream.answer()
    run = await Run.objects.aget()
    for named, expected in ((f"{run.pk + 1}-1", [1, 2]), (f"00{run.pk}-1", [2])):
        async with connect(app, "/resume/", query=f"after={named}", headers=headers) as other:
            assert numbers((await other.answer())[2]) == expected


async def test_who_has_everything_of_an_ended_run_is_told_that_there_is_nothing(app: Any) -> None:
    _, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        words.finish()
        last = received((await stream.answer())[2])[-1].id
    for given in ({"headers": {**headers, "last-event-id": last}}, {"query": f"after={last}"}):
        async with connect(app, "/resume/", **{"headers": headers, **given}) as stream:
            assert (await stream.answer())[0] == 204


@pytest.mark.parametrize("given", ["x", "1-", "-1", "1-x", "1-2-3", "1 2", "9" * 30, "٣"])
async def test_a_malformed_id_is_refused_by_name(app: Any, given: str) -> None:
    _, headers = await alice()

    async with connect(app, "/resume/", query=f"after={quote(given)}", headers=headers) as stream:
        status, _, body = await stream.answer()
    assert (status, body["error"]) == (400, "malformed")
    assert "after" in body["message"]


async def test_who_may_not_read_gets_exactly_what_is_answered_when_there_is_none(app: Any) -> None:
    user, headers = await alice()
    bob = await User.objects.acreate(username="bob")
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
        run = await Run.objects.aget()
        answers = []
        readings: list[Any] = [{}, {"owner": user}, {"owner": user, "can_read": lambda *_: False}]
        for reading in readings:
            for query in ("", f"after={run.pk}-0", "after=0"):
                asked["reading"] = reading
                async with connect(
                    app, "/resume/", query=query, headers=await cookies_of(bob)
                ) as other:
                    answers.append(await other.answer())
        asked["reading"] = {}
        async with connect(app, "/resume/") as visitor:
            answers.append(await visitor.answer())
        await Run.objects.aget()
    for _, sent, _ in answers:
        sent.pop("vary", None)
    assert all(answer == answers[0] for answer in answers), answers
    assert answers[0][0] == 204


async def test_others_read_as_long_as_the_project_lets_them(
    app: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    user, headers = await alice()
    bob = await User.objects.acreate(username="bob")
    may = {bob.pk}
    asked["reading"] = {
        "owner": user,
        "can_read": lambda who, run: who.pk in may and run.key == KEY,
    }
    settings.SSE_NOTIFY = {"RECHECK_INTERVAL": 0.05, "POLL_INTERVAL": 0.05}
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
        async with connect(app, "/resume/", headers=await cookies_of(bob)) as other:
            await other.until(b"one")
            may.clear()
            assert numbers((await other.answer())[2]) == [1]
        words.say("two")
        await stream.until(b"two")


async def test_a_reader_that_comes_during_a_look_is_not_taken_for_one_of_a_run_that_is_gone(
    app: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.SSE_NOTIFY = {"POLL_INTERVAL": 0.05}
    user, headers = await alice()
    looks, goes_on = threading.Event(), threading.Event()
    newest = desks._newest

    def wait(pks: list[int]) -> dict[int, int]:
        found: dict[int, int] = newest(pks)
        looks.set()
        assert goes_on.wait(GUARD)
        return found

    words = asked["source"] = Words()
    other = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
        monkeypatch.setattr(desks, "_newest", wait)
        assert await asyncio.to_thread(looks.wait, GUARD)
        run = await Run.astart(other, user=user, key="other")
        asked["key"] = "other"
        async with connect(app, "/resume/", headers=headers) as late:
            other.say("two")
            await late.until(b"two")
            goes_on.set()
            monkeypatch.setattr(desks, "_newest", newest)
            other.say("three")
            await late.until(b"three")
            other.finish()
            assert numbers((await late.answer())[2]) == [1, 2, 3]
    assert (await ended("other")).pk == run.pk


# --- one writer ---


async def test_a_second_start_under_a_running_key_starts_nothing(app: Any) -> None:
    _, headers = await alice()
    first, second = Words(), Words()
    asked["source"] = first
    async with connect(app, "/start/", headers=headers) as stream:
        first.say("one")
        await stream.until(b"one")
        asked["source"] = second
        async with connect(app, "/start/", headers=headers) as again:
            await again.until(b"one")
            first.finish()
            bodies = [(await each.answer())[2] for each in (stream, again)]
    assert numbers(bodies[0]) == numbers(bodies[1]) == [1, 2]
    assert await Run.objects.acount() == 1
    assert second.how == ""


async def test_two_that_start_at_once_start_one(app: Any) -> None:
    user, _ = await alice()
    sources = [Words() for _ in range(8)]
    runs = await asyncio.gather(
        *(in_thread(partial(Run.start, source, user=user, key=KEY)) for source in sources)
    )
    assert len({run.pk for run in runs}) == 1
    await Run.astop(user, KEY)


async def test_who_was_replaced_writes_nothing_more(app: Any) -> None:
    user, headers = await alice()
    first, second = Words(), Words()
    asked["source"] = first
    async with connect(app, "/start/", headers=headers) as stream:
        first.say("one")
        await stream.until(b"one")
        old = await Run.objects.aget()
        await Run.astart(second, user=user, key=KEY, replace=True)
        first.say("too late")
        body = (await stream.answer())[2]
    assert [each.event for each in received(body)] == ["message", "stopped"]
    assert await asyncio.to_thread(first.closed.wait, GUARD)
    await old.arefresh_from_db()
    assert (old.state, old.reason, await old.atext()) == ("stopped", "replaced", "one")
    async with connect(app, "/resume/", query=f"after={old.pk}-1", headers=headers) as rest:
        assert [each.event for each in received((await rest.answer())[2])] == ["stopped"]
    async with connect(app, "/resume/", query=f"after={old.pk}-2", headers=headers) as newer:
        second.say("new")
        assert b"new" in await newer.until(b"new")


# --- the ends ---


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_stop_closes_the_iterator_where_it_waits(
    app: Any, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
        if where == "elsewhere":  # another process knows of no feed
            monkeypatch.setattr(writer, "get", lambda pk: None)
        assert await Run.astop(user, KEY) is True
        body = (await stream.answer())[2]
        assert await asyncio.to_thread(words.closed.wait, GUARD)
    assert received(body)[-1].data == '{"state":"stopped"}'
    assert words.how in ("CancelledError", "GeneratorExit")
    assert (await ended()).state == State.STOPPED
    assert await Run.astop(user, KEY) is False
    async with connect(app, "/resume/", headers=headers) as late:
        assert numbers((await late.answer())[2]) == [1, 2]


async def test_what_an_iterator_raises_is_logged_and_told_without_the_cause(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one", ValueError("a secret"))
        body = (await stream.answer())[2]
    assert b"secret" not in body
    assert (received(body)[-1].event, (await ended()).state) == ("failed", "failed")
    assert "a secret" in caplog.text


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), StopAsyncIteration()])
async def test_a_run_whose_iterator_raises_what_ends_loops_has_failed(
    app: Any, error: BaseException
) -> None:
    _, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one", error)
        body = (await stream.answer())[2]
    assert received(body)[-1].event == "failed"


@pytest.mark.parametrize(
    ("options", "state", "reason"),
    [
        ({"max_bytes": 400}, "failed", "max_bytes"),
        ({"max_seconds": 1}, "failed", "max_seconds"),
        ({"stalls_after": 1}, "stalled", ""),
    ],
)
async def test_limits_end_a_run(app: Any, options: Any, state: str, reason: str) -> None:
    _, headers = await alice()
    asked["options"] = options
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one", *(["x" * 300] * 2 if "max_bytes" in options else []))
        body = (await stream.answer())[2]
    run = await ended()
    assert (received(body)[-1].event, run.state, run.reason) == (state, state, reason)
    assert await asyncio.to_thread(words.closed.wait, GUARD)


async def test_ends_are_what_the_project_says(app: Any) -> None:
    _, headers = await alice()
    asked["options"] = {"end": "[DONE]", "ends": {"stopped": Event({"type": "abort"}, event="x")}}
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.finish()
        assert (await stream.answer())[2].startswith(b"data: [DONE]\nid: ")
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
        await Run.astop(await User.objects.aget(), KEY)
        last = received((await stream.answer())[2])[-1]
    assert (last.event, last.data) == ("x", '{"type":"abort"}')


async def test_a_run_whose_owner_is_deleted_ends_and_is_gone(app: Any) -> None:
    user, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
        await user.adelete()
        await stream.answer()
        assert await asyncio.to_thread(words.closed.wait, GUARD)
    assert await Run.objects.acount() == await Part.objects.acount() == 0


async def test_a_logout_ends_the_readers_and_not_the_run(app: Any) -> None:
    user, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
        await sync_to_async(disconnect)(user)
        await stream.answer()
    words.say("two")
    words.finish()
    run = await ended()
    assert (run.state, await run.atext()) == ("done", "onetwo")


async def test_a_run_that_is_started_while_the_process_shuts_down_is_interrupted(
    app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, headers = await alice()
    monkeypatch.setattr(writer, "is_draining", True)
    words = asked["source"] = Words()
    words.say("one")
    async with connect(app, "/start/", headers=headers) as stream:
        body = (await stream.answer())[2]
    assert [each.event for each in received(body)] == ["interrupted"]
    assert words.how == ""


@pytest.mark.parametrize("state", ["done", "failed", "stopped", "stalled"])
async def test_every_end_is_told_once_with_all_that_was_written(app: Any, state: str) -> None:
    user, headers = await alice()
    heard: list[tuple[str, str, str]] = []

    def hear(run: Run, **_: Any) -> None:
        heard.append((run.state, run.text(), run.user.get_username()))
        raise ValueError("must harm nobody")

    asked["options"] = {"stalls_after": 1} if state == "stalled" else {}
    words = asked["source"] = Words()
    run_ended.connect(hear)
    try:
        async with connect(app, "/start/", headers=headers) as stream:
            words.say("one", "two")
            await stream.until(b"two")
            if state == "stopped":
                await Run.astop(user, KEY)
            elif state != "stalled":
                words.say(*([ValueError("x")] if state == "failed" else [None]))
            await stream.answer()
        await until(lambda: not writer._feeds)
    finally:
        run_ended.disconnect(hear)
    assert heard == [(state, "onetwo", "alice")]


# --- synchronous iterators, workers ---


@pytest.mark.parametrize("where", ["/start/", "/sync/"])
async def test_a_synchronous_iterator_has_a_thread_of_its_own(app: Any, where: str) -> None:
    _, headers = await alice()
    goes_on = threading.Event()
    names = []

    def words() -> Iterator[Any]:
        names.append(threading.current_thread().name)
        yield f"{User.objects.count()} user"
        assert goes_on.wait(GUARD)
        yield "two"

    asked["source"] = words()
    async with connect(app, where, headers=headers) as stream:
        await stream.until(b"1 user")
    goes_on.set()
    run = await ended()
    assert await run.atext() == "1 usertwo"
    assert names == [f"sse_notify-run-{run.pk}"]


async def test_a_worker_writes_a_run_itself(app: Any) -> None:
    user, headers = await alice()
    written, goes_on = threading.Event(), threading.Event()

    def work() -> None:
        with Run.open(user=user, key=KEY) as run:
            run.write({"word": "one"})
            written.set()
            assert goes_on.wait(GUARD)
            run.write({"word": "two"})

    task = in_thread(work)
    assert await asyncio.to_thread(written.wait, GUARD)
    async with connect(app, "/resume/", headers=headers) as stream:
        await stream.until(b"one")
        goes_on.set()
        body = (await stream.answer())[2]
    await task
    assert numbers(body) == [1, 2, 3]
    assert await (await ended()).atext("word") == "onetwo"


async def test_a_worker_hears_that_its_run_was_stopped(app: Any) -> None:
    user, _ = await alice()
    after = []

    async with Run.open(user=user, key=KEY) as run:
        with pytest.raises(RunExists):
            async with Run.open(user=user, key=KEY):
                pass
        await run.awrite("one")
        await Run.astop(user, KEY)
        while await Run.objects.acount():  # for ever
            await run.awrite("more")
        after.append("never")
    assert after == []
    assert (await ended()).state == State.STOPPED
    with pytest.raises(RunEnded):
        await run.awrite("late")


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_an_async_worker_is_cancelled_where_it_waits_when_its_run_is_stopped(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, _ = await alice()
    waits, how = asyncio.Event(), []
    if where == "elsewhere":
        monkeypatch.setattr(writer, "get", lambda pk: None)

    async def work() -> str:
        async with Run.open(user=user, key=KEY) as run:
            await run.awrite("one")
            waits.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                how.append("cancelled")
                raise
        await asyncio.sleep(0)  # whoever goes on after the block is not cancelled
        return "goes on"

    task = asyncio.ensure_future(work())
    await waits.wait()
    await Run.astop(user, KEY)
    async with asyncio.timeout(GUARD):
        assert await task == "goes on"
    assert (how, task.cancelling()) == (["cancelled"], 0)
    assert (await ended()).state == State.STOPPED


async def test_an_async_worker_that_is_cancelled_by_its_own_program_stays_cancelled() -> None:
    user, _ = await alice()
    waits = asyncio.Event()

    async def work() -> None:
        async with Run.open(user=user, key=KEY) as run:
            await run.awrite("one")
            waits.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await ended()).state == State.INTERRUPTED


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ValueError("x"), "failed"),
        (asyncio.CancelledError(), "interrupted"),
        (SystemExit(), "interrupted"),
    ],
)
async def test_a_block_that_raises_ends_its_run(error: BaseException, state: str) -> None:
    user, _ = await alice()

    def work() -> None:
        with Run.open(user=user, key=KEY) as run:
            run.write("one")
            raise error

    with pytest.raises(type(error)):
        await asyncio.wrap_future(_run(work))
    run = await ended()
    assert (run.state, await run.atext()) == (state, "one")


def _run(work: Callable[[], Any]) -> Any:
    from concurrent.futures import Future

    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(and_close(work))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call).start()
    return future


async def test_a_thousand_words_cost_few_writes(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    user, _ = await alice()

    def work() -> None:
        with Run.open(user=user, key=KEY) as run:
            for number in range(1000):
                run.write({"word": number})

    await in_thread(work)
    assert await Part.objects.acount() <= 40
    assert len(await (await ended()).aevents()) == 1000
