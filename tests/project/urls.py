"""Addresses of the test project."""

from __future__ import annotations

from django.apps import apps
from django.urls import include, path

from sse_notify.metrics import metrics
from tests.project import accounts, runs, sources, views

urlpatterns = [
    path("", views.page),
    path("login/", views.sign_in),
    path("logout/", accounts.sign_out),
    path("flush/", accounts.flush),
    path("password/", accounts.change_password),
    path("send/<slug:verb>/", views.send),
    path("stats/", views.stats),
    path("worker.js", sources.worker),
    path("pages/<slug:name>/", views.documented),
    path("echo/", sources.echo),
    path("ask/", sources.ask),
    path("ticks/<int:port>/", sources.ticks),
    path("silence/<int:port>/", sources.silence),
    path("slow/", sources.slow),
    path("runs/<str:key>/", runs.run),
    path("notifications/", include("sse_notify.urls")),
    path("metrics/", metrics),
]
if apps.is_installed("django.contrib.admin"):  # with EXTRA_APPS
    from django.contrib import admin

    urlpatterns.append(path("admin/", admin.site.urls))
if apps.is_installed("grappelli"):
    urlpatterns.append(path("grappelli/", include("grappelli.urls")))
if apps.is_installed("wagtail.admin"):
    urlpatterns.append(path("cms/", include("wagtail.admin.urls")))
