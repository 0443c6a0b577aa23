"""``manage.py import_notifications_hq``: bring the notifications of django-notifications-hq over."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from sse_notify import retention
from sse_notify.compat import hq_import, hq_table
from sse_notify.management.bar import Bar

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from sse_notify.compat.hq_import import Report


class Command(BaseCommand):
    """Reads the other package's table, and never writes to it."""

    help = (
        "Import the notifications of django-notifications-hq (or django-notifications-community), read or unread as they are. "
        "Their table is only read; the package may be installed or gone. A second run imports only what is new. "
        "Nobody is alerted: open pages fetch their list once. "
        "Exit codes: 0 done; 1 no such table, a wrong value, or the database refuses; 130 stopped by Ctrl-C, and the next run goes on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to import, and from where."""
        age = parser.add_mutually_exclusive_group()
        age.add_argument(
            "--days",
            type=float,
            help="leave out what is older; RETENTION_DAYS if it is left out, as that would be pruned at once",
        )
        age.add_argument("--all", action="store_true", help="import everything, however old")
        parser.add_argument(
            "--batch",
            type=int,
            default=hq_import.BATCH,
            help="rows of one transaction (%(default)s)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be imported, and write nothing"
        )
        parser.add_argument(
            "--table",
            default="",
            help=f"the table; the installed package's own, or {hq_table.TABLE}",
        )
        parser.add_argument(
            "--database",
            default="",
            metavar="ALIAS",
            help="the database that holds it; the package's own",
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
        """Import, and say what was done."""
        if not 1 <= batch <= retention.MAX_BATCH:
            raise CommandError(
                f"--batch: a number from 1 to {retention.MAX_BATCH} is needed, not {batch}"
            )
        try:
            since = None if options["all"] else retention.oldest_kept(days)
            source = hq_table.find(options["table"], options["database"])
            found = hq_table.rows(source)
            with Bar(self.stderr, found.count(), wanted=verbosity > 0) as bar:
                report = hq_import.bring_over(
                    found, since=since, batch=batch, dry=dry_run, on_batch=bar.advance
                )
        except ValueError as error:
            raise CommandError(f"--{error}") from error
        except (hq_table.NoSuchTable, LookupError) as error:
            raise CommandError(f"Nothing to import: {error}") from error
        except KeyboardInterrupt:
            self.stderr.write("Stopped. What is imported stays; the next run goes on.")
            sys.exit(130)
        if verbosity > 0:
            self.stdout.write(_as_text(report, dry=dry_run))


def _as_text(report: Report, *, dry: bool) -> str:
    lines = [f"{'Would import' if dry else 'Imported'} {report.imported:,} notifications."]
    lines += [f"Left out: {number:,}, {reason}" for reason, number in report.left.most_common()]
    if report.left["older"]:
        lines.append(
            "--all imports the older ones too; prune_notifications deletes them with its next run."
        )
    return "\n".join(lines)
