"""Jobs and their results, in a table that serves as the task queue. Any queue would do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sse_notify import ProgressFailed
from sse_notify.models import Notification

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Seconds between two heartbeats of a worker.
ALIVE_SECONDS = 1.0


class Kind(models.TextChoices):
    """The kinds of jobs."""

    SURVEY = "survey", _("Table of files (CSV)")
    PICTURE = "picture", _("Picture of lines (PNG)")


class Package(models.TextChoices):
    """The source code that a job reads, on this machine."""

    DJANGO = "django", "Django"
    PYTHON = "python", _("Python's standard library")
    OURS = "sse_notify", "sse_notify"


class State(models.TextChoices):
    """The states of a job."""

    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


#: States of the progress that replace "running": the worker is silent, or the owner has cancelled.
_TOLD = {"stalled": _("Stalled"), "cancelled": State.CANCELLED.label}


class Job(models.Model):
    """One job. Its progress is a notification, under the key :attr:`key`."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="jobs", verbose_name=_("owner")
    )
    kind = models.CharField(_("what"), max_length=10, choices=Kind.choices, default=Kind.SURVEY)
    package = models.CharField(
        _("of"), max_length=20, choices=Package.choices, default=Package.DJANGO
    )
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.WAITING
    )
    #: The worker that runs it, and the time of its last heartbeat.
    worker = models.CharField(max_length=40, blank=True)
    alive_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    result = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering = ("-pk",)
        indexes = (models.Index(fields=["state", "alive_at"], name="job_to_do"),)

    def __str__(self) -> str:
        return f"{Kind(self.kind).label}: {Package(self.package).label}"

    @property
    def key(self) -> str:
        """The key of its progress."""
        return f"job:{self.pk}"

    @property
    def result_url(self) -> str:
        """The address of the result; "" before there is one."""
        return reverse("tasks:result", args=[self.pk]) if self.state == State.DONE else ""

    @classmethod
    def claim(cls, worker: str, patience: float) -> Job | None:
        """Assign the oldest free job to ``worker`` and return it; ``None`` if there is none.

        Args:
            worker: the unique name of the worker.
            patience: seconds without a heartbeat after which a worker counts as dead and its job
                is free again.
        """
        dead = timezone.now() - timedelta(seconds=patience)
        free = cls.objects.filter(
            Q(state=State.WAITING) | Q(state=State.RUNNING, alive_at__lt=dead)
        )
        while (job := free.defer("result").order_by("pk").first()) is not None:
            # The first worker to change the row gets it: the others find another ``attempts``.
            if free.filter(pk=job.pk, attempts=job.attempts).update(
                state=State.RUNNING,
                worker=worker,
                alive_at=timezone.now(),
                attempts=F("attempts") + 1,
            ):
                job.refresh_from_db(fields=["state", "worker", "alive_at", "attempts"])
                return job
        return None

    def stay_alive(self) -> None:
        """Write the worker's heartbeat.

        Raises:
            ProgressFailed: the job now belongs to another worker, or was deleted.
        """
        now = timezone.now()
        if self.alive_at is None or now - self.alive_at >= timedelta(seconds=ALIVE_SECONDS):
            self.alive_at = now
            if not self._mine().update(alive_at=now):
                raise ProgressFailed(_("Another worker has it now."))

    def end(self, state: State, result: bytes | None = None) -> bool:
        """Write how the job ended. Return whether it still belonged to this worker."""
        return bool(self._mine().update(state=state, result=result))

    def _mine(self) -> models.QuerySet[Job]:
        return Job.objects.filter(pk=self.pk, worker=self.worker, state=State.RUNNING)

    def as_dict(self, progress: dict[str, Any]) -> dict[str, Any]:
        """Return the job's data for the page.

        Args:
            progress: the progress of its notification; empty before the job has begun.
        """
        told = progress.get("state", "") if self.state == State.RUNNING else ""
        state = told if told in _TOLD else self.state
        return {
            "pk": self.pk,
            "name": str(self),
            "state": state,
            "label": str(_TOLD.get(told, State(self.state).label)),
            "percent": 100 if state == State.DONE else progress.get("percent") or 0,
            "message": "" if state == State.WAITING else progress.get("message", ""),
            "eta": progress.get("eta") if state == State.RUNNING else None,
            "result": self.result_url,
            # A waiting job has no notification, so this app cancels it. A job that has begun is
            # cancelled as in the bell, by the id of its notification.
            "cancel": reverse("tasks:cancel", args=[self.pk])
            if state == State.WAITING
            else reverse("sse_notify:cancel")
            if progress.get("cancellable") and state in (State.RUNNING, "stalled")
            else "",
            "notification": progress.get("id", ""),
        }


def progress_of(jobs: Iterable[Job]) -> dict[str, dict[str, Any]]:
    """Return the progress of the jobs that have begun, by key, with the notification's ``id``."""
    shown = {job.key: job.owner_id for job in jobs}
    rows = Notification.objects.filter(recipient__in=set(shown.values()), key__in=list(shown))
    return {
        row.key: {"id": row.pk, **row.progress}
        for row in rows
        if row.key and row.progress and shown.get(row.key) == row.recipient_id
    }
