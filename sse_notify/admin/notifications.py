"""Notifications in Django's admin: list them with their readers, send and recall them.

They cannot be edited, because browsers have received them already.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.db.models import Q, QuerySet
from django.forms import TextInput
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from sse_notify.access.receivers import disconnect
from sse_notify.admin import actions, compose
from sse_notify.admin.figures import UNKNOWN, Figures, figures_of
from sse_notify.admin.forms import SendForm
from sse_notify.models import Audience, Notification
from sse_notify.models.notification import fetch
from sse_notify.models.reading import span
from sse_notify.monitoring import live, presence
from sse_notify.sse.format import clean


class CategoryFilter(admin.SimpleListFilter):
    """Filter by category. The choices are the categories of the newest rows."""

    title = _("category")
    parameter_name = "category"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the categories, including the chosen one."""
        names = {*compose.newest_categories(), self.value() or ""} - {""}
        return [(name, name) for name in sorted(names)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen one."""
        return queryset.filter(category=self.value()) if self.value() else queryset

    def value(self) -> str | None:
        """Return the chosen one, without characters that no category has."""
        chosen = super().value()
        return chosen and clean(chosen)


class RecalledFilter(admin.SimpleListFilter):
    """Filter by whether a notification was recalled."""

    title = _("recalled")
    parameter_name = "recalled"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices."""
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen one."""
        recalled = {"yes": Q(recalled_at__isnull=False), "no": Q(recalled_at=None)}
        return queryset.filter(recalled.get(self.value() or "", Q()))


@admin.register(Notification)
class NotificationAdmin(compose.ComposeAdmin):
    """The list, newest first. "Add" sends at once; "Compose broadcast" asks for a confirmation."""

    form = SendForm
    date_hierarchy = "created_at"
    list_display = ("title", "addressee", "reach", "read", "state", "level", "category", "created")
    list_filter = ("level", "audience", CategoryFilter, RecalledFilter, "silent", "created_at")
    list_select_related = ("recipient", "group")
    raw_id_fields = ("recipient", "group")
    readonly_fields = ("state", "reach", "read")  # columns that the detail page shows too
    show_full_result_count = False  # counting a long log is slow
    actions = (actions.broadcast_selected, actions.recall_selected)

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["sse_notify/admin.css"]}

    # --- display ---

    @admin.display(description=_("for"))
    def addressee(self, notification: Notification) -> str:
        """Return the user, the group, or the audience."""
        named = notification.recipient or notification.group
        return str(named or notification.get_audience_display())

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, notification: Notification) -> str:
        """Return the time of creation in the short format."""
        moment = timezone.template_localtime(notification.created_at)  # type: ignore[attr-defined]
        return date_format(moment, "SHORT_DATETIME_FORMAT")

    @admin.display(description=_("reach"))
    def reach(self, notification: Notification) -> int | None:
        """Return how many users it reaches now."""
        return _figures(notification).reach

    @admin.display(description=_("read by"))
    def read(self, notification: Notification) -> int | None:
        """Return how many of them have read it."""
        return _figures(notification).read

    @admin.display(description=_("state"))
    def state(self, notification: Notification) -> str:
        """Return "Recalled", "Expired", "Sent" or "Pending"."""
        if notification.recalled_at is not None:
            return str(_("Recalled"))
        if notification.expires_at is not None and notification.expires_at <= timezone.now():
            return str(_("Expired"))
        return str(_("Sent") if notification.seq is not None else _("Pending"))

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the searched fields: the texts, and the recipient's ``USERNAME_FIELD``."""
        return ("title", "body", "category", "key", f"recipient__{get_user_model().USERNAME_FIELD}")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Refuse to filter by excluded users if the detail page does not show them either."""
        is_allowed = super().lookup_allowed(lookup, value, request)
        asks_who = lookup.partition("__")[0] == "excluded"
        return is_allowed and (not asks_who or live.may_view(request.user, get_user_model()))

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the change list, with the figures of all rows of the page counted together."""
        page = super().get_changelist_instance(request)
        rows = page.result_list = fetch(page.result_list)
        figures = figures_of(rows)
        for row in rows:
            row.figures = figures.get(row.pk, UNKNOWN)
        # The dates above the list are read from this.
        page.queryset = page.queryset.filter(created_at__range=span())
        return page

    def get_fields(self, request: HttpRequest, obj: Notification | None = None) -> Any:
        """Return the fields to fill in for a new notification, or all fields of a sent one."""
        if obj is None:
            hidden = () if self.has_broadcast_permission(request) else ("group",)
            return [name for name in SendForm.Meta.fields if name not in hidden]
        excluded = ["excluded"] * live.may_view(request.user, get_user_model())
        first = [*self.readonly_fields, "audience", "recipient", "group", *excluded]
        columns = [field.name for field in self.opts.fields if not field.is_relation]
        return first + [name for name in columns if name not in (*first, "actor_pk", "target_pk")]

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer every audience to users who may broadcast, and only "one user" to the others."""
        if db_field.name == "audience" and not self.has_broadcast_permission(request):
            kwargs["choices"] = [(Audience.USER.value, Audience.USER.label)]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Ask for the recipient's key only, unless the user may view users.

        Django's widget shows the name of whatever key was entered.
        """
        if db_field.name == "recipient" and not live.may_view(request.user, get_user_model()):
            kwargs["widget"] = TextInput(attrs={"class": "vForeignKeyRawIdAdminField"})
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    # --- permissions ---

    def may_disconnect(self, request: HttpRequest) -> bool:
        """Return whether this user may change, and so deactivate, other users."""
        opts = get_user_model()._meta
        return request.user.has_perm(f"{opts.app_label}.change_{opts.model_name}")

    def has_change_permission(self, request: HttpRequest, obj: Notification | None = None) -> bool:
        """Return ``False``: a sent notification cannot be changed."""
        return False

    # --- views ---

    def recall_one(self, request: HttpRequest, object_id: str) -> HttpResponse | None:
        """Recall one notification, after a confirmation: the button "Recall…"."""
        found = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, found):  # the confirmation shows it
            raise PermissionDenied
        if found is None:
            raise Http404
        rows = self.get_queryset(request).filter(pk=found.pk)
        return actions.recall_selected(self, request, rows)

    def save_model(self, request: HttpRequest, obj: Notification, form: Any, change: bool) -> None:
        """Send it inside the admin's transaction. The form itself saves nothing."""
        (sent,) = form.addressees.send(**form.arguments)
        obj.pk = sent.pk
        obj.refresh_from_db(using=sent._state.db)  # no replica has it yet

    def construct_change_message(self, request: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the text for the history: the audience and its reach."""
        return compose.describe(form.addressees)

    # --- the page "Live" ---

    def show_live(self, request: HttpRequest) -> HttpResponse:
        """Show every process and the connected users; a script keeps the page up to date.

        Staff who may not view users see only their number. Query: ``q``, a part of a username.
        """
        query, names = clean(request.GET.get("q", "")).strip(), live.may_watch_users(request.user)
        report = live.report(presence.look(live.TIMEOUT), query=query, names=names)
        shown = {"report": report, "query": query, "may_disconnect": self.may_disconnect(request)}
        topic = live.TOPIC if names else live.NUMBERS
        return self.render(request, "live.html", title=_("Live"), topic=topic, names=names, **shown)

    def end_streams(self, request: HttpRequest) -> HttpResponse:
        """End the streams of the user whose key is posted as ``user``; log it in the history."""
        model: Any = get_user_model()
        if not self.may_disconnect(request):
            raise PermissionDenied
        try:
            user = model._default_manager.get(pk=request.POST.get("user", ""))
        except (model.DoesNotExist, ValueError, ValidationError) as error:
            raise Http404(_("This user does not exist.")) from error
        # Streams end after the commit, so only if the history entry is written.
        with transaction.atomic(using=router.db_for_write(model)):
            self.log_change(request, user, _("The open streams were ended."))
            disconnect(user)
        messages.success(request, _("The open streams of %(user)s were ended.") % {"user": user})
        return HttpResponseRedirect(self.address("live"))

    # --- URLs ---

    def get_urls(self) -> list[URLPattern]:
        """Add this app's pages before Django's own, and the action to the user model's admin."""
        actions.offer_notify(self)
        broadcast, view = self.has_broadcast_permission, self.has_view_permission
        return [
            self._page("broadcast", "broadcast/", broadcast, self.compose),
            self._page("preview", "broadcast/preview/", broadcast, require_POST(self.preview)),
            self._page("reach", "broadcast/reach/", broadcast, require_POST(self.numbers)),
            self._page("recall", "<path:object_id>/recall/", broadcast, self.recall_one),
            self._page("live", "live/", view, require_safe(self.show_live)),
            self._page("disconnect", "live/disconnect/", view, require_POST(self.end_streams)),
            *super().get_urls(),
        ]

    def _page(self, name: str, route: str, may: Any, view: Any) -> URLPattern:
        def page(request: HttpRequest, **kwargs: Any) -> Any:
            if not may(request):
                raise PermissionDenied
            return view(request, **kwargs)

        return path(route, self.admin_site.admin_view(page), name=f"sse_notify_notification_{name}")


def _figures(row: Any) -> Figures:
    """Return the figures of a row: from the list, or counted now on the detail page."""
    if not hasattr(row, "figures"):
        row.figures = figures_of([row]).get(row.pk, UNKNOWN)
    return row.figures  # type: ignore[no-any-return]
