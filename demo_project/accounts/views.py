"""Signing in as one of the demo users."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView

from demo_project.accounts.people import PEOPLE


class SignInView(LoginView):
    """Django's own login, with a button per demo user that fills in the form's name and password.

    The password is always checked. A site that is not for development needs its own
    ``DEMO_PASSWORD``, and then the page has no buttons.
    """

    template_name = "demo/sign_in.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the existing demo users, and their password if it may be shown."""
        context = super().get_context_data(**kwargs)
        if settings.DEBUG:
            users = User.objects.in_bulk(
                [person.username for person in PEOPLE], field_name="username"
            )
            context["people"] = [
                (person, users[person.username]) for person in PEOPLE if person.username in users
            ]
            context["password"] = settings.DEMO_PASSWORD
        return context
