"""The app's entry in ``INSTALLED_APPS``."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_delete
from django.utils.translation import gettext_lazy as _

from sse_notify.contrib.runs.states import State


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
        pre_delete.connect(_stop, sender=self.get_model("Run"))


def _stop(sender: Any, instance: Any, **kwargs: Any) -> None:
    """Stop a run that is deleted, as with its owner: else its writer would add a row meanwhile."""
    from sse_notify.contrib.runs import storing  # noqa: PLC0415

    if instance.is_running:
        storing.finish(instance.pk, State.STOPPED)
