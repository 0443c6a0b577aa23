"""Answers without a model: the sections of the documentation that fit the question best."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.utils.translation import gettext, override

from demo_project.chat.excerpts import excerpt
from demo_project.chat.search import search
from sse_notify import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo_project.chat.history import Turn

PAUSE = 0.05  # seconds between two words


async def answer(turns: list[Turn], *, said: str, language: str) -> AsyncIterator[Any]:
    """Yield the answer to a conversation word by word, from where ``said`` ends, then its sources."""
    questions = [turn["content"] for turn in turns if turn["role"] == "user"]
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
    for word in re.findall(r"\s*\S+", text.removeprefix(said)):
        yield {"text": word}
        await asyncio.sleep(PAUSE)
    yield Event(
        {"links": [{"title": section.heading, "url": section.url} for section in found]},
        event="sources",
    )
