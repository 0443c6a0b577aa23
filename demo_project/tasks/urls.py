"""The addresses of the jobs."""

from __future__ import annotations

from django.urls import path

from demo_project.tasks import views

app_name = "tasks"

urlpatterns = [
    path("", views.jobs, name="list"),
    path("states/", views.states, name="states"),
    path("start/", views.start, name="start"),
    path("<int:pk>/cancel/", views.cancel, name="cancel"),
    path("<int:pk>/result/", views.result, name="result"),
]
