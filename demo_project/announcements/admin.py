"""Sending from the admin's own form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.translation import gettext as _

from demo_project.announcements.models import Announcement
from sse_notify import broadcast
from sse_notify.models import Audience

if TYPE_CHECKING:
    from django.http import HttpRequest


@admin.register(Announcement)
class AnnouncementAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """A new announcement is broadcast when it is saved; a correction is not."""

    list_display = ("title", "level", "audience", "author", "created_at")
    list_filter = ("level", "audience")
    list_select_related = ("author",)
    search_fields = ("title", "body")
    date_hierarchy = "created_at"

    def save_model(self, request: HttpRequest, obj: Announcement, form: Any, change: bool) -> None:  # noqa: FBT001
        """Save, and broadcast a new announcement."""
        if not change:
            obj.author = request.user  # type: ignore[assignment]  # the admin requires a login
        super().save_model(request, obj, form, change)
        if not change:
            broadcast(
                obj.title,
                obj.body,
                audience=Audience(obj.audience),
                level=obj.level,
                url=obj.get_absolute_url(),
                category=_("Announcements"),
                actor=obj.author,
                target=obj,
            )
