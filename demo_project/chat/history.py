"""What a question may be, and the conversation so far, as models take it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from demo_project.chat.models import Message

MAX_TURNS = 40  # that a model is told
MAX_LENGTH = 8_000  # characters of a question


class Turn(TypedDict):
    """What one side said."""

    role: Literal["user", "assistant"]
    content: str


def read_question(body: bytes) -> tuple[str, bool]:
    """Return the question of a request, and whether a worker is to answer it.

    The body is ``{"content": "…", "worker": false}``.

    Raises:
        ValueError: the body is not valid; the message names the place.
    """
    try:
        fields = json.loads(body)
        content, worker = fields["content"], fields.get("worker", False)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("body: JSON with a text “content” is needed") from error
    if not isinstance(content, str) or not 1 <= len(content.strip()) <= MAX_LENGTH:
        raise ValueError(f"content: text of 1 to {MAX_LENGTH} characters is needed")
    if not isinstance(worker, bool):
        raise ValueError("worker: true or false is needed")
    return content.strip(), worker


def turns(messages: Iterable[Message]) -> list[Turn]:
    """Return the last messages that say something, from a question on."""
    said = [
        Turn(role="assistant" if message.is_answer else "user", content=message.content)
        for message in messages
        if message.content
    ][-MAX_TURNS:]
    while said and said[0]["role"] != "user":
        del said[0]
    return said
