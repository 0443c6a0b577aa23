"""The documentation, readable on the site itself."""

from __future__ import annotations

from django.apps import AppConfig


class HandbookConfig(AppConfig):
    """The pages of ``docs/``, so that what a scenario links to is here without a network."""

    name = "demo_project.handbook"
    label = "demo_handbook"
