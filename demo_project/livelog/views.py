"""The log of this server, for staff."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import wraps
from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from demo_project.accounts.people import signed_in
from demo_project.livelog.forms import FollowForm, WriteForm
from demo_project.livelog.handler import SIZE, lines
from sse_notify import Event, EventStreamResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    View = Callable[[HttpRequest], HttpResponseBase]

logger = logging.getLogger("demo.livelog")

BURST = 4 * SIZE
#: Seconds after which a reader must reconnect, which checks the user again.
LIFETIME = 60
TAIL = 50


def staff_only(view: View) -> View:
    """Allow staff only: redirect visitors to the login, refuse other users."""

    @login_required
    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponseBase:
        if not signed_in(request.user).is_staff:
            raise PermissionDenied
        return view(request)

    return guarded


@require_GET
@staff_only
def page(request: HttpRequest) -> HttpResponse:
    """Show the log."""
    return render(
        request, "demo/livelog.html", {"follow": FollowForm(), "write": WriteForm(), "burst": BURST}
    )


@require_GET
@staff_only
def stream(request: HttpRequest) -> HttpResponseBase:
    """Stream the log from the line that the reader had last."""
    form = FollowForm(request.GET)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    seen = request.headers.get("Last-Event-ID", "")
    after = int(seen) if seen.isdecimal() and len(seen) < 20 else None
    return EventStreamResponse(_lines(after, **form.cleaned_data), user=request.user)


async def _lines(after: int | None, level: int, rate: int) -> AsyncIterator[Event]:
    last = lines.last - TAIL if after is None else after
    is_known = after is not None and after <= lines.last
    until = time.monotonic() + LIFETIME
    async for number, line in lines.follow(last):
        if is_known and number > last + 1:
            yield Event({"count": number - last - 1}, event="dropped", retry=1000)
        last, is_known = number, True
        if time.monotonic() > until:
            return
        if line.level >= level:
            told = {"at": line.at, "level": line.name, "logger": line.logger, "text": line.text}
            yield Event(told, event="line", id=number, retry=1000)
            if rate:
                await asyncio.sleep(1 / rate)


@require_POST
@staff_only
def write(request: HttpRequest) -> HttpResponse:
    """Write a line to the log."""
    form = WriteForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    logger.log(
        form.cleaned_data["severity"],
        "%s wrote: %s",
        signed_in(request.user).username,
        form.cleaned_data["text"],
    )
    return HttpResponse(status=204)


@require_POST
@staff_only
def burst(request: HttpRequest) -> HttpResponse:
    """Write more lines at once than the buffer keeps."""
    for number in range(1, BURST + 1):
        logger.info("Line %d of a burst of %d.", number, BURST)
    return HttpResponse(status=204)
