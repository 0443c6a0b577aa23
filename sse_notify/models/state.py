"""Models of state: inboxes, receipts, mutes, exclusions, the head of the log, heartbeats."""

from __future__ import annotations

from typing import Any

from django.conf import settings  # noqa: TID251  (AUTH_USER_MODEL is Django's setting)
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _

from sse_notify.models.fields import ExactCharField
from sse_notify.models.notification import Json, Notification

#: Maximum number of ids in one change; a larger change is sent as ``reset``. One request can mark
#: at most this many.
IDS_PER_CHANGE = 1000
#: Stands for several changes that cannot be merged.
LOST: dict[str, Any] = {"set": "lost"}


class Inbox(models.Model):
    """One user's watermarks, and the newest change to the user's inbox.

    The log numbers the change and sends it to the user's other pages.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+"
    )
    #: All rows numbered up to here are read, seen or archived, unless a receipt overrides it.
    read_up_to = models.BigIntegerField(default=0)
    seen_up_to = models.BigIntegerField(default=0)
    archived_up_to = models.BigIntegerField(default=0)
    #: The newest change's number in the log. NULL if the change is not numbered yet, or if there
    #: is none.
    state_seq = models.BigIntegerField(null=True, unique=True, default=None)
    #: Only the newest change: {"set": ..., "ids": [...] or "up_to": n, "client": ..., "after": n}.
    #: "after" is the number of the change before it.
    changes = Json(default=list)

    class Meta:
        verbose_name = _("inbox")
        verbose_name_plural = _("inboxes")

    def __str__(self) -> str:
        return f"user={self.user_id} state_seq={self.state_seq}"

    def note(self, change: dict[str, Any] = LOST) -> None:
        """Make ``change`` the newest change, without saving the inbox, which is locked.

        It is merged with a similar change that has no number yet.

        Args:
            change: ``{"set": ..., "ids": [...] or "up_to": n, "client": ...}``. Without it, the
                user's pages fetch the inbox again.
        """
        waiting, before = self.newest_change()
        if self.state_seq is not None:
            before = self.state_seq
        elif waiting is not None:
            change = _merge(waiting, change)
        if len(change.get("ids", ())) > IDS_PER_CHANGE:
            change = LOST
        self.changes = [{**change, "after": before}]
        self.state_seq = None

    def newest_change(self) -> tuple[dict[str, Any] | None, int]:
        """Return the newest change and the number of the change before.

        An older version of this package stored several changes, each with its number.
        """
        if not self.changes:
            return None, 0
        try:
            said = dict(self.changes[-1])
            *earlier, number = (change.get("seq", self.state_seq) for change in self.changes)
            before = int(max(filter(None, earlier), default=said.pop("after", 0)))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return LOST, 0  # written by hand
        said.pop("seq", None)
        ids, up_to = said.get("ids", []), said.get("up_to", 0)
        is_odd = not isinstance(ids, list) or any(type(each) is not int for each in (up_to, *ids))
        return LOST if number in earlier or is_odd else said, before


def _merge(waiting: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return both changes merged, or ``LOST`` if they cannot be merged."""
    if all(waiting.get(name) == change.get(name) for name in ("set", "client")):
        if "up_to" in waiting and "up_to" in change:
            return {**change, "up_to": max(waiting["up_to"], change["up_to"])}
        if "ids" in waiting and "ids" in change:
            return {**change, "ids": list(dict.fromkeys([*waiting["ids"], *change["ids"]]))}
    return LOST


class OfUser(models.Model):
    """Base class of a user's rows. The unique constraint also serves as the index on the user."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, db_index=False, related_name="+"
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        fields = self._meta.total_unique_constraints[0].fields
        return " ".join(f"{name}={self.serializable_value(name)}" for name in fields)


class Receipt(OfUser):
    """What one user did with one notification. The first action creates the row.

    ``unread_at`` and ``unarchived_at`` override the inbox's watermarks: the user marked the item
    unread, or took it out of the archive, after the watermark had passed it.
    """

    notification = models.ForeignKey(Notification, models.CASCADE, related_name="receipts")
    seen_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    unread_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)
    unarchived_at = models.DateTimeField(null=True)
    #: When the user cancelled the notification's long work.
    cancel_asked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("receipt")
        verbose_name_plural = _("receipts")
        # For the counts: find the few receipts that override a watermark.
        indexes = (
            models.Index(fields=("user", "unread_at"), name="sse_notify_unread_again"),
            models.Index(fields=("user", "unarchived_at"), name="sse_notify_back_again"),
        )
        constraints = (
            models.UniqueConstraint(fields=("user", "notification"), name="sse_notify_one_receipt"),
        )


class Mute(OfUser):
    """One category that one user has muted.

    Its notifications are kept and listed, but neither counted nor announced.
    """

    category = ExactCharField(_("category"), max_length=100)

    class Meta:
        verbose_name = _("muted category")
        verbose_name_plural = _("muted categories")
        constraints = (
            models.UniqueConstraint(fields=("user", "category"), name="sse_notify_one_mute"),
        )


class Exclusion(OfUser):
    """A user whom a broadcast excludes."""

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
    """The single row with the last number of the log. Its lock gives the right to number rows."""

    #: The last number that was assigned.
    seq = models.BigIntegerField(default=0)
    #: Rows up to here may have been pruned, so a stream cannot resume from an older cursor.
    floor = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("head of the log")
        verbose_name_plural = _("heads of the log")

    def __str__(self) -> str:
        return f"seq={self.seq}"


class Heartbeat(models.Model):
    """The last report of a process with open streams, see `sse_notify.monitoring.processes`."""

    id = ExactCharField(primary_key=True, max_length=100)
    #: When the row was written, by the database's clock.
    at = models.DateTimeField()
    #: The process's status as a JSON object: its streams, users, cursor and so on.
    figures = Json(encoder=DjangoJSONEncoder)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.id)
