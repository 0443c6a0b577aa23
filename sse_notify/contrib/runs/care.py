"""Look after runs: end those whose process was killed, tell of interrupted ones, prune."""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import Any

from django.utils import timezone

from sse_notify.contrib.runs import storing
from sse_notify.contrib.runs.signals import run_interrupted
from sse_notify.contrib.runs.states import State
from sse_notify.telemetry import Incident

#: Seconds between two looks of a process, and between two prunings.
LOOK_SECONDS, PRUNE_SECONDS = 10.0, 300.0

_incident = Incident("database_runs_care")
_pruned_at = 0.0


async def look_after(hub: Any) -> None:
    """Look after runs while ``hub`` has streams."""
    while True:
        await asyncio.sleep(LOOK_SECONDS * random.uniform(0.8, 1.2))
        try:
            await hub.run(look)
            _incident.worked()
        except Exception as error:  # the next look may work
            _incident.failed(error)


def look() -> None:
    """End stalled runs, send :data:`run_interrupted`, and prune if it is time."""
    global _pruned_at
    storing.stalled()
    if run_interrupted.has_listeners():
        tell_interrupted()
    if monotonic() - _pruned_at >= PRUNE_SECONDS:
        _pruned_at = monotonic()
        storing.prune()


def tell_interrupted() -> None:
    """Send :data:`run_interrupted` for each interrupted run that no process has told of."""
    for run in storing.runs(state=State.INTERRUPTED, told_at=None):
        if storing.runs(pk=run.pk, told_at=None).update(told_at=timezone.now()):
            run_interrupted.send_robust(type(run), run=run)
