"""``manage.py import_notifications_hq``: import the notifications of django-notifications-hq."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from sse_notify import retention
from sse_notify.compat import hq_import
from sse_notify.management.bar import Bar

if TYPE_CHECKING:
    from argparse import ArgumentParser

_OLDER = "--all imports the older ones too; prune_notifications deletes them at its next run."


class Command(BaseCommand):
    """Read the table of the other package, and never write to it."""

    help = (
        "Import the notifications of django-notifications-hq (or django-notifications-community), "
        "read or unread as they are. Their table is only read. The package may be installed or "
        "gone. A second run imports only what is new. Nobody is alerted; open pages fetch their "
        "list once. Exit codes: 0 done; 1 no such table, a wrong value, or the database refuses; "
        "130 stopped by Ctrl-C, and the next run goes on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        age = parser.add_mutually_exclusive_group()
        days = "leave out what is older than this (RETENTION_DAYS), as it would be pruned at once"
        age.add_argument("--days", type=float, help=days)
        age.add_argument("--all", action="store_true", help="import everything, however old")
        batch = "rows of one transaction (%(default)s)"
        parser.add_argument("--batch", type=int, default=hq_import.BATCH, help=batch)
        dry_run = "say what would be imported, and write nothing"
        parser.add_argument("--dry-run", action="store_true", help=dry_run)
        table = f"the table (that of the installed package, or {hq_import.TABLE})"
        parser.add_argument("--table", default="", help=table)
        database = "the database of the table (that of the installed package, or this package's)"
        parser.add_argument("--database", default="", metavar="ALIAS", help=database)

    def handle(self, *args: Any, batch: int, dry_run: bool, verbosity: int, **given: Any) -> None:
        """Import, and say how many, and what was left out for which reason."""
        try:
            retention.check_number("batch", batch, int, least=1, most=retention.MAX_BATCH)
            since = None if given["all"] else retention.oldest_kept(given["days"])
            rows = hq_import.find_rows(given["table"], given["database"])
            with Bar(self.stderr, rows.count(), verbosity) as bar:
                report = hq_import.import_rows(
                    rows, since=since, batch=batch, dry=dry_run, on_batch=bar.advance
                )
        except ValueError as error:
            raise CommandError(f"--{error}") from error
        except LookupError as error:
            raise CommandError(f"Nothing to import. {error}") from error
        if verbosity > 0:
            imported = f"{report.pop('imported'):,} notifications."
            self.stdout.write(f"{'Would import' if dry_run else 'Imported'} {imported}")
            for why, number in (+report).most_common():
                self.stdout.write(f"Left out: {number:,}, {why}")
            if report["older"]:
                self.stdout.write(_OLDER)
