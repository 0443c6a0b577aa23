"""The list of announcements. They are written in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_required
from django.shortcuts import render

from demo_project.accounts.people import signed_in
from demo_project.announcements.models import Announcement

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_SHOWN = 20


@login_required
def announcements(request: HttpRequest) -> HttpResponse:
    """Show the newest announcements."""
    newest = Announcement.objects.visible_to(signed_in(request.user)).select_related("author")[
        :_SHOWN
    ]
    return render(request, "demo/announcements.html", {"announcements": newest})
