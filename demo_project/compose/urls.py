"""The address of the form."""

from __future__ import annotations

from django.urls import path

from demo_project.compose import views

app_name = "compose"

urlpatterns = [path("", views.compose, name="form")]
