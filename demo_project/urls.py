"""The addresses of the demo site."""

from __future__ import annotations

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

admin.site.site_header = admin.site.site_title = "sse_notify demo"

urlpatterns = [
    path("", include("demo_project.gallery.urls")),
    path("accounts/", include("demo_project.accounts.urls")),
    path("compose/", include("demo_project.compose.urls")),
    path("people/", include("demo_project.people.urls")),
    path("board/", include("demo_project.board.urls")),
    path("announcements/", include("demo_project.announcements.urls")),
    path("terminal/", include("demo_project.terminal.urls")),
    path("lab/", include("demo_project.lab.urls")),
    path("reader/", include("demo_project.reader.urls")),
    path("chat/", include("demo_project.chat.urls")),
    path("dashboard/", include("demo_project.dashboard.urls")),
    path("log/", include("demo_project.livelog.urls")),
    path("orders/", include("demo_project.orders.urls")),
    path("wall/", include("demo_project.wall.urls")),
    path("ticker/", include("demo_project.ticker.urls")),
    path("tasks/", include("demo_project.tasks.urls")),
    path("docs/", include("demo_project.handbook.urls")),
    path("notifications/", include("sse_notify.urls")),
    path("language/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    # The admin names no icon, and browsers ask for this one.
    path("favicon.ico", RedirectView.as_view(url=static("demo/logo.svg"))),
]
