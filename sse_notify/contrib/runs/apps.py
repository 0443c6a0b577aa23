"""The app's entry in ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RunsConfig(AppConfig):
    """Lets hubs look after runs, and a process that shuts down end its own."""

    name = "sse_notify.contrib.runs"
    label = "sse_notify_runs"
    verbose_name = _("Runs")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the hub's job and what a shutdown does."""
        from sse_notify.contrib.runs import care, writing  # noqa: PLC0415
        from sse_notify.streaming import registry  # noqa: PLC0415

        registry.jobs.append(care.look_after)
        registry.at_shutdown.append(writing.writer.drain)
