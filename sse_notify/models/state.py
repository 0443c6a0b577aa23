"""What users did, how far the log is numbered, and how the processes are."""

from __future__ import annotations

from django.conf import settings  # noqa: TID251  (AUTH_USER_MODEL is Django's setting, not one of ours)
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from sse_notify.models.notification import Notification


class Inbox(models.Model):
    """One user's state as a whole: the watermarks, and the newest change, which the user's other pages have to hear of."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+"
    )
    #: Everything numbered up to here is read, seen or archived, unless a receipt says otherwise.
    read_up_to = models.BigIntegerField(default=0)
    seen_up_to = models.BigIntegerField(default=0)
    archived_up_to = models.BigIntegerField(default=0)
    #: The log's number of the newest change; NULL while it is committed and not numbered yet, or if there is none.
    state_seq = models.BigIntegerField(null=True, unique=True, default=None)
    #: The newest change alone: {"set": ..., "ids": [...] or "up_to": n, "client": ..., "after": the number of the one before}.
    changes = models.JSONField(default=list)

    class Meta:
        verbose_name = _("inbox")
        verbose_name_plural = _("inboxes")

    def __str__(self) -> str:
        return f"user={self.user_id} state_seq={self.state_seq}"


class OfUser(models.Model):
    """What one user has of its kind. The constraints that begin with the user are the index."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, db_index=False, related_name="+"
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        fields = self._meta.total_unique_constraints[0].fields
        return " ".join(f"{name}={self.serializable_value(name)}" for name in fields)


class Receipt(OfUser):
    """What one user did with one notification. There is no row until the user touches it.

    ``unread_at`` and ``unarchived_at`` override the inbox's watermarks: the user marked the item unread, or took it back from the
    archive, after the watermark had passed it.
    """

    notification = models.ForeignKey(Notification, models.CASCADE, related_name="receipts")
    seen_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    unread_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)
    unarchived_at = models.DateTimeField(null=True)
    #: When the user asked for the end of the long work that the notification tells of.
    cancel_asked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("receipt")
        verbose_name_plural = _("receipts")
        # Find the few that override a watermark, when unread notifications are counted.
        indexes = (
            models.Index(fields=("user", "unread_at"), name="sse_notify_unread_again"),
            models.Index(fields=("user", "unarchived_at"), name="sse_notify_back_again"),
        )
        constraints = (
            models.UniqueConstraint(fields=("user", "notification"), name="sse_notify_one_receipt"),
        )


class Mute(OfUser):
    """One category that one user does not want to hear of: kept and listed, but neither counted nor announced."""

    category = models.CharField(_("category"), max_length=100)

    class Meta:
        verbose_name = _("muted category")
        verbose_name_plural = _("muted categories")
        constraints = (
            models.UniqueConstraint(fields=("user", "category"), name="sse_notify_one_mute"),
        )


class Exclusion(OfUser):
    """One user who does not get one broadcast."""

    notification = models.ForeignKey(Notification, models.CASCADE, related_name="exclusions")

    class Meta:
        verbose_name = _("exclusion")
        verbose_name_plural = _("exclusions")
        constraints = (
            models.UniqueConstraint(
                fields=("user", "notification"), name="sse_notify_one_exclusion"
            ),
        )


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
