"""``manage.py sse_status``: show the status of the system, or a link to a user's stream."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder

from sse_notify.links import signed_stream_url
from sse_notify.management import people
from sse_notify.monitoring import status

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from sse_notify.monitoring.status import Status


class Command(BaseCommand):
    """Read the database and ask the layer; or print how to follow a stream."""

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
            raise CommandError("--timeout must be more than 0 and at most 60 seconds.")
        if options["link"] is not None:
            self.stdout.write(_link(options["link"], options["topic"], options["base_url"]))
            return
        found = status.read(timeout)
        self.stdout.write(_as_json(found) if options["json"] else _as_text(found))
        if found.problems:
            sys.exit(1)


def _link(username: str, topics: list[str], base_url: str) -> str:
    [user] = people.users([username])
    try:
        path = signed_stream_url(user, topics)
    except (TypeError, ValueError) as error:
        raise CommandError(str(error)) from error
    if not base_url:
        return f"{path}\nPut the address of your site before it, or give it as --base-url."
    if urlsplit(base_url).scheme not in ("http", "https"):
        raise CommandError("--base-url must be an address, such as https://www.example.com.")
    url = urljoin(base_url, path)
    return f"{url}\ncurl --no-buffer {shlex.quote(url)}"


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
        f"layer     {found.layer or 'none that connects processes'}",
        f"streams   {found.streams:,} of {found.users:,} users, in {len(found.hubs)} processes",
    ]
    if found.hubs:
        names = ("streams", "users", "lag", "repaired", "slow")
        lines += ["", " ".join([f"{'process':<30}", *(f"{name:>8}" for name in names)])]
    for hub in found.hubs:
        figures = (hub.streams, hub.users, hub.lag, hub.counters["repaired"], hub.counters["slow"])
        columns = [f"{hub.process:<30}", *(f"{figure:>8,}" for figure in figures)]
        lines.append(" ".join([*columns, "draining"] if hub.draining else columns))
    return "\n".join([*lines, "", *(found.problems or ["All is in order."])])
