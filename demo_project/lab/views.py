"""The protocol lab: a public numbered stream that can be cut and continues without a gap."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from demo_project.gallery.ring import Ring
from demo_project.lab.forms import MessageForm
from sse_notify import Event, EventStreamResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.http import HttpRequest

RETRY = 2000  # milliseconds
CUT = "cut"

#: The last messages as (event, text). Numbers keep rising after a restart, so each id is unique.
messages: Ring[tuple[str, str]] = Ring(100, last=int(time.time()))
#: The names of the open connections.
connections: set[str] = set()


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Show the lab; also to visitors without an account."""
    return render(request, "demo/lab.html", {"form": MessageForm(auto_id="lab-%s")})


@require_GET
def stream(request: HttpRequest) -> EventStreamResponse:
    """Stream the messages that are newer than what the client has."""
    seen = request.headers.get("Last-Event-ID", "")
    known = seen.isdecimal() and len(seen) < 20
    return EventStreamResponse(_events(int(seen) if known else messages.last))


async def _events(seen: int) -> AsyncIterator[Event]:
    connection = secrets.token_urlsafe(12)
    connections.add(connection)
    try:
        yield Event({"connection": connection, "newest": messages.last}, event="hello", retry=RETRY)
        async for number, (event, text) in messages.follow(seen):
            if event != CUT:
                yield Event(text, event=event, id=number)
            elif text == connection:
                return
    finally:
        connections.discard(connection)


@require_POST
def send(request: HttpRequest) -> HttpResponse:
    """Send a message to all clients, connected now or reconnecting later."""
    form = MessageForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    name = request.user.get_short_name() if request.user.is_authenticated else _("Visitor")
    number = messages.append((form.cleaned_data["event"], f"{name}: {form.cleaned_data['text']}"))
    return JsonResponse({"id": number}, status=201)


@require_POST
def cut(request: HttpRequest) -> HttpResponse:
    """Cut one connection, then send a message that its client misses.

    Only the client of a connection knows its name.
    """
    connection = request.POST.get("connection", "")
    if connection not in connections:
        return JsonResponse({"errors": {"connection": ["There is none of that name."]}}, status=404)
    messages.append((CUT, connection))
    messages.append(
        (
            "message",
            _("A connection was cut just now. Whoever it was reads this when they are back."),
        )
    )
    return HttpResponse(status=204)
