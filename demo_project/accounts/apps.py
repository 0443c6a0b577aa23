"""Who uses the demo, and how they sign in."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Holds the demo users; the user model is Django's own."""

    name = "demo_project.accounts"
    label = "demo_accounts"
