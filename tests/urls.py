"""Addresses for tests that run Django inside the test process."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("notifications/", include("sse_notify.urls")),
]
