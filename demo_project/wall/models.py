"""Messages on the wall."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sse_notify import publish

#: Messages that are kept.
KEPT = 200


class Message(models.Model):
    """One message, by a user or by a visitor who gives a name."""

    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, verbose_name=_("author")
    )
    name = models.CharField(_("name"), max_length=30, blank=True)
    text = models.CharField(_("text"), max_length=280)
    created_at = models.DateTimeField(_("written"), default=timezone.now)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ("-pk",)

    def __str__(self) -> str:
        return self.text[:60]

    def as_event(self) -> dict[str, Any]:
        """Return the data of the message's event."""
        return {
            "pk": self.pk,
            "name": self.name,
            "text": self.text,
            "at": self.created_at.isoformat(timespec="seconds"),
        }


def write(message: Message) -> None:
    """Save a message, publish it after the commit, and delete messages too old to be shown."""
    message.save()
    transaction.on_commit(lambda: publish("wall", message.as_event(), event="wall"), robust=True)
    Message.objects.filter(pk__lte=message.pk - KEPT).delete()
