"""Views that stream events of their own, as projects write them."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from sse_notify import Event, EventStreamResponse


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
    words = (
        json.loads(text)["text"] if request.content_type == "application/json" else text
    ).split()
    how = {
        name: request.headers.get(name, "")
        for name in ("Content-Type", "Authorization", "Last-Event-ID")
    }
    begin = int(how["Last-Event-ID"] or 0)
    method = request.method

    async def answer() -> AsyncIterator[Event]:
        yield Event({"method": method, **how}, event="asked")
        for number, word in enumerate(words[begin:], begin + 1):
            yield Event(word, id=str(number))

    return EventStreamResponse(answer(), end="[DONE]")


async def ticks(request: HttpRequest, port: int) -> EventStreamResponse:
    """Work for ever, in small steps."""

    async def work() -> AsyncIterator[int]:
        async with announced(port):
            number = 0
            while True:
                yield number
                number += 1
                await asyncio.sleep(0.01)

    return EventStreamResponse(work())


async def silence(request: HttpRequest, port: int) -> EventStreamResponse:
    """Wait for ever for what never comes, as a view that follows something quiet does."""

    async def wait() -> AsyncIterator[int]:
        async with announced(port):
            await asyncio.Event().wait()
            yield 0

    return EventStreamResponse(wait())


async def slow(request: HttpRequest) -> EventStreamResponse:
    """Work for a second between two events, the one with odd characters and the other with lines; then for ever."""

    async def work() -> AsyncIterator[Event]:
        yield Event(
            {"text": "Grüße 😀👩‍👩‍👧 \u2028 \u2029 \u0085 \v \f \x1c \x1d \x1e … end"}, event="slow"
        )
        await asyncio.sleep(1)
        yield Event({"text": "one\n\n  three: 3\n:four"}, event="slow")
        await asyncio.Event().wait()

    return EventStreamResponse(work())


@asynccontextmanager
async def announced(port: int) -> AsyncIterator[None]:
    """Tell who listens on ``port`` that the block begins, and when it ended, by the machine's clock that all processes share."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"begun\n")
    try:
        yield
    finally:
        writer.write(f"{time.monotonic()}\n".encode())
        writer.close()


def worker(request: HttpRequest) -> HttpResponse:
    """Return the script of the service worker that ``WORKER`` names."""
    text = Path(os.environ["WORKER"]).read_text()
    return HttpResponse(text, content_type="text/javascript")
