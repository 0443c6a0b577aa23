"""The site's front page, menu and initial content."""

from __future__ import annotations

from django.apps import AppConfig


class GalleryConfig(AppConfig):
    """Shows what the other apps of the demo describe."""

    name = "demo_project.gallery"
