"""The chat: a run writes each answer, so it goes on without the page that asked."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from demo_project.accounts.people import signed_in
from demo_project.chat import answering, model
from demo_project.chat.history import read_question
from demo_project.chat.models import Conversation
from demo_project.chat.topics import changed
from sse_notify.contrib.runs import Run

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

#: Conversations of one user.
MOST = 4


@require_GET
@login_required
def page(request: HttpRequest) -> HttpResponse:
    """Show the chat, and say who answers."""
    name = settings.OPENAI_MODEL if model.is_there() else ""
    return render(request, "demo/chat.html", {"model": name, "most": MOST})


@require_http_methods(["GET", "POST"])
@login_required
def conversations(request: HttpRequest) -> HttpResponse:
    """Return the user's conversations; after adding one, if that is what is asked for."""
    mine = Conversation.objects.filter(owner=signed_in(request.user)).order_by("pk")
    found = list(mine.select_related("owner"))
    if request.method == "POST" and len(found) < MOST:
        found.append(Conversation.objects.create(owner=signed_in(request.user)))
        changed(found[-1].owner_id)
    return JsonResponse({"conversations": [each.as_dict() for each in found]})


@require_http_methods(["GET", "POST", "DELETE"])
@login_required
def answer(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask; read the answer, from after what the client has; stop it, and the model with it."""
    conversation = _conversation(request, pk)
    if request.method == "GET":
        return Run.response_for(request, conversation.key)
    if request.method == "DELETE":
        conversation.stop()
        changed(conversation.owner_id)
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    try:
        question, in_worker = read_question(request.body)
        answering.ask(conversation, question, in_worker=in_worker)
    except ValueError as error:
        return _refused(HTTPStatus.BAD_REQUEST, "invalid", str(error))
    except answering.Busy:
        return _refused(HTTPStatus.CONFLICT, "busy", "An answer is on its way.")
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


@require_POST
@login_required
def go_on(request: HttpRequest, pk: int) -> HttpResponse:
    """Begin an answer again that has not come to its end, with what is there so far."""
    try:
        answering.go_on(_conversation(request, pk), in_worker=request.GET.get("worker") == "1")
    except answering.Busy:
        return _refused(HTTPStatus.CONFLICT, "busy", "There is nothing to go on with.")
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


@require_http_methods(["DELETE"])
@login_required
def conversation(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a conversation. Its answer is stopped."""
    found = _conversation(request, pk)
    found.stop()
    found.delete()
    changed(found.owner_id)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _conversation(request: HttpRequest, pk: int) -> Conversation:
    mine = Conversation.objects.filter(owner=signed_in(request.user)).select_related("owner")
    return get_object_or_404(mine, pk=pk)


def _refused(status: HTTPStatus, error: str, message: str) -> JsonResponse:
    return JsonResponse({"error": error, "message": message}, status=status)
