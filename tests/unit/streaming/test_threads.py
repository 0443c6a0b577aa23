"""The pools: bounded, tidy, and without a new connection for each piece of work in a storm."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, connections
from django.db.backends.signals import connection_created
from django.test.utils import CaptureQueriesContext

from sse_notify.concurrency import threadpool
from sse_notify.concurrency.threadpool import Pool

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
