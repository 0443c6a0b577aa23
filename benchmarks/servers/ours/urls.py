from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from benchmarks.servers import events
from sse_notify import broadcast, publish


@csrf_exempt
def publish_events(request: HttpRequest) -> HttpResponse:
    asked = json.loads(request.body)
    for number in range(asked["first"], asked["first"] + asked["count"]):
        if asked["stored"]:
            broadcast("Ada commented", events.TEXT, data=events.stamp(number))
        else:
            publish("bench", events.data(number), event=events.NAME)
    return JsonResponse({})


urlpatterns = [
    path("notifications/", include("sse_notify.urls")),
    path("publish", publish_events),
]
