"""An ordinary page of a site: Django's middleware, a sync view, one query."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(User.objects.values_list("username", flat=True).first() or "")
