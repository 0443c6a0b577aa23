"""The addresses of the board."""

from __future__ import annotations

from django.urls import path

from demo_project.board import views

app_name = "board"

urlpatterns = [
    path("", views.board, name="list"),
    path("<int:pk>/", views.post, name="post"),
]
