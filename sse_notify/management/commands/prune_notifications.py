"""``manage.py prune_notifications``: delete what is older than the retention."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from sse_notify import retention
from sse_notify.management.bar import Bar

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Deletes in batches, each a short transaction; a run that is stopped is gone on with by the next."""

    help = (
        "Delete the notifications that are older than RETENTION_DAYS, read or not, and those that have expired. "
        "Run it daily. It may run beside everything else, and twice at once. "
        "Clients whose place in the log is gone are told to fetch their list anew. "
        "Exit codes: 0 done, or nothing to do; 1 wrong argument, or the database refuses; 130 stopped by Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the age, the batch and the dry run."""
        parser.add_argument(
            "--days",
            type=float,
            help="the age in days to delete from; RETENTION_DAYS if it is left out",
        )
        parser.add_argument(
            "--batch",
            type=int,
            default=retention.BATCH,
            help="rows of one transaction (%(default)s)",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="say how many would be deleted, and delete nothing",
        )

    def handle(
        self,
        *args: Any,
        days: float | None,
        batch: int,
        dry_run: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        """Count, delete, and say what was done."""
        try:
            before = retention.oldest_kept(days)
            total = retention.count(days)
            if before is None:
                self._say(
                    verbosity,
                    "RETENTION_DAYS is None: everything is kept. Give --days to delete all the same.",
                )
                return
            what = f"sent before {before:%Y-%m-%d %H:%M %Z}".rstrip() + ", or expired"
            if dry_run:
                self._say(verbosity, f"Would delete {total:,} notifications: {what}.")
                return
            self._prune(days, batch, total, verbosity, what)
        except (TypeError, ValueError) as error:
            raise CommandError(f"--{error}") from error

    def _prune(self, days: float | None, batch: int, total: int, verbosity: int, what: str) -> None:
        deleted = 0

        def count(number: int) -> None:
            nonlocal deleted
            deleted += number
            bar.advance(number)

        try:
            with Bar(self.stderr, total, wanted=verbosity > 0) as bar:
                retention.prune(days, batch=batch, on_batch=count)
        except KeyboardInterrupt:
            self.stderr.write(
                f"Stopped. {deleted:,} notifications are deleted; the next run goes on."
            )
            sys.exit(130)
        self._say(verbosity, f"Deleted {deleted:,} notifications: {what}.")

    def _say(self, verbosity: int, text: str) -> None:
        if verbosity > 0:
            self.stdout.write(text)
