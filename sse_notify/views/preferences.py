"""The page on which a user mutes categories. It needs no JavaScript."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_cookie

from sse_notify.inbox.preferences import choose, preferences

if TYPE_CHECKING:
    from django.http import HttpRequest


@cache_control(private=True, no_store=True)
@vary_on_cookie
@require_http_methods(["GET", "HEAD", "POST"])
@csrf_protect
@login_required
def preferences_(request: HttpRequest) -> HttpResponse:
    """Show the user's categories, and by POST mute those of the listed (``category``) that are not among ``heard``."""
    listed = preferences(request.user)
    if request.method == "POST":
        # What the page did not offer is nothing to decide about, and nothing to fill a table with.
        known = {preference.category for preference in listed}
        try:
            choose(
                request.user,
                request.POST.getlist("heard"),
                known.intersection(request.POST.getlist("category")),
            )
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return HttpResponseRedirect(f"{reverse('sse_notify:preferences')}?saved")
    return render(
        request,
        "sse_notify/preferences.html",
        {"preferences": listed, "saved": "saved" in request.GET},
    )
