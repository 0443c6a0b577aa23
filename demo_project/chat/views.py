"""The chat: the page keeps the conversation and sends all of it; the answer is streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from demo_project.chat import documentation, model
from demo_project.chat.history import read_history
from sse_notify import EventStreamResponse

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase


@require_GET
@login_required
def page(request: HttpRequest) -> HttpResponse:
    """Show the chat, and say who answers."""
    return render(
        request, "demo/chat.html", {"model": settings.OPENAI_MODEL if model.is_there() else ""}
    )


@require_POST
@login_required
def answer(request: HttpRequest) -> HttpResponseBase:
    """Answer the last message of a conversation. Stopping the answer also stops the model."""
    try:
        messages = read_history(request.body)
    except ValueError as error:
        return JsonResponse({"error": "invalid", "message": str(error)}, status=400)
    words = model.answer(messages) if model.is_there() else documentation.answer(messages)
    return EventStreamResponse(words, user=request.user, end="[DONE]")
