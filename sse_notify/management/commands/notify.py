"""``manage.py notify``: send a notification from the shell, a job or a script."""

from __future__ import annotations

import json
import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.forms import DateTimeField

from sse_notify.models import Notification
from sse_notify.models.content import FIELDS, Kind
from sse_notify.models.querysets import users_by_name
from sse_notify.notifications.send import send

#: Options whose names differ from their fields.
_SHORT = {"actions": "action", "expires_at": "expires"}
_OPTIONS = [name for name, field in FIELDS.items() if field.help]

#: Arguments of ``add_argument()`` for fields that are not text.
_ARGUMENTS: Mapping[Kind, dict[str, Any]] = {
    Kind.BUTTONS: {"nargs": 2, "metavar": ("LABEL", "URL"), "action": "append"},
    Kind.FLAG: {"action": "store_true"},
    Kind.JSON: {"metavar": "JSON"},
    Kind.KEY: {"metavar": "KEY"},
    Kind.MOMENT: {"metavar": "YYYY-MM-DDTHH:MM"},
}


class Command(BaseCommand):
    """Send to all given audiences in one transaction."""

    help = (
        "Send a notification to --user, --group, --staff or --everyone. They may be combined; who "
        "is in several gets it once. Either everything is sent or nothing. "
        "Exit codes: 0 sent; 1 an unknown user or group, a wrong value, or the database refuses; "
        "2 a wrong option."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments for the audience and the content."""
        parser.add_argument("title", help="one line of text")
        body = "more text; '-' reads it from the standard input"
        parser.add_argument("body", nargs="?", default="", help=body)
        whom = parser.add_argument_group("whom it is for")
        names: Any = {"metavar": "NAME", "action": "append", "default": []}
        whom.add_argument("--user", help="a username or a primary key; may be repeated", **names)
        whom.add_argument("--group", help="whoever is in this group; may be repeated", **names)
        whom.add_argument("--staff", action="store_true", help="whoever is staff")
        whom.add_argument("--everyone", action="store_true", help="everybody")
        what = parser.add_argument_group("what else it says")
        for name in _OPTIONS:
            option = f"--{_SHORT.get(name, name).replace('_', '-')}"
            # Omitted options get the defaults of notify().
            asked = {"dest": name, "default": SUPPRESS, **_ARGUMENTS.get(FIELDS[name].kind, {})}
            column: Any = Notification._meta.get_field(name)
            if column.choices:
                asked["choices"] = [value for value, _label in column.flatchoices]
            what.add_argument(option, help=str(FIELDS[name].help), **asked)
        parser.add_argument("--json", action="store_true", help="print what was sent as JSON")

    def handle(self, *args: Any, title: str, body: str, **options: Any) -> None:
        """Send the notification, and print what was sent."""
        whom = {name: options[name] for name in ("staff", "everyone")}
        users = _named("user", options["user"], users_by_name(options["user"], or_key=True))
        found = {group.name: group for group in Group.objects.filter(name__in=options["group"])}
        groups = _named("group", options["group"], found)
        if not (users or groups or any(whom.values())):
            raise CommandError("Whom is it for? Name --user, --group, --staff or --everyone.")
        if body == "-":
            body = sys.stdin.read()
        try:
            given: Any = {name: _read(name, options[name]) for name in _OPTIONS if name in options}
            rows = send(title, body, users=users, groups=groups, **whom, **given)
        except (TypeError, ValueError) as error:
            raise CommandError(f"{error} Nothing is sent.") from error
        if options["json"]:
            sent = [{"id": row.pk, "audience": row.audience, "topic": row.topic} for row in rows]
            self.stdout.write(json.dumps({"sent": sent}, indent=2))
        else:
            listed = ", ".join(f"{row.pk} to {row.topic}" for row in rows[:10])
            more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
            self.stdout.write(f"Sent {listed}{more}.")


def _named(kind: str, names: list[str], found: dict[str, Any]) -> list[Any]:
    """Return the objects with these names, each once."""
    if missing := [name for name in names if name not in found]:
        raise CommandError(f"--{kind}: no {kind} {', '.join(map(repr, missing))}")
    return [found[name] for name in dict.fromkeys(names)]


def _read(name: str, given: Any) -> Any:
    """Return the argument of ``notify()`` for the value of an option."""
    kind = FIELDS[name].kind
    if kind is Kind.BUTTONS:
        return [{"label": label, "url": url} for label, url in given]
    try:
        if kind is Kind.JSON:
            return json.loads(given)
        return DateTimeField().clean(given) if kind is Kind.MOMENT else given
    except ValueError as error:
        raise ValueError(f"{name} must be JSON: {error}.") from error
    except ValidationError as error:
        text = f"expires must be a time such as 2030-12-31T18:00, not {given!r}."
        raise ValueError(text) from error
