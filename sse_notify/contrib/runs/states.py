"""How runs go on and end."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    """Whether a run goes on, and how it ended."""

    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    STOPPED = "stopped", _("Stopped")
    STALLED = "stalled", _("Stalled")
    INTERRUPTED = "interrupted", _("Interrupted")


#: Maximum length of a run's key in characters.
KEY_LENGTH = 200
