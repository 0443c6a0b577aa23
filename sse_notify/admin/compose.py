"""Compose a broadcast in the admin: fill in the form, check preview and reach, confirm, send.

The server stores nothing between the steps. Each form repeats the earlier values in hidden fields,
and each step validates them again. The first step creates a token, which becomes the
``idempotency_key``: a form that is posted twice sends once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _

from sse_notify.admin.forms import Addressees, AudienceForm, ComposeForm
from sse_notify.conf import get_settings
from sse_notify.inbox.preferences import categories_of
from sse_notify.log.sequence import database, writing
from sse_notify.models import Audience, Notification
from sse_notify.monitoring import presence
from sse_notify.monitoring.live import may_view

_TOKEN = re.compile(r"[a-zA-Z0-9]{22}")
#: Fields that Django's change list posts with an action.
_SELECTION = ("action", "index", "select_across", ACTION_CHECKBOX_NAME)
#: Fields that the next step does not repeat.
_OF_A_STEP = ("csrfmiddlewaretoken", "_confirm", "_edit", "_send", "reach")


class ComposeAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django's has no arguments
    """The pages that compose a broadcast."""

    def has_broadcast_permission(self, request: HttpRequest) -> bool:
        """Return whether this user may broadcast and recall."""
        return request.user.has_perm("sse_notify.broadcast_notification")

    def compose(self, request: HttpRequest) -> HttpResponse:
        """Return the current step of the page "Compose broadcast"."""
        back = "changelist" if self.has_view_permission(request) else "broadcast"
        return self.respond(request, _("Compose broadcast"), back=self.address(back))

    def preview(self, request: HttpRequest) -> HttpResponse:
        """Return a preview of the item for the values entered so far. Write nothing."""
        form = self.content_form(request)
        form.full_clean()
        items = [sample(form.arguments)] if form.is_bound else []
        return self.render(request, "notification/preview.html", items=items)

    def numbers(self, request: HttpRequest) -> HttpResponse:
        """Return the numbers for the audience chosen so far. Write nothing."""
        form = self.audience_form(request)
        found = numbers(form.addressees if form.is_valid() else None, request)
        return self.render(request, "notification/reach.html", **found)

    def respond(
        self,
        request: HttpRequest,
        title: Any,
        *,
        back: str,
        addressees: Addressees | None = None,
        contents: Sequence[dict[str, Any]] | None = None,
    ) -> HttpResponse:
        """Return the form, the confirmation, or a redirect after sending.

        Args:
            request: the request of this step.
            title: the heading of the pages.
            back: the URL of "Cancel" and of the page after sending.
            addressees: who gets it; ``None``: a form asks.
            contents: the arguments of each notification; ``None``: a form asks for one.
        """
        posted, shown = request.POST, {"title": title, "back": back}
        audience: Any = self.audience_form(request) if addressees is None else None
        content: Any = self.content_form(request) if contents is None else None
        forms = [form for form in (audience, content) if form is not None]
        # Validate every form, so that the page shows all errors.
        wrong = [form for form in forms if not form.is_valid()]
        # Without a valid token, start again at the first step.
        is_ours = _TOKEN.fullmatch(token := posted.get("token", ""))
        if wrong or "_edit" in posted or not is_ours:
            parts = [AdminForm(form, form.fieldsets, {}, model_admin=self) for form in forms]
            context: dict[str, Any] = {
                "parts": parts,
                "media": sum((part.media for part in parts), self.media),
                "errors": "_edit" not in posted and any(form.errors for form in forms),
                "categories": self.categories(request),
                "token": token if is_ours else get_random_string(22),
                "addressees": addressees,
                "reach": addressees and addressees.count(),
                "samples": [sample(arguments) for arguments in contents or ()],
            }
            return self.render(request, "notification/compose.html", **shown, **context)
        if addressees is None:
            addressees = audience.addressees
        if contents is None:
            contents = [content.arguments]
        # The number of selected users may have changed since the page showed it.
        is_chosen = addressees.audience == Audience.USER
        is_same = not is_chosen or posted.get("reach") == str(addressees.count())
        if "_send" in posted and is_same:
            sent = self._send(request, addressees, contents, token)
            if len(sent) == 1 and self.has_view_permission(request):
                back = self.address("change", sent[0].pk)
            return HttpResponseRedirect(back)
        carried = [item for item in posted.lists() if item[0] not in _OF_A_STEP]
        context = {
            "carried": [(name, value) for name, values in carried for value in values],
            "items": [sample(arguments) for arguments in contents],
            "changed": "_send" in posted,
            "addressees": addressees,
            **numbers(addressees, request),
        }
        return self.render(request, "notification/confirm.html", **shown, **context)

    def _send(
        self, request: HttpRequest, addressees: Addressees, contents: Sequence[Any], token: str
    ) -> list[Notification]:
        note = describe(addressees)
        # The user's key is part of it, so that nobody can use another user's token.
        key = f"admin:{request.user.pk}:{token}"
        sent: list[Notification] = []
        noted: list[Notification] = []
        with writing():
            for number, arguments in enumerate(contents):
                rows = addressees.send(**arguments, idempotency_key=f"{key}:{number}")
                sent += rows
                # For chosen users, log only the first row.
                noted += rows[:1] if addressees.audience == Audience.USER else rows
            # On a repeat, the log entries exist: they were committed together with the rows.
            entries = LogEntry.objects.filter(
                content_type=ContentType.objects.get_for_model(Notification),
                object_id__in=[str(row.pk) for row in noted],
                action_flag=ADDITION,
            )
            if entries.exists():
                note = _("This notification was already sent. It was not sent again.")
                messages.info(request, note)
            else:
                for row in noted:
                    self.log_addition(request, row, note)
                messages.success(request, note)
        return sent

    def categories(self, request: HttpRequest) -> list[str]:
        """Return the categories to suggest: of the settings, and of the log for who may view it."""
        used = newest_categories() if self.has_view_permission(request) else ()
        return sorted({*get_settings().CATEGORIES, *used})

    def audience_form(self, request: HttpRequest) -> AudienceForm:
        """Return the form that asks who gets it, bound to the posted data."""
        return AudienceForm(_answers(request), admin_site=self.admin_site, request=request)

    def content_form(self, request: HttpRequest) -> ComposeForm:
        """Return the form for the content, with admin widgets, bound to the posted data."""
        widgets = partial(self.formfield_for_dbfield, request=request)
        form: Any = modelform_factory(Notification, ComposeForm, formfield_callback=widgets)
        return form(_answers(request))  # type: ignore[no-any-return]

    def render(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        """Return the response of an admin page."""
        request.current_app = self.admin_site.name  # as Django's admin does
        shared = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            # Repeat the fields that chose an action and its rows in Django's change list.
            "carried": [(name, each) for name in _SELECTION for each in request.POST.getlist(name)],
            "has_view_permission": self.has_view_permission(request),
        }
        return TemplateResponse(request, f"admin/sse_notify/{template}", {**shared, **context})

    def address(self, page: str, *args: Any) -> str:
        """Return the URL of one of this model's pages on this site."""
        name = f"admin:sse_notify_notification_{page}"
        return reverse(name, args=args, current_app=self.admin_site.name)


def sample(arguments: dict[str, Any]) -> Notification:
    """Return an unsaved notification with these arguments, for the preview."""
    row = Notification(**arguments)
    row.is_unread = True
    return row


def newest_categories() -> set[str]:
    """Return the categories of the newest 1,000 rows, so that a long log stays fast."""
    return categories_of(Notification.objects.using(database()).order_by("-pk")[:1000])


def numbers(addressees: Addressees | None, request: HttpRequest) -> dict[str, Any]:
    """Return how many users it reaches, and how many of them are connected to any process.

    Both are ``None`` if no audience is chosen yet, or if no query can count it. ``connected`` tells
    about single users if these are few: who may not view users gets it for everyone alone.
    """
    members = addressees.members() if addressees else None
    if addressees is None or members is None:
        return {"reach": None, "connected": None}
    found = {"reach": members.count(), "connected": None}
    if addressees.audience == Audience.EVERYONE or may_view(request.user, get_user_model()):
        connected = presence.connected_users(timeout=0.5)
        found["connected"] = members.filter(pk__in=connected).count()
    return found


def describe(addressees: Addressees) -> str:
    """Return the text for the admin's history and for the message on the next page."""
    reach = addressees.count()
    numbers = {"audience": addressees, "reach": "?" if reach is None else reach}
    return _("Sent. Audience: %(audience)s. Reach: %(reach)s.") % numbers


def _answers(request: HttpRequest) -> Any:
    """Return the posted form data; ``None`` for a GET or an action's first POST."""
    is_selection = "action" in request.POST and "token" not in request.POST
    return request.POST if request.method == "POST" and not is_selection else None
