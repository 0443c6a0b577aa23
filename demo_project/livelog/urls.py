"""The addresses of the log."""

from __future__ import annotations

from django.urls import path

from demo_project.livelog import views

app_name = "livelog"

urlpatterns = [
    path("", views.page, name="page"),
    path("stream/", views.stream, name="stream"),
    path("write/", views.write, name="write"),
    path("burst/", views.burst, name="burst"),
]
