from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from benchmarks.servers import events, pages, ticking
from benchmarks.servers.ours import words
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


@csrf_exempt
async def tick(request: HttpRequest) -> HttpResponse:
    asked = json.loads(request.body)
    ticking.begin(
        lambda number: publish("bench", events.data(number), event=events.NAME),
        asked["rate"],
        asked["count"],
    )
    return JsonResponse({})


urlpatterns = [
    path("notifications/", include("sse_notify.urls")),
    path("publish", publish_events),
    path("tick", tick),
    path("page", pages.page),
    path("run/<int:number>/", words.run),
    path("plain/<int:number>/", words.plain),
]
