"""Writes that are done at once need no task; those that have to wait go on in one."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from sse_notify.stepping import step

pytestmark = pytest.mark.asyncio


async def test_what_does_not_wait_is_done_at_once() -> None:
    written: list[bytes] = []

    async def send(chunk: bytes) -> None:
        written.append(chunk)

    assert step(send, b"a") is None
    assert written == [b"a"]


async def test_what_has_to_wait_goes_on_in_the_task_that_awaits_the_rest() -> None:
    drained = asyncio.get_running_loop().create_future()
    written: list[bytes] = []

    async def send(chunk: bytes) -> None:
        await drained
        await asyncio.sleep(0)
        written.append(chunk)

    rest = step(send, b"a")
    assert rest is not None
    task = asyncio.ensure_future(_await(rest))
    await asyncio.sleep(0)
    assert written == []
    drained.set_result(None)
    await task
    assert written == [b"a"]


async def test_the_rest_may_be_awaited_after_what_it_waited_for() -> None:
    drained = asyncio.get_running_loop().create_future()

    async def send(chunk: bytes) -> None:
        await drained

    rest = step(send, b"a")
    assert rest is not None
    drained.set_result(None)
    await rest


async def test_cancelling_reaches_what_waits() -> None:
    cleaned_up = asyncio.Event()

    async def send(chunk: bytes) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)  # cleaning up may wait as well
            cleaned_up.set()

    rest = step(send, b"a")
    assert rest is not None
    task = asyncio.ensure_future(_await(rest))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned_up.is_set()


@pytest.mark.parametrize("waits", [False, True])
async def test_what_it_raises_is_raised_where_the_rest_is_awaited(waits: bool) -> None:
    async def send(chunk: bytes) -> None:
        if waits:
            await asyncio.sleep(0)
        raise OSError("gone")

    rest = step(send, b"a")
    assert rest is not None
    with pytest.raises(OSError, match="gone"):
        await rest


async def test_an_awaitable_that_is_no_coroutine_is_stepped_too() -> None:
    class Sending:
        def __await__(self) -> Generator[None, None, None]:
            yield None

    def send(chunk: bytes) -> Sending:
        return Sending()

    rest = step(send, b"a")
    assert rest is not None
    await rest


async def _await(rest: object) -> None:
    await rest  # type: ignore[misc]
