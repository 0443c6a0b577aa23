"""Faults of runs in one process: messages that are forged, answers that are lost, iterators and functions that misbehave, races."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.utils.functional import SimpleLazyObject

from sse_notify.asgi.app import EventStreams
from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
from sse_notify.contrib.runs import Run, State, blocks, feeds, storing, writing
from sse_notify.contrib.runs.blocks import Appended
from sse_notify.contrib.runs.models import Part
from sse_notify.contrib.runs.writing import writer
from sse_notify.streaming import registry
from sse_notify.topics import RUNS
from tests.asgi.client import GUARD, connect, cookies_of, until
from tests.asgi.test_runs import (
    KEY,
    Words,
    alice,
    asked,
    ended,
    in_thread,
    nothing_goes_on,
    numbers,
    told,
)

__all__ = ["nothing_goes_on"]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio,
    pytest.mark.urls("tests.asgi.test_runs"),
]


@pytest.fixture
def app() -> Any:
    return EventStreams(get_asgi_application())


# --- what other processes tell ---


@pytest.mark.parametrize(
    "head",
    [
        "no JSON",
        "1",
        "[1]",
        "[[]]",
        "[[PK,1,2,0]]",
        "[[PK,null,2,0,4]]",
        '[["x",1,2,0,4]]',
        "[[[1],1,2,0,4]]",
        "[[PK,1e999,2,0,4]]",
        "[[PK,NaN,2,0,4]]",
        "[[PK,2,2,0,3]]",  # no block
        "[[PK,2,999999999,0,9]]",
        "[[PK,2,999999999,1,9]]",
        "[[PK,2,999999999,0,-1]]",
        "[[PK,-5,-1,0,-1]]",
        "[[PK,2,1,1,0]]",
        "[[PK,99,99,1,9]]",
    ],
)
async def test_forged_messages_break_no_reader(app: Any, head: str) -> None:
    _, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
        run = await Run.objects.aget()
        hub = registry._hubs[asyncio.get_running_loop()]
        frame = head.replace("PK", str(run.pk)).encode() + b"\ndata: x\n\n"
        publisher._call(hub.receive, Ephemeral(RUNS, frame))  # as the layer's
        for word in ("two", "three"):
            words.say(word)
            await stream.until(word.encode())
        words.finish()
        assert numbers((await stream.answer())[2]) == [1, 2, 3, 4]


async def test_messages_twice_and_in_the_wrong_order_repeat_nothing(app: Any) -> None:
    _, headers = await alice()
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one", "two")
        await stream.until(b"two")
        run = await Run.objects.aget()
        block = b"data: again\nid: %d-%d\n\n"
        hub = registry._hubs[asyncio.get_running_loop()]
        for number in (2, 1, 2):
            part = Appended(run.pk, number, number, block % (run.pk, number))
            rung: list[Ephemeral] = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(publisher, "ring", rung.append)
                blocks.tell([part])
            hub.receive(rung[0])
        words.say("three")
        words.finish()
        body = (await stream.answer())[2]
    assert numbers(body) == [1, 2, 3, 4]
    assert b"again" not in body


# --- readers ---


async def test_a_reader_who_comes_while_the_desk_looks_goes_on(app: Any) -> None:
    """The answer of the database says nothing of a run that was not asked for, and so seemed to be gone."""
    user, headers = await alice()
    words, others = Words(), Words()
    asked["source"] = words
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
        (desk,) = registry._hubs[asyncio.get_running_loop()].listeners(RUNS)
        looks, goes_on = asyncio.Event(), asyncio.Event()
        run = desk._hub.run  # type: ignore[attr-defined]

        async def run_later(function: Any, *args: Any) -> Any:
            found = await run(function, *args)
            looks.set()
            await goes_on.wait()
            return found

        desk._hub.run = run_later  # type: ignore[attr-defined]
        look = asyncio.ensure_future(desk._look())  # type: ignore[attr-defined]
        await looks.wait()
        other = await Run.astart(others, user=user, key="other")
        read = other.response()
        body = aiter(read)
        others.say("two")
        chunk = b""
        while b"two" not in chunk:
            chunk += await anext(body)
        goes_on.set()
        await look
        desk._hub.run = run  # type: ignore[attr-defined]
        others.say("three")
        while b"three" not in chunk:
            chunk += await anext(body)
        read.close()


async def test_a_function_of_the_project_that_fails_ends_its_reader_alone(
    app: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    user, headers = await alice()
    bob, carol = [await User.objects.acreate(username=name) for name in ("bob", "carol")]
    fails = threading.Event()

    def can_read(reader: Any, run: Run) -> bool:
        if fails.is_set() and reader.username == "bob":
            raise LookupError("a secret")
        return not (fails.is_set() and reader.username == "carol")

    asked["reading"] = {"owner": user, "can_read": can_read}
    settings.SSE_NOTIFY = {"RECHECK_INTERVAL": 0.05, "POLL_INTERVAL": 0.05}
    words = asked["source"] = Words()
    async with connect(app, "/start/", headers=headers) as stream:
        words.say("one")
        await stream.until(b"one")
        async with (
            connect(app, "/resume/", headers=await cookies_of(bob)) as second,
            connect(app, "/resume/", headers=await cookies_of(carol)) as third,
        ):
            for each in (second, third):
                await each.until(b"one")
            fails.set()
            for each in (second, third):
                assert numbers((await each.answer())[2]) == [1]
        words.say("two")
        await stream.until(b"two")
    assert "a secret" in caplog.text


# --- the iterator ---


async def test_a_run_that_has_ended_keeps_no_thread_for_the_queries_of_its_iterator(
    app: Any,
) -> None:
    """The end of the run cancelled its own task, which released the thread at this moment."""
    user, _ = await alice()

    async def words() -> AsyncIterator[str]:
        yield f"{await User.objects.acount()}"

    before = set(SyncToAsync.context_to_thread_executor)
    for number in range(5):
        await Run.astart(words(), user=user, key=f"k{number}")
    for number in range(5):
        assert (await ended(f"k{number}")).state == "done"
    await until(lambda: set(SyncToAsync.context_to_thread_executor) <= before)
    await until(lambda: not _driving())


def _driving() -> set[Any]:
    from sse_notify.contrib.runs import driving

    return driving._tasks


async def test_an_iterator_beyond_a_limit_cleans_up_undisturbed(app: Any) -> None:
    user, _ = await alice()
    how = []

    async def words() -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 300
        finally:
            try:
                for _ in range(100):
                    await asyncio.sleep(0)
                how.append("cleaned up")
            except BaseException as error:
                how.append(repr(error))
                raise

    await Run.astart(words(), user=user, key=KEY, max_bytes=1000)
    run = await ended()
    assert (run.state, run.reason) == ("failed", "max_bytes")
    await until(lambda: how)
    assert how == ["cleaned up"]


async def test_an_event_that_comes_while_the_writer_looks_what_is_due_is_stored_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever said it saw a writer at work, and did not wake it; the writer had asked this run before, and waited for a second."""
    user, _ = await alice()
    monkeypatch.setattr(writing, "LOOK_SECONDS", 2 * GUARD)
    was_late: list[feeds.Feed] = []
    due = feeds.Feed.due

    def due_and_then_comes_another(feed: feeds.Feed) -> float:
        found = due(feed)
        is_asked = writer._news._is_owned() and writer._looked_at > 0  # type: ignore[attr-defined]
        if is_asked and found == float("inf") and not was_late:
            was_late.append(feed)
            feed.add("late")
        return found

    monkeypatch.setattr(feeds.Feed, "due", due_and_then_comes_another)
    async with Run.open(user=user, key=KEY) as run:
        await told(run.aevents)
    assert was_late


# --- the database ---


async def test_a_run_continues_after_a_commit_whose_answer_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The writer found its own part, took it for somebody else's, and left a run that went on for ever."""
    user, _ = await alice()
    append = storing.append
    lost: list[Any] = []

    def lose_the_answer(parts: Any) -> set[int]:
        refused = append(parts)
        if len(lost) < 2:
            lost.append(parts)
            raise OperationalError("the connection is lost")
        return refused

    monkeypatch.setattr(storing, "append", lose_the_answer)
    monkeypatch.setattr(writing, "LOOK_SECONDS", 0.01)

    def work() -> None:
        with Run.open(user=user, key=KEY) as run:
            for number in range(100):
                run.write({"word": number})

    await in_thread(work)
    run = await ended()
    assert run.state == "done"
    assert [event.id for event in await run.aevents()] == [f"{run.pk}-{n}" for n in range(1, 101)]


async def test_after_a_refused_part_the_next_are_refused_too() -> None:
    """A number behind the end was free, so a part came after it."""
    user, _ = await alice()
    run = (await in_thread(storing.begin, storing.plan(user=user, key=KEY)))[0]
    other = (await in_thread(storing.begin, storing.plan(user=user, key="other")))[0]
    assert await Run.astop(user, KEY)
    parts = [
        Appended(pk, first, first + 31, b"data: x\n\n" * 32)
        for pk in (run.pk, other.pk)
        for first in (1, 33)
    ]
    assert await in_thread(storing.append, parts) == {run.pk}
    found = [part async for part in Part.objects.order_by("run", "first")]
    assert [(part.run_id, part.first) for part in found] == [
        (run.pk, 1),
        (other.pk, 1),
        (other.pk, 33),
    ]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_run_whose_database_stays_away_fails_and_closes_its_iterator(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    user, _ = await alice()
    monkeypatch.setattr(feeds, "AWAY_SECONDS", 0.3)
    monkeypatch.setattr(writing, "LOOK_SECONDS", 0.01)
    is_back, closed = threading.Event(), threading.Event()
    insert = storing._insert

    def fail(parts: Any, using: str) -> None:
        if not is_back.is_set():
            raise OperationalError("the server is gone")
        insert(parts, using)

    monkeypatch.setattr(storing, "_insert", fail)

    async def words() -> AsyncIterator[Any]:
        try:
            while True:
                yield "word"
        finally:
            closed.set()

    def words_in_sync() -> Iterator[Any]:
        try:
            while True:
                yield "word"
        finally:
            closed.set()

    await Run.astart(words() if kind == "async" else words_in_sync(), user=user, key=KEY)
    (feed,) = writer._feeds.values()
    assert await asyncio.to_thread(closed.wait, GUARD)
    assert len(feed.waiting) <= feeds.ROOM_EVENTS
    is_back.set()
    run = await ended()
    assert (run.state, run.reason) == ("failed", "database")
    assert len(await run.aevents()) == feeds.ROOM_EVENTS


async def test_a_process_forgets_a_run_whose_end_cannot_be_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, _ = await alice()
    monkeypatch.setattr(feeds, "AWAY_SECONDS", 0.1)
    monkeypatch.setattr(writing, "LOOK_SECONDS", 0.01)

    def fail(*_: Any) -> None:
        raise DatabaseError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(storing, "_insert", fail)

        def work() -> None:
            with Run.open(user=user, key=KEY) as run:
                run.write("one")

        await in_thread(work)
        await until(lambda: not writer._feeds)
    run = await Run.objects.aget()
    assert run.is_running  # until others find that it is silent
    await Run.objects.aupdate(stalls_after=0, started_at="2000-01-01T00:00Z")
    assert await in_thread(storing.stalled) == [run.pk]


async def test_requests_whose_users_are_loaded_late_start_one_at_once() -> None:
    user, _ = await alice()
    sources = [Words() for _ in range(8)]
    lazy = [SimpleLazyObject(lambda: User.objects.get(pk=user.pk)) for _ in sources]

    def start(source: Words, owner: Any) -> Run:
        return Run.start(source, user=owner, key=KEY)

    runs = await asyncio.gather(
        *(in_thread(start, source, owner) for source, owner in zip(sources, lazy, strict=True))
    )
    assert len({run.pk for run in runs}) == 1


async def test_a_storm_of_starts_that_replace_leaves_one_run(app: Any) -> None:
    user, _ = await alice()
    sources = [Words() for _ in range(12)]
    for source in sources:
        source.say("one")

    def start(source: Words) -> Run:
        return Run.start(source, user=user, key=KEY, replace=True)

    runs = await asyncio.gather(*(in_thread(start, source) for source in sources))
    assert len({run.pk for run in runs}) == len(sources)
    assert await Run.objects.filter(state=State.RUNNING).acount() == 1
    last = await Run.objects.aget(state=State.RUNNING)
    await until(lambda: set(writer._feeds) <= {last.pk})
    for run in runs:
        found = [part async for part in Part.objects.filter(run=run).order_by("first")]
        firsts = [part.first for part in found]
        assert firsts == [1, *(part.last + 1 for part in found[:-1])][: len(found)]
        assert [part.is_end for part in found].count(True) == (run.pk != last.pk)


async def test_what_a_transaction_that_is_rolled_back_starts_leaves_nothing() -> None:
    user, _ = await alice()
    source = Words()

    def start() -> None:
        with transaction.atomic():
            Run.start(source, user=user, key=KEY)
            raise LookupError

    with pytest.raises(LookupError):
        await in_thread(start)
    assert await Run.objects.acount() == 0
    assert not writer._feeds
    assert source._news is None


@pytest.mark.server
@pytest.mark.parametrize("commits", [True, False])
async def test_a_stop_in_a_transaction_holds_up_nobody_and_counts_from_its_commit(
    commits: bool,
) -> None:
    """The writer waited for the end of that transaction, and with it all runs of its process."""
    user, _ = await alice()
    words, others = Words(), Words()
    await Run.astart(words, user=user, key=KEY)
    await Run.astart(others, user=user, key="other")
    stopped, goes_on = threading.Event(), threading.Event()

    def stop() -> None:
        with transaction.atomic():
            assert Run.stop(user, KEY)
            stopped.set()
            assert goes_on.wait(GUARD)
            transaction.set_rollback(not commits)

    stopping = in_thread(stop)
    assert await asyncio.to_thread(stopped.wait, GUARD)
    words.say("one")
    others.say("two")
    await told(Part.objects.order_by("pk")[1:].aexists)
    goes_on.set()
    await stopping
    words.finish()
    run = await ended()
    assert (run.state, await run.atext()) == ("stopped" if commits else "done", "one")


async def test_a_start_that_the_shutdown_overtakes_leaves_an_interrupted_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, _ = await alice()

    def start() -> None:
        with transaction.atomic():
            Run.start(Words(), user=user, key=KEY)
            monkeypatch.setattr(writer, "is_draining", True)

    await in_thread(start)
    assert (await ended()).state == "interrupted"


@pytest.mark.server
async def test_owners_are_deleted_while_their_runs_write() -> None:
    """A part that came after the deletion of the others, and before that of its run, failed the deletion of the user."""
    for number in range(15):
        user = await User.objects.acreate(username=f"user{number}")

        def work(owner: User = user) -> None:
            with Run.open(user=owner, key=KEY) as run:
                while True:
                    run.write("x")
                    if len(run._writing()._feed.waiting) % 5 == 0:
                        writer.wake(0.0)

        writing_it = in_thread(work)
        await until(lambda: any(feed.number > 100 for feed in writer._feeds.values()))
        await in_thread(user.delete)
        await writing_it
        assert await Run.objects.acount() == await Part.objects.acount() == 0


@pytest.mark.postgres
async def test_a_start_that_cannot_see_the_other_gives_up() -> None:
    """It tried for ever, in a transaction that sees only what was there before."""
    user, _ = await alice()

    def start() -> None:
        with transaction.atomic(), connections["default"].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            assert not Run.objects.exists()
            with asyncio.Runner() as runner:
                runner.run(asyncio.wait_for(in_loop(), GUARD))
            Run.start([], user=user, key=KEY)

    async def in_loop() -> None:
        await in_thread(storing.begin, storing.plan(user=user, key=KEY))

    with pytest.raises((IntegrityError, OperationalError)):
        await in_thread(start)


async def test_an_async_worker_waits_for_its_end_without_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It held the one thread that async code shares, and so everybody's queries."""
    user, _ = await alice()
    begun, goes_on = threading.Event(), threading.Event()
    finish = storing.finish

    def wait(*args: Any) -> bool:
        begun.set()
        assert goes_on.wait(GUARD)
        return finish(*args)

    monkeypatch.setattr(storing, "finish", wait)

    async def work() -> None:
        async with Run.open(user=user, key=KEY) as run:
            await run.awrite("one")

    working = asyncio.ensure_future(work())
    assert await asyncio.to_thread(begun.wait, GUARD)
    async with asyncio.timeout(GUARD):
        assert (await Run.objects.aget()).is_running
    assert not working.done()
    goes_on.set()
    await working
    assert not (await Run.objects.aget()).is_running
