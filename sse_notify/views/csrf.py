"""Ask for a CSRF token where another site's page could have sent a request."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from sse_notify.access.links import identify
from sse_notify.views.forms import is_json

View = Callable[[HttpRequest], HttpResponseBase]

#: What browsers send by themselves to a site where the user has entered a password once.
_OF_BROWSERS = {"basic", "digest", "negotiate", "ntlm"}


def csrf_check(view: View) -> View:
    """Require a CSRF token of each request to ``view`` that another site's page could have sent.

    Such a page cannot send a token of the user's in ``Authorization``, nor JSON without asking the
    browser first. Cookies, and passwords that a browser remembers, come from any page.
    """
    checked = csrf_protect(view)

    @csrf_exempt  # checked here, as far as it has to be
    @wraps(view)
    def checked_view(request: HttpRequest) -> HttpResponseBase:
        is_known = identify(request)
        is_visitor = not request.user.is_authenticated  # the view refuses it, whatever it sends
        if is_visitor or (is_known and _is_deliberate(request)):
            return view(request)
        response = checked(request)
        is_page = not isinstance(response, JsonResponse)  # of Django's, or the project's own
        if response.status_code == 403 and is_page and is_json(request):
            said = {"error": "csrf", "message": "The CSRF token is missing or wrong."}
            response = JsonResponse(said, status=403, headers={"Cache-Control": "no-store"})
        return response

    return checked_view


def _is_deliberate(request: HttpRequest) -> bool:
    scheme = request.headers.get("Authorization", "").partition(" ")[0].lower()
    if scheme:
        return scheme not in _OF_BROWSERS
    return is_json(request) and not request.headers.get("Cookie")
