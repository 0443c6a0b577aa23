"""The pools: bounded, tidy, and without a new connection for each piece of work in a storm."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, close_old_connections, connections
from django.db.backends.signals import connection_created
from django.test.utils import CaptureQueriesContext

from sse_notify.concurrency import threadpool
from sse_notify.concurrency.threadpool import Pool
from tests.support import GUARD

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pool() -> Any:
    pool = Pool("test", lambda: 3)
    yield pool
    assert pool._executor is not None
    pool._executor.shutdown()


@pytest.mark.asyncio
async def test_a_storm_opens_a_connection_for_each_thread_and_leaves_none(pool: Pool) -> None:
    made: list[Any] = []

    def note(connection: Any, **kwargs: Any) -> None:
        made.append(connection)

    connection_created.connect(note)
    try:
        counts = await asyncio.gather(*(pool(User.objects.count) for _ in range(60)))
    finally:
        connection_created.disconnect(note)
    assert counts == [0] * 60
    assert 1 <= len(made) <= 30, "far fewer than one for each"
    assert pool._executor is not None
    pool._executor.shutdown()
    assert all(connection.connection is None for connection in made), "an idle thread holds none"


def test_a_thread_whose_work_another_one_took_keeps_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was woken for nothing, which is not yet the end of its wait."""
    monkeypatch.setattr(threadpool, "LINGER_SECONDS", GUARD)
    pool = Pool("test", lambda: 1)
    wait, waits = pool._news.wait, threading.Event()

    def wake_at_once(seconds: float | None = None) -> bool:
        if waits.is_set():
            return wait(seconds)
        waits.set()  # with the lock: whoever asks next finds what the thread made of it
        return True

    monkeypatch.setattr(pool._news, "wait", wake_at_once)
    pool.submit(User.objects.count).result(GUARD)
    assert waits.wait(GUARD)
    assert pool.submit(lambda: connections["default"].connection is not None).result(GUARD)
    pool.settle()


@pytest.mark.asyncio
async def test_work_after_work_has_the_same_connection_which_is_closed_a_moment_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threadpool, "LINGER_SECONDS", 0.5)
    pool = Pool("test", lambda: 1)

    def connect() -> Any:
        User.objects.count()
        close_old_connections()  # as Django does at the end of a request
        return connections["default"].connection

    found = [await pool(connect) for _ in range(4)]
    assert found[0] is not None
    assert all(each is found[0] for each in found)
    thread = await pool(lambda: connections["default"])
    assert pool._executor is not None
    pool._executor.shutdown()
    assert thread.connection is None


@pytest.mark.asyncio
async def test_in_tests_no_thread_keeps_a_persistent_connection(
    monkeypatch: pytest.MonkeyPatch, pool: Pool
) -> None:
    """A test runner that drops its database on PostgreSQL failed: other users were accessing it."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 600)

    def connect() -> Any:
        User.objects.count()
        return connections["default"]

    thread = await pool(connect)
    assert pool._executor is not None
    pool._executor.shutdown()
    assert thread.connection is None


@pytest.mark.asyncio
async def test_it_is_bounded(pool: Pool) -> None:
    names: set[str] = set()
    barrier = threading.Barrier(3, timeout=10)

    def work() -> None:
        barrier.wait()
        names.add(threading.current_thread().name)

    await asyncio.gather(*(pool(work) for _ in range(9)))
    assert len(names) == 3


@pytest.mark.asyncio
async def test_a_thread_that_waits_for_more_work_takes_it_before_another_one_is_started() -> None:
    """Another one would open another connection. Of two, each may still be about to wait when the next work comes."""
    pool = Pool("test", lambda: 64)
    assert len({await pool(threading.get_ident) for _ in range(50)}) < 5
    assert pool._executor is not None
    pool._executor.shutdown()


@pytest.mark.asyncio
async def test_work_that_is_cancelled_before_it_begins_is_not_done(pool: Pool) -> None:
    gate, done = threading.Event(), list[str]()
    busy = [asyncio.ensure_future(pool(gate.wait, 10)) for _ in range(3)]
    waits = asyncio.ensure_future(pool(done.append, "done"))
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.wait({waits})
    gate.set()
    assert await asyncio.gather(*busy) == [True] * 3
    await pool(done.append, "the next")
    assert done == ["the next"]


@pytest.mark.asyncio
async def test_what_the_work_raises_is_raised(pool: Pool) -> None:
    with pytest.raises(ZeroDivisionError):
        await pool(lambda: 1 / 0)


@pytest.mark.asyncio
async def test_a_connection_that_broke_is_not_used_again(pool: Pool) -> None:
    def broken() -> None:
        connection = connections["default"]
        connection.ensure_connection()
        connection.errors_occurred = True
        connection.close()

    await pool(broken)
    assert await pool(User.objects.count) == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("call", [1, 2], ids=["before the work", "after it"])
async def test_a_connection_that_cannot_be_closed_costs_no_thread(
    call: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread that died of it would be missed for ever: the hub has one."""
    pool = Pool("test", lambda: 1)
    calls = 0

    def close() -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise InterfaceError("connection already closed")

    monkeypatch.setattr(threadpool, "close_old_connections", close)
    assert await pool(User.objects.count) == 0, "the work is done all the same"
    async with asyncio.timeout(10):
        assert await pool(User.objects.count) == 0
    assert pool._executor is not None
    pool._executor.shutdown()
    assert "connection already closed" in caplog.text


def test_the_threads_of_others_are_left_alone() -> None:
    with CaptureQueriesContext(connections["default"]):
        assert User.objects.count() == 0
    assert connections["default"].connection is not None


@pytest.mark.asyncio
async def test_a_database_that_nobody_uses_here_need_not_be_usable(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy = {**connections.settings["default"], "ENGINE": "no.such.engine"}
    monkeypatch.setitem(connections.settings, "legacy", legacy)
    async with asyncio.timeout(10):
        assert await pool(User.objects.count) == 0


def test_no_thread_waits_for_ever_when_others_take_the_work_at_the_last_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``SimpleQueue.get(timeout=...)`` does, in CPython: a thread that hangs keeps its connection, and the process from ending. Nor does work wait for a thread that gives up at that moment."""
    monkeypatch.setattr(threadpool, "LINGER_SECONDS", 0.0005)
    pool = Pool("test", lambda: 4)
    ended = threading.Event()
    answers: list[Future[int]] = []

    def work() -> None:
        for number in range(4000):
            answers.append(pool.submit(int))
            if number % 3 == 0:
                time.sleep(0.0004)  # about as long as the threads wait: that is the moment

    writers = [threading.Thread(target=work) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [answer.result(10) for answer in answers] == [0] * 8000

    def end() -> None:
        assert pool._executor is not None
        pool._executor.shutdown()
        ended.set()

    threading.Thread(target=end, daemon=True).start()
    assert ended.wait(10)
