"""A public topic: everybody may write and watch, with an account or without."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import STREAMS, Scenario


class WallConfig(AppConfig):
    """A wall that anybody can write on."""

    name = "demo_project.wall"
    label = "demo_wall"
    verbose_name = _("Broadcast wall")
    scenario = Scenario(
        name=_("Broadcast wall"),
        summary=_(
            "A public topic. Visitors without an account write and watch, and who comes late sees the last messages."
        ),
        sends='@topic("wall", public=True)',
        url_name="wall:wall",
        icon="wall",
        heading=STREAMS,
        guide="how-to/define-a-topic",
        public=True,
    )
