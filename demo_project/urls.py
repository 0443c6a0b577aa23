"""The addresses of the demo site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("demo_project.gallery.urls")),
    path("accounts/", include("demo_project.accounts.urls")),
    path("compose/", include("demo_project.compose.urls")),
    path("people/", include("demo_project.people.urls")),
    path("board/", include("demo_project.board.urls")),
    path("announcements/", include("demo_project.announcements.urls")),
    path("terminal/", include("demo_project.terminal.urls")),
    path("notifications/", include("sse_notify.urls")),
    path("language/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
