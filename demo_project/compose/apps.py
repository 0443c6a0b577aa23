"""Sending from a form."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import Scenario


class ComposeConfig(AppConfig):
    """One form, one view."""

    name = "demo_project.compose"
    label = "demo_compose"
    scenario = Scenario(
        name=_("Compose"),
        summary=_("A form that sends a notification to one person, to a team, or to everyone."),
        sends="notify() · broadcast()",
        url_name="compose:form",
        icon="send",
        guide="how-to/notify-from-anywhere",
    )
