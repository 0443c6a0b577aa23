"""The actions on selected notifications and users: broadcast again, recall, notify.

The user model's admin gets its action when the site builds its URLs, because by then every app has
registered its models. A site without the notifications' admin does not get it.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sse_notify.admin.compose import ComposeAdmin
from sse_notify.admin.forms import Addressees
from sse_notify.log.sequence import writing
from sse_notify.models import Audience, Notification
from sse_notify.models.content import FIELDS, Kind
from sse_notify.notifications.send import recall
from sse_notify.notifications.validation import check

#: The most notifications that one action broadcasts again.
MAX_AGAIN = 100
#: The most users that one action notifies: the request writes one row per user.
MAX_USERS = 10_000

#: The kinds of fields that are not sent again. With its key, it would change the existing row.
_NOT_AGAIN = (Kind.KEY, Kind.MOMENT, Kind.INSTANCE)


@admin.action(description=_("Broadcast selected notifications…"), permissions=["broadcast"])
def broadcast_selected(
    model_admin: ComposeAdmin, request: HttpRequest, selected: QuerySet[Notification]
) -> HttpResponse | None:
    """Ask for an audience, and broadcast the selected notifications to it, oldest first."""
    if _too_many(request, selected.count(), MAX_AGAIN):
        return None
    rows = list(selected.order_by("pk"))
    if recalled := [row.title for row in rows if row.recalled_at is not None]:
        text = _("Recalled notifications cannot be broadcast again: %(titles)s")
        messages.error(request, text % {"titles": ", ".join(recalled)})
        return None
    names = [name for name, field in FIELDS.items() if field.kind not in _NOT_AGAIN]
    again = []
    for row in rows:
        arguments: Any = {name: getattr(row, name) for name in names}
        # An expiry in the past would hide the new row at once.
        if row.expires_at is not None and row.expires_at > timezone.now():
            arguments["expires_at"] = row.expires_at
        try:
            check(row.title, row.body, arguments)
        except (TypeError, ValueError) as error:  # not written by notify() or broadcast()
            messages.error(request, f"{row.title}: {error}")
            return None
        again.append(arguments)
    back = model_admin.address("changelist")
    return model_admin.respond(request, _("Broadcast again"), back=back, contents=again)


@admin.action(description=_("Recall selected notifications…"), permissions=["broadcast"])
def recall_selected(
    model_admin: ComposeAdmin, request: HttpRequest, selected: QuerySet[Notification]
) -> HttpResponse | None:
    """Ask for a confirmation, and recall the selected notifications."""
    there = selected.filter(recalled_at=None)
    count = there.count()
    if _too_many(request, count, MAX_USERS):
        return None
    back = model_admin.address("changelist")
    if "_recall" not in request.POST:
        shown = {"items": there[:MAX_AGAIN], "more": count > MAX_AGAIN}
        template, title = "notification/recall.html", _("Recall")
        return model_admin.render(request, template, title=title, back=back, **shown)
    with writing():
        rows = list(there.order_by("pk"))
        count = recall(rows)
        for row in rows:
            model_admin.log_change(request, row, _("Recalled."))
    messages.success(request, _("Notifications recalled: %(count)s") % {"count": count})
    return HttpResponseRedirect(back)


@admin.action(description=_("Notify selected users…"), permissions=["notify_users"])
def notify_selected_users(
    user_admin: Any, request: HttpRequest, selected: QuerySet[Any]
) -> HttpResponse | None:
    """Ask for the content, and notify the selected users."""
    if _too_many(request, selected.count(), MAX_USERS):
        return None
    model_admin: ComposeAdmin = user_admin.admin_site.get_model_admin(Notification)
    whom, back = Addressees(audience=Audience.USER, users=selected), request.get_full_path()
    return model_admin.respond(request, _("Notify users"), back=back, addressees=whom)


def offer_notify(model_admin: ComposeAdmin) -> None:
    """Add the action to the user model's admin on this site.

    Skip an admin without actions or with an action of this name. Change only the instance, not its
    class. Users without the permission to broadcast do not see the action.
    """
    if not model_admin.admin_site.is_registered(get_user_model()):
        return
    users: Any = model_admin.admin_site.get_model_admin(get_user_model())
    names = [getattr(action, "__name__", action) for action in users.actions or ()]
    if users.actions is not None and notify_selected_users.__name__ not in names:
        users.has_notify_users_permission = model_admin.has_broadcast_permission
        users.actions = [*users.actions, notify_selected_users]


def _too_many(request: HttpRequest, count: int, most: int) -> bool:
    """Return whether ``count`` is more than ``most``, and show an error if it is."""
    if count > most:
        text = _("Select at most %(most)s items. You selected %(count)s.")
        messages.error(request, text % {"most": most, "count": count})
    return count > most
