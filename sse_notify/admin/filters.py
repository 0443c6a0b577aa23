"""The filters of the list, none of which looks through the whole log for what it offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from sse_notify.log import database
from sse_notify.models import Notification

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


#: The newest rows in which categories are looked for.
CATEGORIES_OF = 1000


def newest_categories() -> set[str]:
    """Return the categories of the newest rows: by the primary key, however long the log."""
    rows = Notification.objects.using(database()).order_by("-pk")
    return set(rows.values_list("category", flat=True)[:CATEGORIES_OF]) - {""}


class CategoryFilter(admin.SimpleListFilter):
    """By category: those of the newest rows."""

    title = _("category")
    parameter_name = "category"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the categories, and the one that is chosen."""
        return [(name, name) for name in sorted({*newest_categories(), self.value() or ""} - {""})]

    def has_output(self) -> bool:
        """Show it if there is any."""
        return bool(self.lookup_choices)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Notification]
    ) -> QuerySet[Notification]:
        """Return the rows of the chosen one."""
        return queryset.filter(category=self.value()) if self.value() else queryset


class RecalledFilter(admin.SimpleListFilter):
    """By whether it was taken back."""

    title = _("recalled")
    parameter_name = "recalled"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices."""
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Notification]
    ) -> QuerySet[Notification]:
        """Return the rows of the chosen one."""
        if self.value() in ("yes", "no"):
            return queryset.filter(recalled_at__isnull=self.value() == "no")
        return queryset
