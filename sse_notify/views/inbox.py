"""The inbox: a page and JSON, its state, the marks, which change it by POST, and the preferences.

Whatever is answered belongs to one user: no shared cache may keep it. Every change is protected
against forged requests even in a project without Django's CSRF middleware.
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
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_cookie

from sse_notify.access.openings import user_key
from sse_notify.inbox import marks as inbox
from sse_notify.inbox import preferences
from sse_notify.models import Notification
from sse_notify.models.paging import Place
from sse_notify.progress import store
from sse_notify.streaming import hub
from sse_notify.views.forms import PAGE, MarkForm, PageForm, first_error, is_json

View = Callable[[HttpRequest], HttpResponseBase]


_never_stored = cache_control(private=True, no_store=True)


def _for_users(view: View) -> View:
    """Answer an anonymous visitor with 401 in JSON, or lead a browser with a form to the login."""

    @login_not_required  # or Django's LoginRequiredMiddleware would redirect a script to an HTML page
    @vary_on_cookie
    @wraps(view)
    def signed_in(request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request)
        if request.method == "POST" and not is_json(request) and _names_html(request):
            return redirect_to_login(reverse("sse_notify:list"))
        message = "Sign in to see your notifications."
        return _refuse(401, error="unauthenticated", message=message)

    return signed_in


@_never_stored
@vary_on_cookie
@require_safe
@login_required
def list_(request: HttpRequest) -> HttpResponse:
    """Answer with the inbox as a page that works without JavaScript. Query as for `items`."""
    form = PageForm(request.GET)
    if not form.is_valid():
        raise BadRequest(": ".join(first_error(form)))
    query = form.cleaned_data
    # Before the items: what arrives while they are read is beyond the cursor, and so stays unread
    # when all of the page is marked.
    state = inbox.state(request.user)
    rows, following = _page(request, query, Place.top(state.cursor))
    recent = preferences.categories(inbox.visible(request.user))
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


@require_safe
@_for_users
@_never_stored
def items(request: HttpRequest) -> HttpResponse:
    """Answer with a page of the inbox as JSON: ``{items, next, unread, unseen}``, newest first.

    Query: ``before``, what ``next`` of the page before said; ``limit``, 1 to 100, 20 by default;
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
    token = following.token if following else None
    return JsonResponse({"items": payloads, "next": token, "unread": unread, "unseen": unseen})


@require_safe
@_for_users
@cache_control(private=True, no_cache=True)
def state(request: HttpRequest) -> HttpResponseBase:
    """Answer with the state as JSON, or with 304 if the client's ETag still holds.

    ``poll`` is the seconds after which a client without a stream may ask again; ``key`` tells this
    user's pages from others', as in ``hello``; ``csrf`` is a fresh token, for a page that was
    opened before a login in another tab.
    """
    answer = asdict(inbox.state(request.user))
    answer |= {"poll": hub.poll_interval(), "key": user_key(request.user.pk)}
    # The token differs with every answer, as it is masked; what must not be kept beyond a login is
    # the secret behind it.
    token = get_token(request)
    covered = [str(request.user.pk), *map(str, answer.values()), request.META["CSRF_COOKIE"]]
    digest = salted_hmac("sse_notify.state", "\n".join(covered), algorithm="sha256").hexdigest()
    response = JsonResponse({**answer, "csrf": token})
    response["ETag"] = etag = f'W/"{digest[:32]}"'
    return get_conditional_response(request, etag=etag, response=response) or response


def _marks(verb: Callable[..., None], *, by_number: bool = True) -> View:
    """Return the view of a verb, by POST with a CSRF token.

    It takes ``{ids: [...]}`` or, ``by_number``, ``{up_to: seq}``, as JSON or as a form.

    JSON is answered with the new counts, a form with a redirect back. Ids of others are ignored; a
    repeat changes nothing.
    """

    @_never_stored
    @require_POST
    @csrf_protect
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
        # A script that cancels takes anything, and would load a page if it were redirected.
        is_script = verb is store.cancel and not _names_html(request)
        if is_json(request) or preferred == "application/json" or is_script:
            unread, unseen = inbox.counts(request.user)
            return JsonResponse({"unread": unread, "unseen": unseen})
        return HttpResponseRedirect(_back(request, form.cleaned_data["next"]))

    return view


read = _marks(inbox.mark_read)
seen = _marks(inbox.mark_seen)
archive = _marks(inbox.archive)
# Everything unread at once is nothing that a user asks for, and an undo by number would bring back
# what was archived long ago.
unread = _marks(inbox.mark_unread, by_number=False)
unarchive = _marks(inbox.unarchive, by_number=False)
cancel = _marks(store.cancel, by_number=False)


@_never_stored
@vary_on_cookie
@require_http_methods(["GET", "HEAD", "POST"])
@csrf_protect
@login_required
def preferences_(request: HttpRequest) -> HttpResponse:
    """Show the user's categories, and by POST mute those of the listed that are not ``heard``.

    It needs no JavaScript. What is listed is posted too, as ``category``.
    """
    listed = preferences.preferences(request.user)
    if request.method == "POST":
        # What the page did not offer is nothing to decide about, and nothing to fill a table with.
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
    """Return whether a browser navigates; a script that accepts anything does not name HTML."""
    return "text/html" in request.headers.get("Accept", "")


def _back(request: HttpRequest, asked: str) -> str:
    """Return the address to go back to, never one of another site."""
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
    if query["state"]:  # "unread" or "archived", which the rows have a method for
        rows = getattr(rows, query["state"])()
    if query["category"]:
        rows = rows.filter(category=query["category"])
    return inbox.page(rows, query["limit"] or PAGE, query["before"] or top)


def _invalid(field: str, message: str) -> JsonResponse:
    return _refuse(400, error="invalid", message=message, field=field)


def _refuse(status: int, **answer: str) -> JsonResponse:
    return JsonResponse(answer, status=status, headers={"Cache-Control": "no-store"})
