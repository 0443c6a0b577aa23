"""The addresses of the wall."""

from __future__ import annotations

from django.urls import path

from demo_project.wall import views

app_name = "wall"

urlpatterns = [
    path("", views.wall, name="wall"),
    path("newer/", views.newer, name="newer"),
]
