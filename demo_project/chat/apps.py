"""Conversations, answered word by word, by runs that outlive the page."""

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
            "Ask, and the answer is typed as it is thought. It goes on while you reload, is there in a second tab, and stops where you say so."
        ),
        sends="Run.start()",
        url_name="chat:page",
        icon="chat",
        guide="how-to/resume-an-ai-reply",
        heading=STREAMS,
    )
