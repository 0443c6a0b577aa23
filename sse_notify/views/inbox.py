"""The inbox: a page, and the same items as JSON; its state; and the marks, which are the only changes, by POST alone.

Whatever is answered belongs to one user: no shared cache may keep it. Every change is protected against forged requests even in a
project without Django's CSRF middleware.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_not_required, login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.utils.crypto import salted_hmac
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_cookie

from sse_notify import hub, inbox, log, work
from sse_notify.access.openings import user_key
from sse_notify.forms import PAGE, MarkForm, PageForm, first_error, is_json
from sse_notify.models import Notification

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from sse_notify.querysets import NotificationQuerySet

    View = Callable[[HttpRequest], HttpResponseBase]

#: The newest items in which the page looks for the categories that it offers: bounded, however long the inbox.
CATEGORIES_OF = 200


def _for_users(view: View) -> View:
    """Answer an anonymous visitor with 401 in JSON; one whose browser submits a form is led to the login."""

    @login_not_required  # or Django's LoginRequiredMiddleware would redirect a script to an HTML page
    @vary_on_cookie
    @wraps(view)
    def signed_in(request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request)
        # Only a browser that navigates names HTML; a script that accepts anything gets the status it can act on.
        if (
            request.method == "POST"
            and not is_json(request)
            and "text/html" in request.headers.get("Accept", "")
        ):
            return redirect_to_login(reverse("sse_notify:list"))
        return _refuse(401, "unauthenticated", "Sign in to see your notifications.")

    return signed_in


@cache_control(private=True, no_store=True)
@vary_on_cookie
@require_safe
@login_required
def list_(request: HttpRequest) -> HttpResponse:
    """Answer with the inbox as a page, which works without JavaScript. Query as for :func:`items`."""
    form = PageForm(request.GET)
    if not form.is_valid():
        raise BadRequest("{}: {}".format(*first_error(form)))
    query = form.cleaned_data
    # Before the items: what arrives while they are read is beyond the cursor, and so stays unread when all of the page is marked.
    state = inbox.state(request.user)
    visible = _visible(request)
    rows, before = _page(visible, query)
    recent = visible.newest(CATEGORIES_OF).values_list("category", flat=True)
    kept = {name: query[name] for name in ("state", "category") if query[name]}
    context = {
        "items": rows,
        "unread": state.unread,
        "unseen": state.unseen,
        "cursor": state.cursor,
        "state": query["state"],
        "category": query["category"],
        "categories": sorted({*recent, query["category"]} - {""}),
        "here": request.get_full_path(),
        "is_first": query["before"] is None,
        "first_query": urlencode(kept),
        "next_query": urlencode({**kept, "before": before}) if before is not None else "",
    }
    return render(request, "sse_notify/list.html", context)


@require_safe
@_for_users
@cache_control(private=True, no_store=True)
def items(request: HttpRequest) -> HttpResponse:
    """Answer with a page of the inbox as JSON: ``{items, next, unread, unseen}``, newest first.

    Query: ``before``, an item's id, what ``next`` of the page before said; ``limit``, 1 to 100, 20 by default; ``category``;
    ``state``, "unread" or "archived".
    """
    form = PageForm(request.GET)
    if not form.is_valid():
        return _invalid(*first_error(form))
    rows, before = _page(_visible(request), form.cleaned_data)
    unread, unseen = inbox.counts(request.user)
    payloads = [
        {**row.payload(muted=row.is_muted), "unread": row.is_unread, "unseen": row.is_unseen}
        for row in rows
    ]
    return JsonResponse({"items": payloads, "next": before, "unread": unread, "unseen": unseen})


@require_safe
@_for_users
@cache_control(private=True, no_cache=True)
def state(request: HttpRequest) -> HttpResponseBase:
    """Answer with ``{cursor, state_seq, unread, unseen, poll, key, csrf}``, or with 304 if the client's ETag still holds.

    ``poll`` is the seconds after which a client without a stream may ask again; ``key`` tells this user's pages from others', as in
    ``hello``; ``csrf`` is a fresh token, for a page that was
    opened before a login in another tab.
    """
    found = inbox.state(request.user)
    answer = {
        "cursor": found.cursor,
        "state_seq": found.state_seq,
        "unread": found.unread,
        "unseen": found.unseen,
        "poll": hub.poll_interval(),
        "key": user_key(request.user.pk),
    }
    # The token differs with every answer, as it is masked; what must not be kept beyond a login is the secret behind it.
    token = get_token(request)
    covered = [str(request.user.pk), *map(str, answer.values()), request.META["CSRF_COOKIE"]]
    digest = salted_hmac("sse_notify.state", "\n".join(covered), algorithm="sha256").hexdigest()[
        :32
    ]
    response = JsonResponse({**answer, "csrf": token})
    response["ETag"] = etag = f'W/"{digest}"'
    return get_conditional_response(request, etag=etag, response=response) or response


def _change(view: View) -> View:
    """Let a view change something: by POST, with a CSRF token, for a user."""
    return cache_control(private=True, no_store=True)(require_POST(csrf_protect(_for_users(view))))


@_change
def read(request: HttpRequest) -> HttpResponse:
    """Mark as read: ``{ids: [...]}`` or ``{up_to: seq}``, as JSON or as a form.

    JSON is answered with the new counts, a form with a redirect back. Ids of others are ignored; a repeat changes nothing.
    """
    return _mark(request, inbox.mark_read)


@_change
def unread(request: HttpRequest) -> HttpResponse:
    """Mark as unread: ``{ids: [...]}``. Everything unread at once is nothing that a user asks for, so there is no ``up_to``."""
    return _mark(request, inbox.mark_unread, by_number=False)


@_change
def seen(request: HttpRequest) -> HttpResponse:
    """Mark as seen; as for :func:`read`."""
    return _mark(request, inbox.mark_seen)


@_change
def archive(request: HttpRequest) -> HttpResponse:
    """Put away; as for :func:`read`."""
    return _mark(request, inbox.archive)


@_change
def unarchive(request: HttpRequest) -> HttpResponse:
    """Take back from the archive: ``{ids: [...]}``; an undo has no ``up_to``, which would bring back what was archived long ago."""
    return _mark(request, inbox.unarchive, by_number=False)


@_change
def cancel(request: HttpRequest) -> HttpResponse:
    """Ask for the end of the user's long work: ``{ids: [...]}``; the counts are the answer, as for :func:`read`.

    A script that fetches whatever is answered gets them too: a redirect would have it load a page.
    """
    return _mark(
        request, work.cancel, by_number=False, page="text/html" in request.headers.get("Accept", "")
    )


def _mark(
    request: HttpRequest, verb: Callable[..., None], *, by_number: bool = True, page: bool = True
) -> HttpResponse:
    try:
        form = MarkForm.from_request(request)
    except ValueError as error:
        return _invalid("body", f"The body is not a JSON object: {error}")
    if not form.is_valid():
        return _invalid(*first_error(form))
    marks = form.marks
    if "up_to" in marks and not by_number:
        return _invalid("up_to", "Only ids can be marked so.")
    verb(request.user, **marks)
    if (
        not page
        or is_json(request)
        or request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    ):
        unread, unseen = inbox.counts(request.user)
        return JsonResponse({"unread": unread, "unseen": unseen})
    return HttpResponseRedirect(_back(request, form.cleaned_data["next"]))


def _back(request: HttpRequest, asked: str) -> str:
    """Return the address to go back to, never one of another site."""
    for address in (asked, request.headers.get("Referer", "")):
        if url_has_allowed_host_and_scheme(
            address, {request.get_host()}, require_https=request.is_secure()
        ):
            return address
    return reverse("sse_notify:list")


def _visible(request: HttpRequest) -> NotificationQuerySet:
    return Notification.objects.using(log.database()).visible_to(request.user)


def _page(
    rows: NotificationQuerySet, query: dict[str, Any]
) -> tuple[list[Notification], int | None]:
    """Return the rows of one page, newest first, and the ``before`` of the next. Stable: what arrives has a higher id."""
    if query["state"] == "unread":
        rows = rows.unread()
    elif query["state"] == "archived":
        rows = rows.archived()
    if query["category"]:
        rows = rows.filter(category=query["category"])
    if query["before"] is not None:
        rows = rows.filter(pk__lt=query["before"])
    limit = query["limit"] or PAGE
    found = list(rows.newest(limit + 1))  # one more, to know whether there is a next page
    return found[:limit], found[limit - 1].pk if len(found) > limit else None


def _invalid(field: str, message: str) -> JsonResponse:
    return _refuse(400, "invalid", message, field=field)


def _refuse(status: int, code: str, message: str, **more: str) -> JsonResponse:
    response = JsonResponse({"error": code, "message": message, **more}, status=status)
    response["Cache-Control"] = "no-store"
    return response
