"""The ticker's page, and the button that sends too much."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.http import JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from demo_project.ticker import publisher
from demo_project.ticker.market import SHARES
from demo_project.ticker.topics import RATES

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

#: Events of a flood: about twice the ``BUFFER_BYTES`` of a stream.
FLOOD = 2000
#: Seconds between two floods, for all users together.
PAUSE = 3


@require_GET
def ticker(request: HttpRequest) -> HttpResponse:
    """Show the shares; the prices come with the stream."""
    return render(request, "demo/ticker.html", {"shares": SHARES, "rates": RATES})


@require_POST
async def flood(request: HttpRequest) -> HttpResponse:
    """Publish too much at once. The view is async, so that no stream can write meanwhile."""
    rate = request.POST.get("rate", "")
    if rate not in map(str, RATES):
        return JsonResponse(
            {"error": f"rate: one of {RATES} is needed"}, status=HTTPStatus.BAD_REQUEST
        )
    if not await sync_to_async(cache.add)("ticker:flood", 1, PAUSE):
        return JsonResponse(
            {"error": "too soon"},
            status=HTTPStatus.TOO_MANY_REQUESTS,
            headers={"Retry-After": str(PAUSE)},
        )
    publisher.flood(int(rate), FLOOD)
    return JsonResponse({"sent": FLOOD}, status=HTTPStatus.ACCEPTED)
