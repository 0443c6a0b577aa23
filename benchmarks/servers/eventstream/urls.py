from __future__ import annotations

import json

import django_eventstream.urls  # type: ignore[import-untyped]
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django_eventstream import send_event

from benchmarks.servers import events

CHANNEL = "everyone"


@csrf_exempt
def publish_events(request: HttpRequest) -> HttpResponse:
    asked = json.loads(request.body)
    for number in range(asked["first"], asked["first"] + asked["count"]):
        send_event(CHANNEL, events.NAME, events.data(number))
    return JsonResponse({})


urlpatterns = [
    path("events/", include(django_eventstream.urls), {"channels": [CHANNEL]}),
    path("publish", publish_events),
]
