"""A page of the documentation, for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import Http404
from django.shortcuts import render

from demo_project.handbook.markup import to_html
from demo_project.handbook.pages import pages

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def page(request: HttpRequest, name: str) -> HttpResponse:
    """Show the page with this name; 404 if ``docs/`` has no such page."""
    shown = pages().get(name)
    if shown is None:
        raise Http404(name)
    return render(request, "demo/handbook.html", {"page": shown, "content": to_html(shown)})
