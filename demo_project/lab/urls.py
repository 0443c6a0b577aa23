"""The addresses of the protocol lab."""

from __future__ import annotations

from django.urls import path

from demo_project.lab import views

app_name = "lab"

urlpatterns = [
    path("", views.page, name="page"),
    path("stream/", views.stream, name="stream"),
    path("send/", views.send, name="send"),
    path("cut/", views.cut, name="cut"),
]
