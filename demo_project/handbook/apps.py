"""The documentation, readable on the site itself."""

from __future__ import annotations

from django.apps import AppConfig


class HandbookConfig(AppConfig):
    """The pages of ``docs/``, so that the scenarios' links work offline."""

    name = "demo_project.handbook"
    label = "demo_handbook"
