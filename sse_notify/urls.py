"""The URLs. Include them: ``path("notifications/", include("sse_notify.urls"))``."""

from __future__ import annotations

from django.urls import path

from sse_notify.views import health, inbox
from sse_notify.views.stream import stream

app_name = "sse_notify"

urlpatterns = [
    path("", inbox.list_, name="list"),
    path("stream/", stream, name="stream"),
    path("items/", inbox.items, name="items"),
    path("state/", inbox.state, name="state"),
    path("read/", inbox.read, name="read"),
    path("unread/", inbox.unread, name="unread"),
    path("seen/", inbox.seen, name="seen"),
    path("archive/", inbox.archive, name="archive"),
    path("unarchive/", inbox.unarchive, name="unarchive"),
    path("cancel/", inbox.cancel, name="cancel"),
    path("preferences/", inbox.preferences_, name="preferences"),
    path("health/live/", health.alive, name="health-live"),
    path("health/ready/", health.ready, name="health-ready"),
]
