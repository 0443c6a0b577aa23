"""The addresses of the dashboard."""

from __future__ import annotations

from django.urls import path

from demo_project.dashboard import views

app_name = "dashboard"

urlpatterns = [
    path("", views.page, name="page"),
    path("stream/", views.stream, name="stream"),
]
