"""The way of a broadcast through the admin: the form, the numbers and a look at it, confirmed, sent and noted in the history.

Nothing is kept between the steps: each carries what the one before was told, and checks it again. A token of the first becomes the
``idempotency_key``, so that a form that is sent twice sends once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _

from sse_notify import locks, presence
from sse_notify.admin.addressees import MAX_USERS, Addressees
from sse_notify.admin.audience import AudienceForm
from sse_notify.admin.filters import newest_categories
from sse_notify.admin.forms import ComposeForm, Draft
from sse_notify.conf import get_settings
from sse_notify.log import database
from sse_notify.models import Audience, Notification

if TYPE_CHECKING:
    from django.http import HttpRequest

    from sse_notify.admin.notifications import NotificationAdmin

TEMPLATES = "admin/sse_notify/notification"
#: Seconds within which processes may tell who is connected to them.
PRESENCE_SECONDS = 0.5

_TOKEN = re.compile(r"[a-zA-Z0-9]{22}")
#: What belongs to one step, and is not carried to the next.
_OF_A_STEP = ("csrfmiddlewaretoken", "_confirm", "_edit", "_send", "reach")


@dataclass(kw_only=True)
class Composition:
    """One broadcast on its way."""

    model_admin: NotificationAdmin
    request: HttpRequest
    title: str
    """The pages' heading."""
    audience: AudienceForm | Addressees
    """The form that asks whom it is for, or who they are."""
    content: ComposeForm | Sequence[Draft]
    """The form that asks what it says, or what that is."""
    carried: Sequence[tuple[str, str]] = ()
    """What else the steps post: an action's name and its selection."""
    back: str
    """Where one leaves to, and where it ends."""

    def respond(self) -> HttpResponse:
        """Answer the step that is asked for."""
        if not self.model_admin.has_broadcast_permission(self.request):
            raise PermissionDenied
        asked = self.request.POST
        # A token that is not one of ours begins anew.
        if not _TOKEN.fullmatch(asked.get("token", "")) or not self._is_valid() or "_edit" in asked:
            return self._ask()
        if "_send" in asked and not self._has_changed():
            return self._send()
        return self._confirm()

    @property
    def forms(self) -> list[AudienceForm | ComposeForm]:
        """The forms that the first step shows."""
        return [
            part
            for part in (self.audience, self.content)
            if isinstance(part, (AudienceForm, ComposeForm))
        ]

    @property
    def addressees(self) -> Addressees:
        """Whom it is for, once the form is valid."""
        return (
            self.audience.addressees if isinstance(self.audience, AudienceForm) else self.audience
        )

    @property
    def drafts(self) -> Sequence[Draft]:
        """What is to be sent, once the form is valid."""
        return [self.content.draft] if isinstance(self.content, ComposeForm) else self.content

    def _is_valid(self) -> bool:
        found = [
            form.is_valid() for form in self.forms
        ]  # each of them, so that each says what is wrong
        return all(found)

    def _has_changed(self) -> bool:
        """Return whether other users are selected than when the number was shown: a filter may find more by now."""
        chosen = self.addressees.audience == Audience.USER
        return chosen and self.request.POST.get("reach") != str(self.addressees.count())

    def _ask(self) -> HttpResponse:
        parts = [
            helpers.AdminForm(cast("Any", form), form.fieldsets, {}, model_admin=self.model_admin)
            for form in self.forms
        ]
        media = self.model_admin.media
        for part in parts:
            media += part.media
        errors = (
            any(form.is_bound and form.errors for form in self.forms)
            and "_edit" not in self.request.POST
        )
        token = self.request.POST.get("token", "")
        context = {
            "parts": parts,
            "media": media,
            "errors": errors,
            "asks_audience": isinstance(self.audience, AudienceForm),
            "asks_content": isinstance(self.content, ComposeForm),
            "addressees": None if isinstance(self.audience, AudienceForm) else self.audience,
            "reach": None if isinstance(self.audience, AudienceForm) else self.audience.count(),
            "samples": ()
            if isinstance(self.content, ComposeForm)
            else [draft.notification for draft in self.content],
            "categories": sorted({*get_settings().CATEGORIES, *newest_categories()})
            if isinstance(self.content, ComposeForm)
            else (),
            "token": token if _TOKEN.fullmatch(token) else get_random_string(22),
            "carried": self.carried,
        }
        return self._render("compose.html", context)

    def _confirm(self) -> HttpResponse:
        carried = [
            (name, value)
            for name, values in self.request.POST.lists()
            for value in values
            if name not in _OF_A_STEP
        ]
        context = {
            "carried": carried,
            "items": [draft.notification for draft in self.drafts],
            "changed": "_send" in self.request.POST,
            "addressees": self.addressees,
            **numbers(self.addressees),
        }
        return self._render("confirm.html", context)

    def _send(self) -> HttpResponse:
        user, token, addressees = self.request.user, self.request.POST["token"], self.addressees
        message = note(addressees)
        sent: list[Notification] = []
        noted = 0
        with transaction.atomic(using=database()):
            locks.begin_write(database())
            for number, draft in enumerate(self.drafts):
                # With the user's key in it, so that nobody can use up another's.
                content: Any = {
                    **draft.content,
                    "idempotency_key": f"admin:{user.pk}:{token}:{number}",
                }
                rows = addressees.send(draft.title, draft.body, content)
                sent += rows
                # What is sent to chosen users is noted once, at the first of its rows.
                noted += self._note(
                    rows[:1] if addressees.audience == Audience.USER else rows, message
                )
        if noted:
            messages.success(self.request, message)
        else:
            messages.info(self.request, _("This was sent already, and not again."))
        if len(sent) == 1 and self.model_admin.has_view_permission(self.request):
            return HttpResponseRedirect(self.model_admin.address("change", sent[0].pk))
        return HttpResponseRedirect(self.back)

    def _note(self, rows: Sequence[Notification], message: str) -> int:
        """Write what is new into the admin's history, and return how many that were.

        A repeat finds the entry of the first: its rows and its history were committed together.
        """
        kind = ContentType.objects.get_for_model(Notification)
        keys = [str(row.pk) for row in rows]
        found = LogEntry.objects.filter(
            user=cast("Any", self.request.user),
            content_type=kind,
            object_id__in=keys,
            action_flag=ADDITION,
        )
        known = set(found.values_list("object_id", flat=True))
        fresh = [row for row in rows if str(row.pk) not in known]
        for row in fresh:
            self.model_admin.log_addition(self.request, row, message)
        return len(fresh)

    def _render(self, template: str, context: dict[str, Any]) -> HttpResponse:
        return render(
            self.model_admin,
            self.request,
            template,
            {**context, "title": self.title, "back": self.back},
        )


def begin(model_admin: NotificationAdmin, request: HttpRequest) -> HttpResponse:
    """Answer the page "Compose broadcast" with its first or a further step."""
    answers = request.POST if request.method == "POST" else None
    back = "changelist" if model_admin.has_view_permission(request) else "broadcast"
    return Composition(
        model_admin=model_admin,
        request=request,
        title=_("Compose broadcast"),
        audience=AudienceForm(answers, admin_site=model_admin.admin_site, request=request),
        content=ComposeForm(answers),
        back=model_admin.address(back),
    ).respond()


def preview(model_admin: NotificationAdmin, request: HttpRequest) -> HttpResponse:
    """Answer with the item as pages will show it, for what is filled in so far. It changes nothing."""
    _need_post(model_admin, request)
    form = ComposeForm(request.POST)
    form.full_clean()
    return render(model_admin, request, "preview.html", {"items": [form.sample]})


def reach(model_admin: NotificationAdmin, request: HttpRequest) -> HttpResponse:
    """Answer with the numbers for the audience that is chosen so far. It changes nothing."""
    _need_post(model_admin, request)
    form = AudienceForm(request.POST, admin_site=model_admin.admin_site, request=request)
    found = numbers(form.addressees) if form.is_valid() else {"reach": None, "connected": None}
    return render(model_admin, request, "reach.html", found)


def numbers(addressees: Addressees) -> dict[str, Any]:
    """Return how many it reaches, and how many of them are connected, in any process; ``None`` for what no query can tell."""
    connected = presence.connected_users(timeout=PRESENCE_SECONDS)
    return {"reach": addressees.count(), "connected": addressees.count_connected(connected)}


def render(
    model_admin: NotificationAdmin, request: HttpRequest, template: str, context: dict[str, Any]
) -> HttpResponse:
    """Return one of the admin's own pages."""
    request.current_app = model_admin.admin_site.name  # as Django's admin does
    shared = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "has_view_permission": model_admin.has_view_permission(request),
        "preview_url": model_admin.address("preview"),
        "reach_url": model_admin.address("reach"),
    }
    return TemplateResponse(request, f"{TEMPLATES}/{template}", {**shared, **context})


def note(addressees: Addressees) -> str:
    """Return what the admin's history says of a broadcast, and the page that comes after it."""
    reach = addressees.count()
    numbers = {"audience": addressees, "reach": "?" if reach is None else reach}
    return _("Sent. Audience: %(audience)s. Reach: %(reach)s.") % numbers


def carry(request: HttpRequest, action: str) -> list[tuple[str, str]]:
    """Return what keeps an action's selection through further steps, however many are selected."""
    selected = [
        (helpers.ACTION_CHECKBOX_NAME, key)
        for key in request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)
    ]
    return [
        ("action", action),
        ("select_across", request.POST.get("select_across", "0")),
        *selected,
    ]


def too_many(request: HttpRequest, count: int, most: int = MAX_USERS) -> bool:
    """Return whether ``count`` is more than ``most``, and say so."""
    if count > most:
        messages.error(
            request,
            _("At most %(most)s can be selected here, and these are %(count)s.")
            % {"most": most, "count": count},
        )
    return count > most


def _need_post(model_admin: NotificationAdmin, request: HttpRequest) -> None:
    if request.method != "POST" or not model_admin.has_broadcast_permission(request):
        raise PermissionDenied
