"""The server's own log."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import STREAMS, Scenario


class LiveLogConfig(AppConfig):
    """Follows the log while it is written."""

    name = "demo_project.livelog"
    label = "demo_livelog"
    scenario = Scenario(
        name=_("Live log"),
        summary=_(
            "The log of this very server, for its staff. Who reads slowly holds nobody up, and is told what was left out."
        ),
        sends="logging.Handler",
        url_name="livelog:page",
        icon="log",
        guide="how-to/stream-your-own-events",
        heading=STREAMS,
        staff=True,
    )
