"""The address of the page with the commands."""

from __future__ import annotations

from django.urls import path

from demo_project.terminal import views

app_name = "terminal"

urlpatterns = [path("", views.commands, name="commands")]
