"""What users did, how far the log is numbered, and how the processes are."""

from __future__ import annotations

from typing import Any

from django.conf import settings  # noqa: TID251  (AUTH_USER_MODEL is Django's setting, not one of ours)
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from sse_notify.models.notification import Notification

#: Ids that one change can name; a change of more is told as ``reset``. A request marks as many at
#: most.
IDS_PER_CHANGE = 1000
#: What stands for more than one change can say.
LOST: dict[str, Any] = {"set": "lost"}


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

    def note(self, change: dict[str, Any] = LOST) -> None:
        """Make ``change`` the newest, without saving it.

        One like it that still waits for its number is merged with it.

        Args:
            change: ``{"set": ..., "ids": [...] or "up_to": n, "client": ...}``; without it, the
                user's pages fetch the inbox again.
        """
        newest, before = self.newest()
        if self.state_seq is not None:
            before = self.state_seq
        elif newest is not None:
            change = _merge(newest, change)
        if len(change.get("ids", ())) > IDS_PER_CHANGE:
            change = LOST
        self.changes = [{**change, "after": before}]
        self.state_seq = None

    def newest(self) -> tuple[dict[str, Any] | None, int]:
        """Return the newest change, and the number of the one before.

        A process of an older version, beside this one or before it, kept more than the newest, and
        with each its own number.
        """
        if not self.changes:
            return None, 0
        newest = dict(self.changes[-1])
        *earlier, number = (change.get("seq", self.state_seq) for change in self.changes)
        before = max(filter(None, earlier), default=newest.pop("after", 0))
        newest.pop("seq", None)
        return LOST if number in earlier else newest, before


def _merge(waiting: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return both changes as one, or what stands for more than one."""
    if all(waiting.get(name) == change.get(name) for name in ("set", "client")):
        if "up_to" in waiting and "up_to" in change:
            return {**change, "up_to": max(waiting["up_to"], change["up_to"])}
        if "ids" in waiting and "ids" in change:
            return {**change, "ids": list(dict.fromkeys([*waiting["ids"], *change["ids"]]))}
    return LOST


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
