"""The addresses of the colleagues."""

from __future__ import annotations

from django.urls import path

from demo_project.people import views

app_name = "people"

urlpatterns = [
    path("", views.people, name="list"),
    path("<int:pk>/wave/", views.wave, name="wave"),
]
