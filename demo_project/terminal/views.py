"""Commands for a second terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_required
from django.shortcuts import render

from demo_project.accounts.people import signed_in

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@login_required
def commands(request: HttpRequest) -> HttpResponse:
    """Show commands that notify the user of the page."""
    return render(request, "demo/terminal.html", {"username": signed_in(request.user).username})
