"""The public wall."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from demo_project.wall.forms import MessageForm
from demo_project.wall.limits import is_allowed
from demo_project.wall.models import Message, write

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

#: Messages that the page shows.
SHOWN = 30
#: The limit for one address: messages, and seconds.
TIMES, SECONDS = 5, 20


@require_http_methods(["GET", "HEAD", "POST"])
def wall(request: HttpRequest) -> HttpResponse:
    """Show the newest messages; save a new one, from anybody."""
    form = MessageForm(request.POST if request.method == "POST" else None)
    if isinstance(request.user, User):
        del form.fields["name"]
        form.instance.author, form.instance.name = (
            request.user,
            request.user.get_short_name() or request.user.username,
        )
    status = HTTPStatus.OK
    if request.method == "POST":
        # Count it before validation: an invalid message costs as much.
        if not is_allowed(request, "wall", times=TIMES, seconds=SECONDS):
            form.add_error(None, _("That was a lot at once. Wait a little, please."))
            status = HTTPStatus.TOO_MANY_REQUESTS
        elif form.is_valid():
            write(form.instance)
            status = HTTPStatus.CREATED
        else:
            status = HTTPStatus.BAD_REQUEST
        if not request.accepts("text/html"):  # the page's script
            return JsonResponse(
                {"errors": [error for errors in form.errors.values() for error in errors]},
                status=status,
            )
        if status == HTTPStatus.CREATED:
            return redirect("wall:wall")
    return render(
        request,
        "demo/wall.html",
        {"messages_shown": Message.objects.all()[:SHOWN], "form": form},
        status=status,
    )


@require_GET
def newer(request: HttpRequest) -> HttpResponse:
    """Return the messages after ``after``. The page fetches them whenever its stream opens."""
    after = request.GET.get("after", "")
    newest = Message.objects.filter(
        pk__gt=int(after) if after.isdecimal() and len(after) < 18 else 0
    )[:SHOWN]
    return JsonResponse({"messages": [message.as_event() for message in newest]})
