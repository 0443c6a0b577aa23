"""Compose a broadcast in the admin: fill in the form, look at preview and reach, confirm, send.

The server keeps nothing between the steps: each form carries what was posted before, and each step
validates it again. A token of the first step becomes the ``idempotency_key``, so a form that is
posted twice sends once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.forms import BaseForm, modelform_factory
from django.http import HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _

from sse_notify.admin.audience import Addressees, AudienceForm
from sse_notify.admin.forms import ComposeForm, checked
from sse_notify.conf import get_settings
from sse_notify.log.position import begin_write, database
from sse_notify.models import Audience, Notification
from sse_notify.monitoring import presence

if TYPE_CHECKING:
    from django.http import HttpRequest

    from sse_notify.admin.notifications import NotificationAdmin

#: The newest rows in which categories are looked for.
CATEGORIES_OF = 1000
#: Seconds to wait for the processes to answer who is connected.
PRESENCE_SECONDS = 0.5

_TOKEN = re.compile(r"[a-zA-Z0-9]{22}")
#: Fields that Django's list posts with an action.
_SELECTION = ("action", "index", "select_across", ACTION_CHECKBOX_NAME)
#: Fields of one step that the next does not carry.
_OF_A_STEP = ("csrfmiddlewaretoken", "_confirm", "_edit", "_send", "reach")


@dataclass(kw_only=True)
class Composition:
    """A broadcast that goes through the steps."""

    model_admin: NotificationAdmin
    request: HttpRequest
    title: str
    """The pages' heading."""
    audience: AudienceForm | Addressees
    """The form that asks who gets it, or those who get it."""
    content: ComposeForm | Sequence[dict[str, Any]]
    """The form that asks what it says, or the arguments of each notification."""
    back: str
    """The address of "Cancel", and of the page that follows."""

    def respond(self) -> HttpResponse:
        """Answer the step that is asked for."""
        audience, content, posted = self.audience, self.content, self.request.POST
        forms = [part for part in (audience, content) if isinstance(part, BaseForm)]
        # Each form is validated, so that each says what is wrong.
        wrong = [form for form in forms if not form.is_valid()]
        # A token that is not one of ours begins anew.
        token = posted.get("token", "")
        token = token if _TOKEN.fullmatch(token) else ""
        if wrong or "_edit" in posted or not token:
            return self._ask(forms, token or get_random_string(22))
        addressees = audience if isinstance(audience, Addressees) else audience.addressees
        contents = [content.arguments] if isinstance(content, ComposeForm) else content
        # A selection of users may have changed since its number was shown.
        is_chosen = addressees.audience == Audience.USER
        is_same = not is_chosen or posted.get("reach") == str(addressees.count())
        if "_send" in posted and is_same:
            return self._send(addressees, contents, token)
        return self._confirm(addressees, contents)

    def _ask(self, forms: Sequence[Any], token: str) -> HttpResponse:
        parts: list[Any] = [
            AdminForm(form, form.fieldsets, {}, model_admin=self.model_admin) for form in forms
        ]
        context: dict[str, Any] = {
            "parts": parts,
            "media": sum((part.media for part in parts), self.model_admin.media),
            "errors": "_edit" not in self.request.POST and any(form.errors for form in forms),
            "categories": sorted({*get_settings().CATEGORIES, *newest_categories()}),
            "token": token,
        }
        if isinstance(self.audience, Addressees):
            context |= {"addressees": self.audience, "reach": self.audience.count()}
        if not isinstance(self.content, ComposeForm):
            context["samples"] = [checked(arguments) for arguments in self.content]
        return self._render("compose.html", context)

    def _confirm(self, addressees: Addressees, contents: Sequence[dict[str, Any]]) -> HttpResponse:
        posted = [item for item in self.request.POST.lists() if item[0] not in _OF_A_STEP]
        context = {
            "carried": [(name, value) for name, values in posted for value in values],
            "items": [checked(arguments) for arguments in contents],
            "changed": "_send" in self.request.POST,
            "addressees": addressees,
            **numbers(addressees),
        }
        return self._render("confirm.html", context)

    def _send(
        self, addressees: Addressees, contents: Sequence[dict[str, Any]], token: str
    ) -> HttpResponse:
        note = describe(addressees)
        # With the user's key in it, so that nobody can use up another's.
        key = f"admin:{self.request.user.pk}:{token}"
        sent: list[Notification] = []
        noted: list[Notification] = []
        with transaction.atomic(using=database()):
            begin_write(database())
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
                messages.info(
                    self.request, _("This notification was already sent. It was not sent again.")
                )
            else:
                for row in noted:
                    self.model_admin.log_addition(self.request, row, note)
                messages.success(self.request, note)
        if len(sent) == 1 and self.model_admin.has_view_permission(self.request):
            return HttpResponseRedirect(self.model_admin.address("change", sent[0].pk))
        return HttpResponseRedirect(self.back)

    def _render(self, template: str, context: dict[str, Any]) -> HttpResponse:
        shared = {"title": self.title, "back": self.back}
        return render(self.model_admin, self.request, template, {**context, **shared})


def begin(model_admin: NotificationAdmin, request: HttpRequest) -> HttpResponse:
    """Answer the page "Compose broadcast" with its first or a further step."""
    back = "changelist" if model_admin.has_view_permission(request) else "broadcast"
    return Composition(
        model_admin=model_admin,
        request=request,
        title=_("Compose broadcast"),
        audience=audience_form(model_admin, request),
        content=content_form(model_admin, request),
        back=model_admin.address(back),
    ).respond()


def preview(model_admin: NotificationAdmin, request: HttpRequest) -> HttpResponse:
    """Return a preview of the item for what is filled in so far. Nothing is written."""
    form = content_form(model_admin, request)
    form.full_clean()
    return render(model_admin, request, "preview.html", {"items": [form.sample]})


def reach(model_admin: NotificationAdmin, request: HttpRequest) -> HttpResponse:
    """Return the numbers for the audience that is chosen so far. Nothing is written."""
    form = audience_form(model_admin, request)
    found = numbers(form.addressees) if form.is_valid() else {"reach": None, "connected": None}
    return render(model_admin, request, "reach.html", found)


def audience_form(model_admin: NotificationAdmin, request: HttpRequest) -> AudienceForm:
    """Return the form that asks who gets it, bound to what was posted."""
    return AudienceForm(_answers(request), admin_site=model_admin.admin_site, request=request)


def content_form(model_admin: NotificationAdmin, request: HttpRequest) -> ComposeForm:
    """Return the form that asks what it says, with admin widgets, bound to what was posted."""
    widgets = partial(model_admin.formfield_for_dbfield, request=request)
    form: Any = modelform_factory(Notification, ComposeForm, formfield_callback=widgets)
    return form(_answers(request))  # type: ignore[no-any-return]


def newest_categories() -> set[str]:
    """Return the categories of the newest rows: by the primary key, however long the log."""
    rows = Notification.objects.using(database()).order_by("-pk")
    return set(rows.values_list("category", flat=True)[:CATEGORIES_OF]) - {""}


def numbers(addressees: Addressees) -> dict[str, Any]:
    """Return how many users it reaches, and how many of them are connected to any process.

    ``None`` stands for what no query can tell.
    """
    connected = presence.connected_users(timeout=PRESENCE_SECONDS)
    return {"reach": addressees.count(), "connected": addressees.count_connected(connected)}


def describe(addressees: Addressees) -> str:
    """Return the message for the admin's history, and for the page that follows."""
    reach = addressees.count()
    numbers = {"audience": addressees, "reach": "?" if reach is None else reach}
    return _("Sent. Audience: %(audience)s. Reach: %(reach)s.") % numbers


def render(
    model_admin: NotificationAdmin, request: HttpRequest, template: str, context: dict[str, Any]
) -> HttpResponse:
    """Return one of the admin's own pages."""
    request.current_app = model_admin.admin_site.name  # as Django's admin does
    # What chose an action and its rows in Django's list chooses them again in the next step.
    chosen = [(name, value) for name in _SELECTION for value in request.POST.getlist(name)]
    shared = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "carried": chosen,
        "has_view_permission": model_admin.has_view_permission(request),
        "preview_url": model_admin.address("preview"),
        "reach_url": model_admin.address("reach"),
    }
    template = f"admin/sse_notify/notification/{template}"
    return TemplateResponse(request, template, {**shared, **context})


def _answers(request: HttpRequest) -> Any:
    """Return what was posted to the form; ``None`` for a GET, or for an action's first POST."""
    is_selection = "action" in request.POST and "token" not in request.POST
    return request.POST if request.method == "POST" and not is_selection else None
