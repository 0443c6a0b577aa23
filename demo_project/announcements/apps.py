"""Sending from the admin."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import Scenario


class AnnouncementsConfig(AppConfig):
    """Announcements to everyone, written in the admin."""

    name = "demo_project.announcements"
    verbose_name = _("Announcements")
    scenario = Scenario(
        name=_("Announcements"),
        summary=_(
            "Written in Django's admin and broadcast when saved: one row, however many people read it."
        ),
        sends="ModelAdmin.save_model()",
        url_name="announcements:list",
        icon="megaphone",
        guide="how-to/broadcast-from-the-admin",
    )
