"""The front page with all scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import render

from demo_project.gallery.scenarios import by_heading

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def home(request: HttpRequest) -> HttpResponse:
    """Show every scenario as a card; also to visitors who have not signed in."""
    return render(request, "demo/home.html", {"headings": by_heading()})
