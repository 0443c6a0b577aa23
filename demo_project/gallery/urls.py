"""The address of the front page."""

from __future__ import annotations

from django.urls import path

from demo_project.gallery import views

app_name = "gallery"

urlpatterns = [path("", views.home, name="home")]
