"""The addresses of the ticker."""

from __future__ import annotations

from django.urls import path

from demo_project.ticker import views

app_name = "ticker"

urlpatterns = [
    path("", views.ticker, name="ticker"),
    path("flood/", views.flood, name="flood"),
]
