"""``manage.py setup_demo``: create the database, the demo users and their content."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from demo_project.accounts.people import PEOPLE
from demo_project.gallery.seed import seed


class Command(BaseCommand):
    """Migrates and creates what is missing; running it again changes nothing and takes a second."""

    help = "Create the demo's database, users and content, as far as they are missing."

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, create the content, and print who can log in."""
        call_command("migrate", verbosity=0, interactive=False)
        is_new = seed()
        self.stdout.write(
            "Created the demo's users and content."
            if is_new
            else "The demo's users and content are there."
        )
        password = settings.DEMO_PASSWORD if settings.DEBUG else "the one in DEMO_PASSWORD"
        names = ", ".join(
            f"{person.username}{' (admin)' if person.is_admin else ''}" for person in PEOPLE
        )
        self.stdout.write(f"Logins:    {names}\nPassword:  {password}")
