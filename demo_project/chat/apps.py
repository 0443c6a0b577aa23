"""A conversation, answered word by word."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from demo_project.gallery.scenarios import STREAMS, Scenario


class ChatConfig(AppConfig):
    """A model answers if there is one, else the documentation does."""

    name = "demo_project.chat"
    label = "demo_chat"
    scenario = Scenario(
        name=_("AI chat"),
        summary=_(
            "Ask, and the answer is typed as it is thought. Stop it, or ask something else at the same time."
        ),
        sends="fetchEventStream()",
        url_name="chat:page",
        icon="chat",
        guide="how-to/stream-your-own-events",
        heading=STREAMS,
    )
