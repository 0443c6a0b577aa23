"""Sending from a signal."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import Scenario


class BoardConfig(AppConfig):
    """A team's board: posts, and comments on them."""

    name = "demo_project.board"
    verbose_name = _("Team board")
    scenario = Scenario(
        name=_("Team board"),
        summary=_(
            "Posts and comments. A comment tells the author of the post, from a post_save signal."
        ),
        sends="@receiver(post_save)",
        url_name="board:list",
        icon="board",
        guide="how-to/notify-from-anywhere",
    )

    def ready(self) -> None:
        """Connect the signal."""
        from demo_project.board import receivers  # noqa: F401, PLC0415
