"""The admin's live page: every process, who is connected, and a button to end a user's streams."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from sse_notify.access.receivers import disconnect
from sse_notify.monitoring import live, presence

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    ModelAdmin = admin.ModelAdmin[Any]


def admin_urls(model_admin: ModelAdmin) -> list[URLPattern]:
    """Return the addresses of the page, for ``get_urls()`` of the notifications' ``ModelAdmin``."""
    wrap = model_admin.admin_site.admin_view
    show, end = partial(page, model_admin), partial(end_streams, model_admin)
    prefix = "sse_notify_notification"
    return [
        path("live/", wrap(require_safe(show)), name=f"{prefix}_live"),
        path("live/disconnect/", wrap(require_POST(end)), name=f"{prefix}_disconnect"),
    ]


def page(model_admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """Show the page; a script keeps it up to date. Query: ``q``, a part of a user's name."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    query = request.GET.get("q", "").strip()
    request.current_app = model_admin.admin_site.name  # As Django's admin does.
    found = presence.look(live.TIMEOUT)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Live"),
        "opts": model_admin.opts,
        "report": live.report(found, query=query),
        "query": query,
        "topic": live.TOPIC,
        "may_disconnect": _may_disconnect(request),
    }
    return TemplateResponse(request, "admin/sse_notify/live.html", context)


def end_streams(model_admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """End the streams of the user whose key is posted as ``user``, and note it in their history."""
    if not (model_admin.has_view_permission(request) and _may_disconnect(request)):
        raise PermissionDenied
    model: Any = get_user_model()
    try:
        user = model._default_manager.get(pk=request.POST.get("user", ""))
    except (model.DoesNotExist, ValueError, ValidationError) as error:
        raise Http404(_("This user does not exist.")) from error
    # The streams end after the commit, so not without a trace in the history.
    with transaction.atomic(using=router.db_for_write(model)):
        model_admin.log_change(request, user, _("The open streams were ended."))
        disconnect(user)
    messages.success(request, _("The open streams of %(user)s were ended.") % {"user": user})
    site = model_admin.admin_site.name
    return HttpResponseRedirect(reverse("admin:sse_notify_notification_live", current_app=site))


def _may_disconnect(request: HttpRequest) -> bool:
    """Return whether the user may change users, and so deactivate them."""
    opts = get_user_model()._meta
    asks: Any = request.user
    return bool(asks.has_perm(f"{opts.app_label}.change_{opts.model_name}"))
