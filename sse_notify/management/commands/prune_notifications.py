"""``manage.py prune_notifications``: delete notifications older than the retention."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sse_notify import retention
from sse_notify.management import progress


class Command(BaseCommand):
    """Delete in batches, each in a short transaction. A stopped run can be repeated."""

    help = (
        "Delete the notifications that are older than RETENTION_DAYS, read or not, and those that "
        "have expired. Run it daily. It may run beside everything else, and twice at once. "
        "Clients whose place in the log is gone are told to fetch their list again. "
        "Exit codes: 0 done, or nothing to do; 1 a wrong argument, or the database refuses; "
        "130 stopped by Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        days = "the age in days to delete from (RETENTION_DAYS)"
        parser.add_argument("--days", type=float, help=days)
        batch = "rows of one transaction (%(default)s)"
        parser.add_argument("--batch", type=int, default=retention.BATCH, help=batch)
        dry_run = "say how many would be deleted, and delete nothing"
        parser.add_argument("--dry-run", action="store_true", help=dry_run)

    def handle(self, *args: Any, days: float | None, verbosity: int, **options: Any) -> None:
        """Delete the rows; print how many, and the time before which they were sent."""
        try:
            before, total = retention.oldest_kept(days), retention.count(days)
            said = f"Would delete {total:,}"
            if before is not None and not options["dry_run"]:
                with progress(self.stderr, total, verbosity) as advance:
                    deleted = retention.prune(days, batch=options["batch"], on_batch=advance)
                said = f"Deleted {deleted:,}"
        except (TypeError, ValueError) as error:
            raise CommandError(f"--{error}") from error
        text = "RETENTION_DAYS is None, so everything is kept. Give --days to delete all the same."
        if before is not None:
            when = f"{before:%Y-%m-%d %H:%M %Z}".rstrip()
            text = f"{said} notifications: sent before {when}, or expired."
        if verbosity > 0:
            self.stdout.write(text)
