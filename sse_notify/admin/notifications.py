"""The log in Django's admin: read what was sent and how far it came, send, and take back.

What is sent cannot be edited: pages and streams have it already.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_permission_codename, get_user_model
from django.http import Http404
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sse_notify.admin import compose, rows
from sse_notify.admin.figures import Figures, figures_of
from sse_notify.admin.filters import CategoryFilter, RecalledFilter
from sse_notify.admin.forms import SendForm
from sse_notify.admin.users import offer_notify
from sse_notify.models import Notification
from sse_notify.views.live import admin_urls

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    NotificationModelAdmin = admin.ModelAdmin[Notification]
else:
    NotificationModelAdmin = admin.ModelAdmin


class NotificationList(ChangeList):
    """A page of the list, with the figures of all its rows."""

    def get_results(self, request: HttpRequest) -> None:
        """Find the page's rows, and count for them all at once."""
        super().get_results(request)
        with_figures(cast("Sequence[Notification]", self.result_list))


def with_figures(found: Sequence[Notification]) -> None:
    """Give each row its ``figures``, ``None`` where there are none."""
    figures = figures_of(found)
    for row in found:
        row.figures = figures.get(row.pk)  # type: ignore[attr-defined]  # for the columns below


@admin.register(Notification)
class NotificationAdmin(NotificationModelAdmin):
    """The log, newest first. "Add" sends; "Compose broadcast" shows whom it reaches before it does."""

    form = SendForm
    date_hierarchy = "created_at"
    list_display = ("title", "addressee", "reach", "read", "state", "level", "category", "created")
    list_filter = ("level", "audience", CategoryFilter, RecalledFilter, "silent", "created_at")
    list_select_related = ("recipient", "group")
    raw_id_fields = ("recipient", "group")
    show_full_result_count = False  # counting a long log costs more than showing a page of it
    actions = ("broadcast_selected", "recall_selected")

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["sse_notify/admin.css"]}

    # --- what is shown --------------------------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("for"))
    def addressee(self, notification: Notification) -> str:
        """Return the user, the group, or the audience."""
        return str(
            notification.recipient or notification.group or notification.get_audience_display()
        )

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, notification: Notification) -> str:
        """Return when, in few letters."""
        moment = notification.created_at
        return date_format(
            timezone.localtime(moment) if timezone.is_aware(moment) else moment,
            "SHORT_DATETIME_FORMAT",
        )

    @admin.display(description=gettext_lazy("reach"))
    def reach(self, notification: Notification) -> int | None:
        """Return how many users it reaches now."""
        figures = _figures(notification)
        return figures.reach if figures is not None else None

    @admin.display(description=gettext_lazy("read by"))
    def read(self, notification: Notification) -> int | None:
        """Return how many of them have read it."""
        figures = _figures(notification)
        return figures.read if figures is not None else None

    @admin.display(description=gettext_lazy("state"))
    def state(self, notification: Notification) -> str:
        """Return what became of it."""
        if notification.recalled_at is not None:
            return _("Recalled")
        if notification.expires_at is not None and notification.expires_at <= timezone.now():
            return _("Expired")
        return _("Sent") if notification.seq is not None else _("Pending")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search in what it says, and by the recipient's name, whatever field the project's user model has for it."""
        return ("title", "body", "category", "key", f"recipient__{get_user_model().USERNAME_FIELD}")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list with figures."""
        return NotificationList

    def get_fields(self, request: HttpRequest, obj: Notification | None = None) -> Any:
        """Show what can be sent, and of what was sent, everything."""
        if obj is None:
            group = () if self.has_broadcast_permission(request) else ("group",)
            return [name for name in SendForm.Meta.fields if name not in group]
        names = [
            field.name
            for field in Notification._meta.get_fields()
            if field.concrete and not field.is_relation
        ]
        return [
            "state",
            "reach",
            "read",
            "audience",
            "recipient",
            "group",
            "excluded",
            *(name for name in names if name not in ("audience", "actor_pk", "target_pk")),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Notification | None = None) -> Any:
        """Show the columns of the list on the page of one as well."""
        return ("state", "reach", "read") if obj is not None else ()

    def get_form(  # Django's own arguments
        self,
        request: HttpRequest,
        obj: Any = None,
        change: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> Any:
        """Return the form for what this user may send."""
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(
            form.__name__, (form,), {"may_broadcast": self.has_broadcast_permission(request)}
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Lead to the page that composes, and to how the hubs are."""
        tools = (
            [(_("Compose broadcast"), self.address("broadcast"))]
            if self.has_broadcast_permission(request)
            else []
        )
        tools.append((_("Live"), self.address("live")))
        return super().changelist_view(request, {"own_tools": tools, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Lead to its recall."""
        tools = (
            [(_("Recall…"), self.address("recall", object_id))]
            if self.has_broadcast_permission(request)
            else []
        )
        return super().change_view(
            request, object_id, form_url, {"own_tools": tools, **(extra_context or {})}
        )

    # --- who may --------------------------------------------------------------------------------------------------------------

    def has_broadcast_permission(self, request: HttpRequest) -> bool:
        """Return whether this user may broadcast, and recall."""
        return request.user.has_perm(
            f"{self.opts.app_label}.{get_permission_codename('broadcast', self.opts)}"
        )

    def has_change_permission(self, request: HttpRequest, obj: Notification | None = None) -> bool:
        """Never: it is sent."""
        return False

    # --- what is done ---------------------------------------------------------------------------------------------------------

    @admin.action(
        description=gettext_lazy("Broadcast selected notifications…"), permissions=["broadcast"]
    )
    def broadcast_selected(
        self, request: HttpRequest, selected: QuerySet[Notification]
    ) -> HttpResponse | None:
        """Ask for an audience, and broadcast them to it."""
        return rows.broadcast_again(self, request, selected)

    @admin.action(
        description=gettext_lazy("Recall selected notifications…"), permissions=["broadcast"]
    )
    def recall_selected(
        self, request: HttpRequest, selected: QuerySet[Notification]
    ) -> HttpResponse | None:
        """Ask once, and take them back from everybody."""
        return rows.take_back(self, request, selected, compose.carry(request, "recall_selected"))

    def recall_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer the button "Recall…" of one notification."""
        found = self.get_queryset(request).filter(pk=_key(object_id))
        if not found.exists():
            raise Http404
        response = rows.take_back(self, request, found)
        assert response is not None, "one is never too many"
        return response

    def save_model(self, request: HttpRequest, obj: Notification, form: Any, change: bool) -> None:  # noqa: FBT001  (Django's)
        """Send it, inside the admin's transaction; the row is written by the verbs, not by the form."""
        obj.pk = form.send().pk
        obj.refresh_from_db()

    def construct_change_message(
        self,
        request: HttpRequest,
        form: Any,
        formsets: Any,
        add: bool = False,  # noqa: FBT001, FBT002
    ) -> Any:
        """Name the audience and its reach in the history."""
        return compose.note(form.addressees)

    # --- where ----------------------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add this app's pages before Django's own, and offer the action on users: every model is registered by now."""
        offer_notify(self)
        pages: dict[str, tuple[str, Any]] = {
            "broadcast": ("broadcast/", partial(compose.begin, self)),
            "preview": ("broadcast/preview/", partial(compose.preview, self)),
            "reach": ("broadcast/reach/", partial(compose.reach, self)),
            "recall": ("<path:object_id>/recall/", self.recall_one),
        }
        own = [
            path(route, self.admin_site.admin_view(view), name=self._name(name))
            for name, (route, view) in pages.items()
        ]
        return own + admin_urls(self) + super().get_urls()

    def address(self, page: str, *args: Any) -> str:
        """Return the address of one of this model's pages on this site."""
        return reverse(f"admin:{self._name(page)}", args=args, current_app=self.admin_site.name)

    def _name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"


def _figures(notification: Notification) -> Figures | None:
    if not hasattr(notification, "figures"):  # the page of one
        with_figures([notification])
    return cast("Any", notification).figures  # type: ignore[no-any-return]


def _key(object_id: str) -> int:
    try:
        return int(unquote(object_id))
    except ValueError:
        raise Http404 from None
