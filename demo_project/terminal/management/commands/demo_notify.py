"""``manage.py demo_notify``: send from a management command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from sse_notify import broadcast, notify
from sse_notify.models import Level

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Notifies one user or everyone."""

    help = "Notify one user, or everyone, from the command line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options for the recipient and the notification."""
        to = parser.add_mutually_exclusive_group(required=True)
        to.add_argument("--user", metavar="NAME", help="the user to notify")
        to.add_argument("--everyone", action="store_true", help="notify everyone")
        parser.add_argument("title")
        parser.add_argument("body", nargs="?", default="")
        parser.add_argument("--level", choices=Level.values, default=Level.INFO.value)
        parser.add_argument("--url", default="", help="where a click leads")

    def handle(self, *args: Any, **options: Any) -> None:
        """Send the notification."""
        content = {name: options[name] for name in ("level", "url")}
        try:
            if options["everyone"]:
                broadcast(options["title"], options["body"], category="Terminal", **content)
            else:
                user = User.objects.get(username=options["user"])
                notify(user, options["title"], options["body"], category="Terminal", **content)
        except (User.DoesNotExist, ValueError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS("Sent."))
