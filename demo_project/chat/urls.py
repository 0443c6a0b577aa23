"""The addresses of the chat."""

from __future__ import annotations

from django.urls import path

from demo_project.chat import views

app_name = "chat"

urlpatterns = [
    path("", views.page, name="page"),
    path("conversations/", views.conversations, name="conversations"),
    path("<int:pk>/", views.conversation, name="conversation"),
    path("<int:pk>/answer/", views.answer, name="answer"),
    path("<int:pk>/go-on/", views.go_on, name="go_on"),
]
