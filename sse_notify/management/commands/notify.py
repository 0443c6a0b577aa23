"""``manage.py notify``: send a notification from the shell, a job or a script."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from django.conf import settings  # noqa: TID251  (USE_TZ is Django's)
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from sse_notify.management import people
from sse_notify.models import Level
from sse_notify.several import send

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime

    from sse_notify.content import Content
    from sse_notify.models import Notification

#: Options that are arguments of the verbs by the same name.
_SAME = ("level", "url", "category", "icon", "key", "idempotency_key", "silent")


class Command(BaseCommand):
    """Sends to all audiences that are named, in one transaction: either everything is sent or nothing."""

    help = (
        "Send a notification. Name whom it is for by --user, --group, --staff or --everyone; each may be combined with the others, "
        "and who is in several gets it once. "
        "Exit codes: 0 sent; 1 an unknown user or group, a wrong value, or the database refuses: nothing is sent; "
        "2 a wrong option."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whom it is for and what it says."""
        parser.add_argument("title", help="one line of text")
        parser.add_argument(
            "body", nargs="?", default="", help="more text; '-' reads it from the standard input"
        )
        whom = parser.add_argument_group("whom it is for")
        whom.add_argument(
            "--user", metavar="NAME", action="append", default=[], help="a user; may be repeated"
        )
        whom.add_argument(
            "--group",
            metavar="NAME",
            action="append",
            default=[],
            help="whoever is in this group; may be repeated",
        )
        whom.add_argument("--staff", action="store_true", help="whoever is staff")
        whom.add_argument("--everyone", action="store_true", help="everybody")
        what = parser.add_argument_group("what else it says")
        what.add_argument(
            "--level",
            choices=Level.values,
            default=Level.INFO.value,
            help="how serious it is (%(default)s)",
        )
        what.add_argument(
            "--url", default="", help="where a click leads: a path of the site, or a full address"
        )
        what.add_argument("--category", default="", help="what users filter by")
        what.add_argument("--icon", default="", help="the address of an image")
        what.add_argument(
            "--action",
            nargs=2,
            metavar=("LABEL", "URL"),
            action="append",
            default=[],
            help="a button; may be repeated",
        )
        what.add_argument(
            "--data", metavar="JSON", default="null", help="for the site's own scripts"
        )
        what.add_argument("--key", default="", help="a repeat with this key updates the same item")
        what.add_argument(
            "--idempotency-key",
            metavar="KEY",
            default="",
            help="a repeat with this key sends nothing",
        )
        what.add_argument(
            "--expires",
            metavar="TIME",
            help="from then on it is not shown: 2030-12-31T18:00, in the site's time zone",
        )
        what.add_argument(
            "--silent", action="store_true", help="listed and counted, but not announced"
        )
        parser.add_argument("--json", action="store_true", help="print what was sent as JSON")

    def handle(self, *args: Any, title: str, body: str, **options: Any) -> None:
        """Send it, and say what was sent."""
        whom = {name: options[name] for name in ("staff", "everyone")}
        users, groups = people.users(options["user"]), people.groups(options["group"])
        if not (users or groups or any(whom.values())):
            raise CommandError("Whom is it for? Name --user, --group, --staff or --everyone.")
        if body == "-":
            body = sys.stdin.read()
        try:
            content = _content(options)
            rows = send(title, body, users=users, groups=groups, **whom, **content)
        except (TypeError, ValueError) as error:
            raise CommandError(f"{error}. Nothing is sent.") from error
        self.stdout.write(_as_json(rows) if options["json"] else f"Sent {_names(rows)}.")


def _content(options: dict[str, Any]) -> Content:
    content: Content = {name: options[name] for name in _SAME}  # type: ignore[assignment]  # mypy wants the names spelled out
    content["actions"] = [{"label": label, "url": url} for label, url in options["action"]]
    content["expires_at"] = _moment(options["expires"])
    try:
        content["data"] = json.loads(options["data"])
    except ValueError as error:
        raise ValueError(f"data: not JSON ({error})") from error
    return content


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:  # well formed, and no date, such as February 30
        moment = None
    if moment is None:
        raise ValueError(f"expires: a time such as 2030-12-31T18:00 is needed, not {text!r}")
    return timezone.make_aware(moment) if settings.USE_TZ and timezone.is_naive(moment) else moment


def _names(rows: list[Notification]) -> str:
    listed = ", ".join(f"{row.pk} to {row.topic}" for row in rows[:10])
    return f"{listed} and {len(rows) - 10} more" if len(rows) > 10 else listed


def _as_json(rows: list[Notification]) -> str:
    return json.dumps(
        {"sent": [{"id": row.pk, "audience": row.audience, "topic": row.topic} for row in rows]},
        indent=2,
    )
