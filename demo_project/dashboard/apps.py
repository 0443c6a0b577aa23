"""This machine, once a second."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import STREAMS, Scenario


class DashboardConfig(AppConfig):
    """A dashboard that measures only while somebody watches."""

    name = "demo_project.dashboard"
    label = "demo_dashboard"
    scenario = Scenario(
        name=_("System dashboard"),
        summary=_(
            "What this machine does, measured once a second for all who watch, and not at all when nobody does."
        ),
        sends="EventSource",
        url_name="dashboard:page",
        icon="gauge",
        guide="how-to/stream-your-own-events",
        heading=STREAMS,
    )
