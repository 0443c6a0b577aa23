"""Sending from the command line."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import Scenario


class TerminalConfig(AppConfig):
    """A management command, and Django's shell."""

    name = "demo_project.terminal"
    label = "demo_terminal"
    scenario = Scenario(
        name=_("Command line"),
        summary=_(
            "A management command or the shell, in a process of its own, reaches the page that is open."
        ),
        sends="manage.py demo_notify",
        url_name="terminal:commands",
        icon="terminal",
        guide="reference/commands",
    )
