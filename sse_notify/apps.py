"""The app's entry in ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SseNotifyConfig(AppConfig):
    """Wires the system checks, the doorbells of permissions and the live page; everything else starts when it is first used."""

    name = "sse_notify"
    verbose_name = _("Notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, receive what may end a permission, and import every app's ``topics.py``.

        Raises:
            Exception: whatever a ``topics.py`` raises.
        """
        from sse_notify import checks, live, revocation, topics  # noqa: F401, PLC0415

        revocation.connect()
        live.connect()
        topics.discover()
