"""``manage.py prune_runs``: delete the runs that ended longer ago than ``RUN_RETENTION``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from sse_notify.contrib.runs import storing


class Command(BaseCommand):
    """Delete in batches, each in a short transaction."""

    help = (
        "Delete the runs that ended more than RUN_RETENTION minutes ago, with their events. A site "
        "with open streams does this by itself, every five minutes."
    )

    def handle(self, *args: Any, verbosity: int, **options: Any) -> None:
        """Delete the runs; print how many."""
        storing.stalled()
        deleted = storing.prune()
        if verbosity > 0:
            self.stdout.write(f"Deleted {deleted:,} runs.")
