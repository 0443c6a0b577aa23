"""Run a job: do its work, and update its row and its progress."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.translation import gettext as _

from demo_project.tasks.models import Job, Kind, State, progress_of
from demo_project.tasks.work import files_of, picture, survey
from sse_notify import Cancelled, Progress, ProgressFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Maximum attempts, so that a job that kills its worker does not kill the next ones for ever.
ATTEMPTS = 3

_WORK = {Kind.SURVEY: survey, Kind.PICTURE: picture}


def run(job: Job, *, patience: float, hold: Callable[[], None]) -> None:
    """Do the work of ``job`` and write its result.

    Args:
        job: a job that this worker has claimed.
        patience: seconds without an update after which it is shown as stalled.
        hold: called between steps; it does not return while the process shuts down.
    """
    if job.attempts > 1 and progress_of([job]).get(job.key, {}).get("state") == "cancelled":
        job.end(State.CANCELLED)  # its owner cancelled it after its worker had died
        return
    with Progress(
        job.owner,
        str(job),
        key=job.key,
        url=reverse("tasks:list"),
        category=_("Tasks"),
        stalls_after=max(1, patience),
    ) as progress:
        try:
            if job.attempts > ATTEMPTS:
                raise ProgressFailed(_("Given up: no worker has survived this."))
            files = files_of(job.package)
            progress.total = len(files)
            done = count()

            def each(path: Path) -> None:
                hold()
                progress.check()  # the owner may have cancelled it
                job.stay_alive()
                progress.update(next(done), message=path.name)

            result = _WORK[Kind(job.kind)](files, each)
            hold()
            if not job.end(State.DONE, result):
                raise ProgressFailed(_("Another worker has it now."))
            progress.finish(
                _("%(size)s KB") % {"size": f"{len(result) / 1000:,.0f}"},
                url=reverse("tasks:result", args=[job.pk]),
            )
        except Cancelled:
            job.end(State.CANCELLED)
            raise
        except Exception:
            job.end(State.FAILED)
            raise
