"""The bytes of a stream."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import STREAMS, Scenario


class LabConfig(AppConfig):
    """One stream, with every byte of it on the page."""

    name = "demo_project.lab"
    label = "demo_lab"
    scenario = Scenario(
        name=_("Protocol lab"),
        summary=_(
            "See the bytes of a stream as they come. Cut the connection, and see the hole being filled."
        ),
        sends="Last-Event-ID",
        url_name="lab:page",
        icon="flask",
        guide="how-to/stream-your-own-events",
        heading=STREAMS,
        public=True,
    )
