"""Sending from an async view."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import Scenario


class PeopleConfig(AppConfig):
    """The colleagues, each with a button to wave."""

    name = "demo_project.people"
    label = "demo_people"
    scenario = Scenario(
        name=_("People"),
        summary=_(
            "Wave at a colleague. Wave again, and the same notification counts up instead of piling up."
        ),
        sends="await anotify(key=…)",
        url_name="people:list",
        icon="people",
        guide="how-to/notify-from-anywhere",
    )
