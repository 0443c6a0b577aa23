"""Compose a broadcast in the admin: fill in the form, look at preview and reach, confirm, send.

The server keeps nothing between the steps: each form carries what was posted before, and each step
validates it again. A token of the first step becomes the ``idempotency_key``, so a form that is
posted twice sends once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _

from sse_notify.admin.forms import Addressees, AudienceForm, ComposeForm
from sse_notify.conf import get_settings
from sse_notify.log.sequence import database, writing
from sse_notify.models import Audience, Notification
from sse_notify.monitoring import presence

_TOKEN = re.compile(r"[a-zA-Z0-9]{22}")
#: Fields that Django's list posts with an action.
_SELECTION = ("action", "index", "select_across", ACTION_CHECKBOX_NAME)
#: Fields of one step that the next does not carry.
_OF_A_STEP = ("csrfmiddlewaretoken", "_confirm", "_edit", "_send", "reach")


class ComposeAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django's has no arguments
    """The pages on which a broadcast is composed."""

    def has_broadcast_permission(self, request: HttpRequest) -> bool:
        """Return whether this user may broadcast, and recall."""
        return request.user.has_perm("sse_notify.broadcast_notification")

    def compose(self, request: HttpRequest) -> HttpResponse:
        """Answer the page "Compose broadcast" with its first or a further step."""
        back = "changelist" if self.has_view_permission(request) else "broadcast"
        return self.respond(request, _("Compose broadcast"), back=self.address(back))

    def preview(self, request: HttpRequest) -> HttpResponse:
        """Return a preview of the item for what is filled in so far. Nothing is written."""
        form = self.content_form(request)
        form.full_clean()
        return self.render(request, "notification/preview.html", items=[sample(form.arguments)])

    def numbers(self, request: HttpRequest) -> HttpResponse:
        """Return the numbers for the audience that is chosen so far. Nothing is written."""
        form = self.audience_form(request)
        found = numbers(form.addressees if form.is_valid() else None)
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
        """Answer the step that is asked for.

        Args:
            request: the step's.
            title: the pages' heading.
            back: the address of "Cancel", and of the page that follows.
            addressees: those who get it; ``None``: a form asks.
            contents: the arguments of each notification; ``None``: a form asks for those of one.
        """
        posted, shown = request.POST, {"title": title, "back": back}
        audience: Any = self.audience_form(request) if addressees is None else None
        content: Any = self.content_form(request) if contents is None else None
        forms = [form for form in (audience, content) if form is not None]
        # Each form is validated, so that each says what is wrong.
        wrong = [form for form in forms if not form.is_valid()]
        # A token that is not one of ours begins anew.
        is_ours = _TOKEN.fullmatch(token := posted.get("token", ""))
        if wrong or "_edit" in posted or not is_ours:
            parts = [AdminForm(form, form.fieldsets, {}, model_admin=self) for form in forms]
            context: dict[str, Any] = {
                "parts": parts,
                "media": sum((part.media for part in parts), self.media),
                "errors": "_edit" not in posted and any(form.errors for form in forms),
                "categories": sorted({*get_settings().CATEGORIES, *newest_categories()}),
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
        # A selection of users may have changed since its number was shown.
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
            **numbers(addressees),
        }
        return self.render(request, "notification/confirm.html", **shown, **context)

    def _send(
        self, request: HttpRequest, addressees: Addressees, contents: Sequence[Any], token: str
    ) -> list[Notification]:
        note = describe(addressees)
        # With the user's key in it, so that nobody can use up another's.
        key = f"admin:{request.user.pk}:{token}"
        sent: list[Notification] = []
        noted: list[Notification] = []
        with writing(database()):
            for number, arguments in enumerate(contents):
                rows = addressees.send(**arguments, idempotency_key=f"{key}:{number}")
                sent += rows
                # What is sent to chosen users is noted once, at the first of its rows.
                noted += rows[:1] if addressees.audience == Audience.USER else rows
            # A repeat finds the entries of the first: they were committed together with its rows.
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

    def audience_form(self, request: HttpRequest) -> AudienceForm:
        """Return the form that asks who gets it, bound to what was posted."""
        return AudienceForm(_answers(request), admin_site=self.admin_site, request=request)

    def content_form(self, request: HttpRequest) -> ComposeForm:
        """Return the form that asks what it says, with admin widgets, bound to what was posted."""
        widgets = partial(self.formfield_for_dbfield, request=request)
        form: Any = modelform_factory(Notification, ComposeForm, formfield_callback=widgets)
        return form(_answers(request))  # type: ignore[no-any-return]

    def render(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        """Return one of the admin's own pages."""
        request.current_app = self.admin_site.name  # as Django's admin does
        shared = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            # What chose an action and its rows in Django's list chooses them again in the next step.
            "carried": [(name, each) for name in _SELECTION for each in request.POST.getlist(name)],
            "has_view_permission": self.has_view_permission(request),
        }
        return TemplateResponse(request, f"admin/sse_notify/{template}", {**shared, **context})

    def address(self, page: str, *args: Any) -> str:
        """Return the address of one of this model's pages on this site."""
        name = f"admin:sse_notify_notification_{page}"
        return reverse(name, args=args, current_app=self.admin_site.name)


def sample(arguments: dict[str, Any]) -> Notification:
    """Return an unsaved row with these arguments, as pages will show it when it arrives."""
    row = Notification(**arguments)
    row.is_unread = True
    return row


def newest_categories() -> set[str]:
    """Return the categories of the newest 1,000 rows by the primary key, however long the log."""
    rows = Notification.objects.using(database()).order_by("-pk")
    return set(rows.values_list("category", flat=True)[:1000]) - {""}


def numbers(addressees: Addressees | None) -> dict[str, Any]:
    """Return how many users it reaches, and how many of them are connected to any process.

    ``None`` stands for what is not chosen yet, and for what no query can tell.
    """
    members = addressees.members() if addressees else None
    if members is None:
        return {"reach": None, "connected": None}
    connected = presence.connected_users(timeout=0.5)
    return {"reach": members.count(), "connected": members.filter(pk__in=connected).count()}


def describe(addressees: Addressees) -> str:
    """Return the message for the admin's history, and for the page that follows."""
    reach = addressees.count()
    numbers = {"audience": addressees, "reach": "?" if reach is None else reach}
    return _("Sent. Audience: %(audience)s. Reach: %(reach)s.") % numbers


def _answers(request: HttpRequest) -> Any:
    """Return what was posted to the form; ``None`` for a GET, or for an action's first POST."""
    is_selection = "action" in request.POST and "token" not in request.POST
    return request.POST if request.method == "POST" and not is_selection else None
