"""``manage.py sse_status``: how the whole system is, for people and for monitoring."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder

from sse_notify import status

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from sse_notify.presence import HubStatus
    from sse_notify.status import Status


class Command(BaseCommand):
    """Asks the database, the layer, and through it every process."""

    help = (
        "Show the head of the log, what is pending, and the open streams of every process. "
        "Exit codes: 0 all is in order; 1 something is not, and the last lines say what: the database or the channel layer "
        "does not answer, or something committed was not numbered within a minute."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the form and the patience."""
        parser.add_argument("--json", action="store_true", help="print JSON, for monitoring")
        parser.add_argument(
            "--timeout",
            type=float,
            default=1.0,
            metavar="SECONDS",
            help="how long processes may take to answer (%(default)s)",
        )

    def handle(self, *args: Any, timeout: float, **options: Any) -> None:
        """Look, and say what was seen."""
        if not 0 < timeout <= 60:
            raise CommandError("--timeout: more than 0 and at most 60 seconds are needed")
        found = status.take(timeout)
        self.stdout.write(_as_json(found) if options["json"] else _as_text(found))
        if found.problems:
            sys.exit(1)


def _as_json(found: Status) -> str:
    hubs = [{**asdict(hub), "process": hub.process, "lag": hub.lag} for hub in found.hubs]
    whole = {"ok": not found.problems, **asdict(found), "streams": found.streams, "hubs": hubs}
    return json.dumps(whole, indent=2, cls=DjangoJSONEncoder)


def _as_text(found: Status) -> str:
    oldest = f", the oldest of {found.oldest:%Y-%m-%d}" if found.oldest else ""
    lines = [
        f"head      {found.head:,}",
        f"floor     {found.floor:,}",
        f"rows      {found.rows:,}{oldest}",
        f"pending   {found.pending:,}",
        f"layer     {found.layer or 'none that connects processes: their streams are not known here'}",
    ]
    if found.layer:
        lines.append(
            f"streams   {found.streams:,} of {found.users:,} users, in {len(found.hubs)} hubs"
        )
    if found.hubs:
        lines += [
            "",
            f"{'process':<30} {'streams':>8} {'users':>8} {'lag':>8} {'repaired':>8} {'slow':>8}",
        ]
        lines += [_row(hub) for hub in found.hubs]
    return "\n".join([*lines, "", *(found.problems or ["All is in order."])])


def _row(hub: HubStatus) -> str:
    figures = (hub.streams, hub.users, hub.lag, hub.counters["repaired"], hub.counters["slow"])
    return " ".join(
        [
            f"{hub.process:<30}",
            *(f"{figure:>8,}" for figure in figures),
            *(["draining"] if hub.draining else []),
        ]
    )
