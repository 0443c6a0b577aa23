"""The addresses of the reader."""

from __future__ import annotations

from django.urls import path

from demo_project.reader import views

app_name = "reader"

urlpatterns = [
    path("", views.page, name="page"),
    path("read/", views.read, name="read"),
]
