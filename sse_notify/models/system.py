"""How far the log is numbered, and how the processes are."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from sse_notify.topics import Audience as Audience


class LogHead(models.Model):
    """The one row that says how far the log is numbered. Who holds its lock is the one that numbers."""

    #: The newest number that was given out.
    seq = models.BigIntegerField(default=0)
    #: Everything up to here may have been pruned: an older cursor cannot be honoured.
    floor = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("head of the log")
        verbose_name_plural = _("heads of the log")

    def __str__(self) -> str:
        return f"seq={self.seq}"


class Heartbeat(models.Model):
    """What one process with open streams last wrote: see :mod:`sse_notify.monitoring.heartbeat`."""

    id = models.CharField(primary_key=True, max_length=100)
    #: When it was written, by the database's clock.
    at = models.DateTimeField()
    #: The fields of a `HubStatus`.
    figures = models.JSONField(encoder=DjangoJSONEncoder)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.id
