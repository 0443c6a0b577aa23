"""The action "Notify selected users…" on whatever user model is registered.

It is offered when the site's addresses are made, and so by then every app has registered its models, in whatever order; on each site
that has the notifications, and there alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.auth import get_user_model
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sse_notify.admin.addressees import Addressees
from sse_notify.admin.compose import Composition, carry, too_many
from sse_notify.admin.forms import ComposeForm
from sse_notify.models import Audience

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from sse_notify.admin.notifications import NotificationAdmin

#: The action's name, in forms and for ``ModelAdmin.actions``.
NAME = "notify_selected_users"


def offer_notify(model_admin: NotificationAdmin) -> None:
    """Give the user model's admin on this site the action, unless it has one of this name or none at all.

    Only this instance is changed, not its class. Who may not broadcast is not offered it.
    """
    try:
        users: Any = model_admin.admin_site.get_model_admin(get_user_model())
    except NotRegistered:
        return
    if users.actions is None or any(
        getattr(action, "__name__", action) == NAME for action in users.actions
    ):
        return

    @admin.action(description=gettext_lazy("Notify selected users…"), permissions=["notify_users"])
    def notify_selected_users(
        user_admin: Any, request: HttpRequest, selected: QuerySet[Any]
    ) -> HttpResponse | None:
        if too_many(request, selected.count()):
            return None
        return Composition(
            model_admin=model_admin,
            request=request,
            title=_("Notify users"),
            audience=Addressees(audience=Audience.USER, users=selected),
            content=ComposeForm(request.POST if "token" in request.POST else None),
            carried=carry(request, NAME),
            back=request.get_full_path(),
        ).respond()

    users.has_notify_users_permission = model_admin.has_broadcast_permission
    users.actions = [*users.actions, notify_selected_users]
