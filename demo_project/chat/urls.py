"""The addresses of the chat."""

from __future__ import annotations

from django.urls import path

from demo_project.chat import views

app_name = "chat"

urlpatterns = [
    path("", views.page, name="page"),
    path("answer/", views.answer, name="answer"),
]
