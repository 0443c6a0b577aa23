"""Answers without a model: the sections of the documentation that fit the question best."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.utils.translation import get_language, gettext, override

from demo_project.chat.excerpts import excerpt
from demo_project.chat.search import search
from sse_notify import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo_project.chat.history import Message

PAUSE = 0.05  # seconds between two words


def answer(messages: list[Message]) -> AsyncIterator[Any]:
    """Yield the answer to a conversation word by word, then its sources."""
    questions = [message["content"] for message in messages if message["role"] == "user"]
    return _typed(questions, get_language() or "en")


async def _typed(questions: list[str], language: str) -> AsyncIterator[Any]:
    # “And how do I test it?” refers to the question before.
    found = await sync_to_async(search)(questions[-1], before=" ".join(questions[-3:-1]))
    with override(language):
        if found:
            opening = gettext("The documentation says, under “%(heading)s”:") % {
                "heading": found[0].heading
            }
            text = f"{opening}\n\n{excerpt(found[0].text, questions[-1])}"
        else:
            text = gettext(
                "The documentation has nothing on that. It is in English: try other words, of that language."
            )
    for word in re.findall(r"\s*\S+", text):
        yield {"text": word}
        await asyncio.sleep(PAUSE)
    yield Event(
        {"links": [{"title": section.heading, "url": section.url} for section in found]},
        event="sources",
    )
