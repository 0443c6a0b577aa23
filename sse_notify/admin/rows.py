"""The actions on the list of notifications: broadcast them again, and take them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext as _

from sse_notify import locks
from sse_notify.admin.audience import AudienceForm
from sse_notify.admin.compose import Composition, carry, render, too_many
from sse_notify.admin.forms import Draft
from sse_notify.content import check
from sse_notify.log import database
from sse_notify.verbs import recall

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from sse_notify.admin.notifications import NotificationAdmin
    from sse_notify.models import Notification

#: Notifications that are broadcast again at once.
MAX_DRAFTS = 100

#: What is said again. Not the keys, which would change the rows that are there; not what has its own columns.
_AGAIN = ("level", "url", "category", "event", "data", "icon", "actions", "silent")


def broadcast_again(
    model_admin: NotificationAdmin, request: HttpRequest, rows: QuerySet[Notification]
) -> HttpResponse | None:
    """Ask for an audience, and broadcast the selected notifications to it, oldest first."""
    if too_many(request, rows.count(), MAX_DRAFTS):
        return None
    chosen = list(rows.order_by("pk"))
    recalled = [row.title for row in chosen if row.recalled_at is not None]
    if recalled:
        messages.error(
            request,
            _("What was recalled is not broadcast again: %(titles)s")
            % {"titles": ", ".join(recalled)},
        )
        return None
    drafts = [_draft(row) for row in chosen]
    if wrong := list(filter(None, map(_error, drafts))):
        messages.error(request, wrong[0])
        return None
    answers = request.POST if "token" in request.POST else None
    return Composition(
        model_admin=model_admin,
        request=request,
        title=_("Broadcast again"),
        audience=AudienceForm(answers, admin_site=model_admin.admin_site, request=request),
        content=drafts,
        carried=carry(request, "broadcast_selected"),
        back=model_admin.address("changelist"),
    ).respond()


def take_back(
    model_admin: NotificationAdmin,
    request: HttpRequest,
    rows: QuerySet[Notification],
    carried: Any = (),
) -> HttpResponse | None:
    """Ask once, and take the notifications back from everybody."""
    if not model_admin.has_broadcast_permission(request):
        raise PermissionDenied
    there = rows.filter(recalled_at=None)
    if too_many(request, there.count()):
        return None
    if "_recall" not in request.POST:
        shown = list(there[: MAX_DRAFTS + 1])
        context = {
            "title": _("Recall"),
            "items": shown[:MAX_DRAFTS],
            "more": len(shown) > MAX_DRAFTS,
            "carried": carried,
            "back": model_admin.address("changelist"),
        }
        return render(model_admin, request, "recall.html", context)
    with transaction.atomic(using=database()):
        locks.begin_write(database())
        chosen = list(there.order_by("pk"))
        count = recall(chosen)
        for row in chosen:
            model_admin.log_change(request, row, _("Recalled."))
    messages.success(request, _("Recalled from everybody: %(count)s") % {"count": count})
    return HttpResponseRedirect(model_admin.address("changelist"))


def _error(draft: Draft) -> str:
    """Return what the verbs would say against a row that was written by other means, "" if nothing."""
    try:
        check(draft.title, draft.body, draft.content)
    except (TypeError, ValueError) as error:
        return f"{draft.title}: {error}"
    return ""


def _draft(row: Notification) -> Draft:
    content: Any = {name: getattr(row, name) for name in _AGAIN}
    # An expiry that has passed would hide it at once.
    if row.expires_at is not None and row.expires_at > timezone.now():
        content["expires_at"] = row.expires_at
    return Draft(title=row.title, body=row.body, content=content)
