"""The manual reader: a form's streamed answer, with events for its start, progress and end."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING

from django.http import JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from demo_project.reader.forms import ReadForm
from sse_notify import Event, EventStreamResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    from demo_project.handbook.pages import Page

logger = logging.getLogger("demo.reader")


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Show the form, also to visitors without an account."""
    return render(
        request,
        "demo/reader.html",
        {"form": ReadForm(initial={"page": "how-to/stream-your-own-events"})},
    )


@require_POST
def read(request: HttpRequest) -> HttpResponseBase:
    """Stream a page word by word."""
    form = ReadForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    return EventStreamResponse(_reading(**form.cleaned_data), user=request.user)


async def _reading(page: Page, pause: float) -> AsyncIterator[Event]:
    words = re.findall(r"\S+\s*", page.text)
    done = 0
    try:
        yield Event({"title": page.title, "chunks": len(words)}, event="start")
        for done, word in enumerate(words, 1):  # noqa: B007  (the last event uses it)
            yield Event({"text": word}, event="chunk")
            await asyncio.sleep(pause)
        yield Event({"chunks": done}, event="end")
    finally:
        # Also if the reader disconnects, which cancels the wait above.
        logger.info("“%s” was read up to word %d of %d.", page.title, done, len(words))
