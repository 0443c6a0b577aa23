"""The address of the announcements."""

from __future__ import annotations

from django.urls import path

from demo_project.announcements import views

app_name = "announcements"

urlpatterns = [path("", views.announcements, name="list")]
