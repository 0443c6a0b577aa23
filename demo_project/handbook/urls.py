"""The addresses of the documentation."""

from __future__ import annotations

from django.urls import path

from demo_project.handbook import views

app_name = "handbook"

urlpatterns = [
    path("", views.page, {"name": "index"}, name="index"),
    path("<path:name>/", views.page, name="page"),
]
