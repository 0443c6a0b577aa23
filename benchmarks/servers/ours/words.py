"""Words at a steady pace, as a run and as a stream of a view's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from sse_notify import EventStreamResponse
from sse_notify.contrib.runs import Run


async def words(rate: float, count: int) -> AsyncIterator[dict[str, Any]]:
    began = time.monotonic()
    for number in range(count):
        yield {"word": "something", "at": time.monotonic_ns(), "n": number}
        await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))


def _asked(request: HttpRequest) -> AsyncIterator[dict[str, Any]]:
    return words(float(request.GET["rate"]), int(request.GET["count"]))


def run(request: HttpRequest, number: int) -> HttpResponseBase:
    """Start a run, or read the one that goes on."""
    return Run.start(_asked(request), user=request.user, key=f"bench:{number}").response()


def plain(request: HttpRequest, number: int) -> HttpResponseBase:
    return EventStreamResponse(_asked(request), user=request.user, end="[DONE]")
