"""Announcements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sse_notify.models import Audience, Level

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class AnnouncementQuerySet(models.QuerySet["Announcement"]):
    """The queries for announcements."""

    def visible_to(self, user: User) -> Self:
        """Return the announcements that ``user`` may read."""
        return self if user.is_staff else self.filter(audience=Audience.EVERYONE)


class Announcement(models.Model):
    """An announcement to everyone, or to staff."""

    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("author"),
    )
    title = models.CharField(_("title"), max_length=120)
    body = models.TextField(_("text"))
    level = models.CharField(_("level"), max_length=8, choices=Level, default=Level.INFO)
    audience = models.CharField(
        _("audience"),
        max_length=8,
        choices=[
            (Audience.EVERYONE.value, Audience.EVERYONE.label),
            (Audience.STAFF.value, Audience.STAFF.label),
        ],
        default=Audience.EVERYONE,
    )
    created_at = models.DateTimeField(_("published"), default=timezone.now, editable=False)

    objects = AnnouncementQuerySet.as_manager()

    class Meta:
        verbose_name = _("announcement")
        verbose_name_plural = _("announcements")
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """Return the address of the announcement on the list page."""
        return f"{reverse('announcements:list')}#announcement-{self.pk}"
