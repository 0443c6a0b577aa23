"""The views of the inbox: list page, items and state as JSON, marks by POST, and preferences.

Every response is private to one user, so no shared cache may store it. A POST checks the CSRF
token, even in a project without Django's CSRF middleware, unless no other site can have sent it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_not_required, login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.utils.crypto import salted_hmac
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_cookie, vary_on_headers

from sse_notify.access.links import identify
from sse_notify.access.openings import user_key
from sse_notify.access.sessions import in_background
from sse_notify.bus import publisher
from sse_notify.inbox import marks as inbox
from sse_notify.inbox import preferences
from sse_notify.models import Notification
from sse_notify.models.paging import Place
from sse_notify.progress import store
from sse_notify.topics import has_inbox
from sse_notify.views.csrf import View, csrf_check
from sse_notify.views.forms import PAGE, MarkForm, PageForm, first_error, is_json

_never_stored = cache_control(private=True, no_store=True)


def _for_users(view: View) -> View:
    """Return 401 as JSON to an anonymous visitor, or redirect a form's POST to the login.

    Return 403 to a user without an account here, for example one that is made from a token.
    """

    @login_not_required  # LoginRequiredMiddleware would redirect a script to an HTML page
    @vary_on_headers("Authorization", "Cookie")
    @wraps(view)
    def signed_in(request: HttpRequest) -> HttpResponseBase:
        identify(request)
        if has_inbox(request.user):
            return view(request)
        if request.user.is_authenticated:
            message = "Only an account of this site has notifications."
            return _refuse(403, error="forbidden", message=message)
        if request.method == "POST" and not is_json(request) and _names_html(request):
            return redirect_to_login(reverse("sse_notify:list"))
        message = "Sign in to see your notifications."
        return _refuse(401, error="unauthenticated", message=message)

    return signed_in


@_never_stored
@vary_on_cookie
@require_safe
@login_required
@_for_users
def list_(request: HttpRequest) -> HttpResponse:
    """Return the inbox as a page that works without JavaScript. Query: as for :func:`items`."""
    form = PageForm(request.GET)
    if not form.is_valid():
        raise BadRequest(": ".join(first_error(form)))
    query = form.cleaned_data
    # Read the state before the items: "mark all" marks up to this cursor, so a notification that
    # arrives between the two queries stays unread.
    state = inbox.state(request.user)
    rows, following = _page(request, query, Place.top(state.cursor))
    recent = preferences.recent_categories(request.user)
    kept = {name: query[name] for name in ("state", "category") if query[name]}
    context = {
        **asdict(state),
        "items": rows,
        "state": query["state"],
        "category": query["category"],
        "categories": sorted(recent | {query["category"]} - {""}),
        "here": request.get_full_path(),
        "is_first": query["before"] is None,
        "first_query": urlencode(kept),
        "next_query": urlencode({**kept, "before": following.token}) if following else "",
    }
    return render(request, "sse_notify/list.html", context)


@in_background
@require_safe
@_for_users
@_never_stored
def items(request: HttpRequest) -> HttpResponse:
    """Return a page of the inbox as JSON: ``{items, next, unread, unseen, key}``, newest first.

    Query: ``before``, the ``next`` of the previous page; ``limit``, 1 to 100, 20 by default;
    ``category``; ``state``, "unread" or "archived".
    """
    form = PageForm(request.GET)
    if not form.is_valid():
        return _invalid(*first_error(form))
    rows, following = _page(request, form.cleaned_data)
    unread, unseen = inbox.counts(request.user)
    payloads = [
        {**row.payload(muted=row.is_muted), "unread": row.is_unread, "unseen": row.is_unseen}
        for row in rows
    ]
    answer = {"next": following.token if following else None, "key": user_key(request.user.pk)}
    return JsonResponse({"items": payloads, **answer, "unread": unread, "unseen": unseen})


@in_background
@require_safe
@_for_users
@cache_control(private=True, no_cache=True)
def state(request: HttpRequest) -> HttpResponseBase:
    """Return the state as JSON, or 304 if the client's ETag still matches.

    ``poll`` is the number of seconds between two requests of a client without a stream. ``key``
    identifies the user, as in ``hello``. ``csrf`` is a fresh token, for a page that was opened
    before a login in another tab.
    """
    answer = asdict(inbox.state(request.user))
    answer |= {"poll": publisher.poll_interval(), "key": user_key(request.user.pk)}
    # The masked token differs in every response, so the ETag covers the secret behind it, which
    # changes at a login. Clients without a session need none, and get no cookie.
    token = "" if identify(request) else get_token(request)
    secret = request.META["CSRF_COOKIE"] if token else ""
    covered = [str(request.user.pk), *map(str, answer.values()), secret]
    digest = salted_hmac("sse_notify.state", "\n".join(covered), algorithm="sha256").hexdigest()
    response = JsonResponse({**answer, "csrf": token})
    response["ETag"] = etag = f'W/"{digest[:32]}"'
    return get_conditional_response(request, etag=etag, response=response) or response


def _marks(verb: Callable[..., None], *, by_number: bool = True) -> View:
    """Return the view for one of the inbox's functions, by POST with a CSRF token.

    It accepts ``{ids: [...]}`` or, if ``by_number``, ``{up_to: seq}``, as JSON or as a form. The
    response to JSON is the new counts, the response to a form a redirect back. Ids of other users'
    notifications are ignored. A repeat changes nothing.
    """

    @_never_stored
    @require_POST
    @csrf_check
    @_for_users
    @wraps(verb)
    def view(request: HttpRequest) -> HttpResponse:
        try:
            form = MarkForm.from_request(request)
        except (ValueError, RecursionError) as error:  # no JSON object, or nested too deeply
            return _invalid("body", f"The body is not a JSON object: {error}")
        if not form.is_valid():
            return _invalid(*first_error(form))
        if "up_to" in form.marks and not by_number:
            return _invalid("up_to", "Only ids can be marked so.")
        verb(request.user, **form.marks)
        preferred = request.get_preferred_type(["text/html", "application/json"])
        # A script that cancels accepts any type; with a redirect it would load a page.
        is_script = verb is store.cancel and not _names_html(request)
        if is_json(request) or preferred == "application/json" or is_script:
            unread, unseen = inbox.counts(request.user)
            key = user_key(request.user.pk)  # a page may have sent this for who was there before
            return JsonResponse({"unread": unread, "unseen": unseen, "key": key})
        return HttpResponseRedirect(_back(request, form.cleaned_data["next"]))

    return view


read = _marks(inbox.mark_read)
seen = in_background(_marks(inbox.mark_seen))  # an open panel sends it by itself
archive = _marks(inbox.archive)
# These accept only ids. Users do not need to mark everything unread, and ``unarchive`` by number
# would restore notifications archived long ago.
unread = _marks(inbox.mark_unread, by_number=False)
unarchive = _marks(inbox.unarchive, by_number=False)
cancel = _marks(store.cancel, by_number=False)


@_never_stored
@vary_on_cookie
@require_http_methods(["GET", "HEAD", "POST"])
@csrf_check
@login_required
@_for_users
def preferences_(request: HttpRequest) -> HttpResponse:
    """Show the user's categories. A POST mutes each ``category`` that is not in ``heard``.

    The page works without JavaScript. Its form posts every listed category as ``category``, and
    the checked ones as ``heard``.
    """
    listed = preferences.preferences(request.user)
    if request.method == "POST":
        # Ignore unknown categories, so that no request can fill the table.
        known = {preference.category for preference in listed}
        posted = known.intersection(request.POST.getlist("category"))
        try:
            preferences.choose(request.user, request.POST.getlist("heard"), posted)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return HttpResponseRedirect(f"{reverse('sse_notify:preferences')}?saved")
    context = {"preferences": listed, "saved": "saved" in request.GET}
    return render(request, "sse_notify/preferences.html", context)


def _names_html(request: HttpRequest) -> bool:
    """Return whether Accept names HTML, as when a browser navigates; ``*/*`` does not."""
    return "text/html" in request.headers.get("Accept", "")


def _back(request: HttpRequest, asked: str) -> str:
    """Return the URL to redirect to, never one of another site."""
    for address in (asked, request.headers.get("Referer", "")):
        if url_has_allowed_host_and_scheme(
            address, {request.get_host()}, require_https=request.is_secure()
        ):
            return address
    return reverse("sse_notify:list")


def _page(
    request: HttpRequest, query: dict[str, Any], top: Place | None = None
) -> tuple[list[Notification], Place | None]:
    rows = inbox.visible(request.user)
    if query["state"]:  # "unread" or "archived": methods of the queryset
        rows = getattr(rows, query["state"])()
    if query["category"]:
        rows = rows.filter(category=query["category"])
    return inbox.page(rows, query["limit"] or PAGE, query["before"] or top)


def _invalid(field: str, message: str) -> JsonResponse:
    return _refuse(400, error="invalid", message=message, field=field)


def _refuse(status: int, **answer: str) -> JsonResponse:
    return JsonResponse(answer, status=status, headers={"Cache-Control": "no-store"})
