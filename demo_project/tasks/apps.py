"""Long work in a separate process."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import STREAMS, Scenario


class TasksConfig(AppConfig):
    """Jobs with a progress bar."""

    name = "demo_project.tasks"
    label = "demo_tasks"
    verbose_name = _("Background tasks")
    scenario = Scenario(
        name=_("Background tasks"),
        summary=_(
            "Real jobs in a worker of their own: progress, time left, cancel, result. They survive a reload and a restart."
        ),
        sends="with Progress(…)",
        url_name="tasks:list",
        icon="tasks",
        heading=STREAMS,
        guide="how-to/progress",
    )

    def ready(self) -> None:
        """Connect the signal."""
        from demo_project.tasks import relay  # noqa: F401, PLC0415
