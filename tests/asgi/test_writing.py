"""Who writes: the stream's own task, so that a middleware around the wrapper may do in ``send`` what it may do anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application

from sse_notify import anotify, notify
from sse_notify.asgi.app import EventStreams
from tests.asgi.client import GUARD, connect, cookies_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

Send = Callable[[Any], Awaitable[None]]

current: ContextVar[str] = ContextVar("current", default="outside")


async def with_a_timeout(send: Send, message: Any) -> None:
    async with asyncio.timeout(GUARD):
        await send(message)


async def with_a_timeout_and_a_pause(send: Send, message: Any) -> None:
    async with asyncio.timeout(GUARD):
        await asyncio.sleep(0)
        await send(message)


async def with_a_variable(send: Send, message: Any) -> None:
    token = current.set("inside")
    await asyncio.sleep(0)
    await send(message)
    current.reset(token)


async def with_a_group(send: Send, message: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(send(message))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "pass_on", [with_a_timeout, with_a_timeout_and_a_pause, with_a_variable, with_a_group]
)
@pytest.mark.parametrize("wrapped", [True, False])
async def test_a_middleware_may_use_timeouts_groups_and_variables_around_every_write(
    pass_on: Any, wrapped: bool, joined: asyncio.Event
) -> None:
    tasks: set[Any] = set()

    def middleware(app: Any) -> Any:
        async def wrap(scope: Any, receive: Any, send: Any) -> None:
            token = current.set("request")

            async def wrapped_send(message: Any) -> None:
                tasks.add(asyncio.current_task())
                assert current.get() == "request"
                await pass_on(send, message)

            await app(scope, receive, wrapped_send)
            current.reset(token)

        return wrap

    inner: Any = get_asgi_application()
    app = middleware(EventStreams(inner) if wrapped else inner)
    user = await User.objects.acreate(username="alice")
    await anotify(user, "Replayed")
    async with connect(app, query="cursor=0", headers=await cookies_of(user)) as stream:
        await stream.until(b"Replayed")
        await asyncio.wait_for(joined.wait(), GUARD)
        for number in range(3):
            await anotify(user, f"Live {number}")
            await stream.until(f"Live {number}".encode())
        await sync_to_async(lambda: [notify(user, f"Burst {n}") for n in range(20)])()
        await stream.until(b"Burst 19")
    if wrapped:
        assert len(tasks) == 1
    assert stream.task.exception() is None
