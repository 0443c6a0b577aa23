"""``sse-starlette`` with a queue for each client, the way its own broadcasting example does it. It has no users and no storage."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.servers import events, ticking

if TYPE_CHECKING:
    from starlette.requests import Request

#: Events that may wait for one client: the example's own bound, which no scenario here reaches.
QUEUE_SIZE = 100

queues: set[asyncio.Queue[ServerSentEvent]] = set()


async def listen() -> AsyncIterator[ServerSentEvent]:
    queue: asyncio.Queue[ServerSentEvent] = asyncio.Queue(QUEUE_SIZE)
    queues.add(queue)
    try:
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)


async def stream(request: Request) -> EventSourceResponse:
    return EventSourceResponse(listen())


async def publish_events(request: Request) -> JSONResponse:
    asked = await request.json()
    for number in range(asked["first"], asked["first"] + asked["count"]):
        publish(number)
    return JSONResponse({})


async def tick(request: Request) -> JSONResponse:
    asked = await request.json()
    ticking.begin(publish, asked["rate"], asked["count"])
    return JSONResponse({})


def publish(number: int) -> None:
    # One event for all queues, encoded by the library for each.
    event = ServerSentEvent(data=json.dumps(events.data(number)), event=events.NAME)
    for queue in queues:
        with contextlib.suppress(asyncio.QueueFull):  # lost, and counted as that by the client
            queue.put_nowait(event)


application = Starlette(
    routes=[
        Route("/stream", stream),
        Route("/publish", publish_events, methods=["POST"]),
        Route("/tick", tick, methods=["POST"]),
    ]
)
