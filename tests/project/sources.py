"""Views that stream events of their own, as projects write them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from sse_notify import Event, EventStreamResponse

#: When the iterators of :func:`ticks` were closed, by the machine's clock that all processes share.
ended: list[float] = []


@csrf_exempt
async def echo(request: HttpRequest) -> EventStreamResponse:
    """Give back the words of the body, one by one."""

    text = request.body.decode()  # now: the request is over when the stream begins

    async def words() -> AsyncIterator[Event]:
        for word in text.split():
            yield Event({"word": word}, event="chunk")
            await asyncio.sleep(0)

    return EventStreamResponse(words(), end="[DONE]")


async def ask(request: HttpRequest) -> EventStreamResponse:
    """Tell what was asked and how, as a view that is protected against forgery does; then its words, from the one after ``Last-Event-ID``."""
    is_form = request.content_type == "multipart/form-data"
    text = request.POST["text"] if is_form else request.body.decode()
    words = (json.loads(text)["text"] if request.content_type == "application/json" else text).split()
    how = {name: request.headers.get(name, "") for name in ("Content-Type", "Authorization", "Last-Event-ID")}
    begin = int(how["Last-Event-ID"] or 0)
    method = request.method

    async def answer() -> AsyncIterator[Event]:
        yield Event({"method": method, **how}, event="asked")
        for number, word in enumerate(words[begin:], begin + 1):
            yield Event(word, id=str(number))

    return EventStreamResponse(answer(), end="[DONE]")


async def ticks(request: HttpRequest) -> EventStreamResponse:
    """Work for ever, in small steps."""

    async def work() -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
                await asyncio.sleep(0.01)
        finally:
            ended.append(time.monotonic())

    return EventStreamResponse(work())


def closed(request: HttpRequest) -> JsonResponse:
    """Tell when iterators were closed."""
    return JsonResponse({"ended": ended})
