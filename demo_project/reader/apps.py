"""An answer to a POST, read piece by piece."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import STREAMS, Scenario


class ReaderConfig(AppConfig):
    """A page of the documentation, streamed word by word."""

    name = "demo_project.reader"
    label = "demo_reader"
    scenario = Scenario(
        name=_("Manual reader"),
        summary=_(
            "A form is sent by fetch, and its answer comes word by word, until it ends or you have had enough."
        ),
        sends="POST · start, chunk, end",
        url_name="reader:page",
        icon="reader",
        guide="how-to/stream-your-own-events",
        heading=STREAMS,
        public=True,
    )
