"""``manage.py sse_status``: print the status of the system, or a link to a user's stream."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

from django import db
from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Count, Min, Q
from django.utils import timezone

from sse_notify.access.links import signed_stream_url
from sse_notify.bus import publisher, queries
from sse_notify.log.healing import find_problem
from sse_notify.log.sequence import count_pending, database, get_position
from sse_notify.models import Notification
from sse_notify.models.querysets import users_by_name
from sse_notify.monitoring import presence

#: Seconds after which a committed row without a number is a problem: hubs number rows at each poll.
PENDING_SECONDS = 60.0


class Command(BaseCommand):
    """Check the database and the channel layer, or print how to follow a stream."""

    help = (
        "Show the head of the log, what is pending, and every process that has open streams; or, "
        "with --link, how to follow a user's stream. "
        "Exit codes: 0 all is in order, or the link is printed; 1 a wrong argument, or something "
        "is not in order, and the last lines say what: the database or the channel layer does not "
        "answer, or something committed was not numbered within a minute."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("--json", action="store_true", help="print JSON, for monitoring")
        seconds = "how long the layer and other processes may take to answer (%(default)s)"
        parser.add_argument("--timeout", type=float, default=1.0, metavar="SECONDS", help=seconds)
        link = (
            "print a signed address of this user's stream, good for five minutes, and the command "
            "that follows it: whoever has the address reads the stream"
        )
        parser.add_argument("--link", metavar="USER", help=link)
        topic = "with --link: open a topic too; may be repeated"
        parser.add_argument("--topic", action="append", default=[], help=topic)
        base_url = "with --link: the site's address, such as https://www.example.com"
        parser.add_argument("--base-url", default="", metavar="URL", help=base_url)

    def handle(self, *args: Any, timeout: float, **options: Any) -> None:
        """Print the status, or the link."""
        if not 0 < timeout <= 60:
            text = f"--timeout must be more than 0 and at most 60 seconds, not {timeout:g}."
            raise CommandError(text)
        if options["link"] is not None:
            self.stdout.write(_link(options["link"], options["topic"], options["base_url"]))
            return
        found = _status(timeout)
        as_json = json.dumps(found, indent=2, cls=DjangoJSONEncoder)
        self.stdout.write(as_json if options["json"] else _as_text(found))
        if not found["ok"]:
            sys.exit(1)


def _link(username: str, topics: list[str], base_url: str) -> str:
    try:
        user = users_by_name([username], or_key=True)[username]
        path = signed_stream_url(user, topics)
    except KeyError as error:
        raise CommandError(f"--link: no user {username!r}") from error
    except (TypeError, ValueError) as error:
        raise CommandError(str(error)) from error
    if not base_url:
        return f"{path}\nPut the address of your site before it, or give it as --base-url."
    if urlsplit(base_url).scheme not in ("http", "https"):
        example = "https://www.example.com"
        raise CommandError(f"--base-url must be an address such as {example}, not {base_url!r}.")
    url = urljoin(base_url, path)
    return f"{url}\ncurl --no-buffer {shlex.quote(url)}"


def _status(timeout: float) -> dict[str, Any]:
    """Return the data that ``--json`` prints. Failed checks are listed in ``problems``."""
    problems = []
    layer = publisher.remote_layer()
    if layer is not None and not queries.ping(timeout).result():
        problems.append(f"The channel layer does not answer within {timeout:g} seconds.")
    name = "" if layer is None else f"{type(layer).__module__}.{type(layer).__qualname__}"
    found: dict[str, Any] = {"head": 0, "floor": 0, "rows": 0, "oldest": None, "pending": 0}
    found |= {"layer": name, "streams": 0, "users": 0, "hubs": []}
    try:
        rows = Notification.objects.using(database())
        found |= get_position()._asdict()
        found |= rows.aggregate(rows=Count("pk"), oldest=Min("created_at"))
        if problem := find_problem(database()):
            problems.append(f"{problem} The next notification corrects this.")
        found["pending"] = count_pending()
        connected = presence.look(timeout, head=found["head"])
        hubs = connected.hubs
        found["streams"] = sum(hub.streams for hub in hubs)
        # Without a channel layer, a process knows only its own users.
        found["users"] = len(connected.users) if layer else sum(hub.users for hub in hubs)
        found["hubs"] = [{**asdict(hub), "process": hub.process, "lag": hub.lag} for hub in hubs]
        since = timezone.now() - timedelta(seconds=PENDING_SECONDS)
        is_late = Q(recalled_at=None, created_at__lt=since) | Q(recalled_at__lt=since)
        # Imported rows have an empty event.
        if late := rows.filter(is_late, seq=None).exclude(event="").count():
            problems.append(
                f"{late} notifications are committed for more than {PENDING_SECONDS:.0f} seconds "
                "and not numbered: no process with open streams polls, or a transaction holds the "
                "head of the log."
            )
    except db.Error as error:
        problems.append(f"The database does not answer: {' '.join(str(error).split())}")
    return {"ok": not problems, **found, "problems": problems}


def _as_text(found: dict[str, Any]) -> str:
    hubs = found["hubs"]
    oldest = f", the oldest of {found['oldest']:%Y-%m-%d}" if found["oldest"] else ""
    lines = [
        f"head      {found['head']:,}",
        f"floor     {found['floor']:,}",
        f"rows      {found['rows']:,}{oldest}",
        f"pending   {found['pending']:,}",
        f"layer     {found['layer'] or 'none that connects processes'}",
        f"streams   {found['streams']:,} of {found['users']:,} users, in {len(hubs)} processes",
        "",
    ]
    if hubs:
        columns = ("streams", "users", "lag", "repaired", "slow")
        lines.append(f"{'process':<30} {' '.join(f'{name:>8}' for name in columns)}")
        for hub in hubs:
            figures = {**hub, **hub["counters"]}
            numbers = " ".join(f"{figures[name]:>8,}" for name in columns)
            lines.append(f"{hub['process']:<30} {numbers}{' draining' * hub['draining']}")
        lines.append("")
    return "\n".join([*lines, *(found["problems"] or ["All is in order."])])
