"""The app's entry in ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

from sse_notify.concurrency.greenlets import has_greenlets


class SseNotifyConfig(AppConfig):
    """Registers the checks and connects the receivers. Everything else starts at its first use."""

    name = "sse_notify"
    verbose_name = _("Notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, connect the receivers, and import every app's ``topics.py``.

        Raises:
            ImproperlyConfigured: this is a worker of eventlet.
            Exception: a ``topics.py`` raised it.
        """
        has_greenlets()
        from sse_notify import checks  # noqa: F401, PLC0415
        from sse_notify.access import receivers  # noqa: PLC0415
        from sse_notify.monitoring import live, processes  # noqa: F401, PLC0415

        receivers.connect()
        autodiscover_modules("topics")
