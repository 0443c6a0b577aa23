"""The conversation so far, as a client sends it."""

from __future__ import annotations

import json
from typing import Literal, TypedDict

MAX_MESSAGES = 40
MAX_LENGTH = 8_000  # characters of one message


class Message(TypedDict):
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    content: str


def read_history(body: bytes) -> list[Message]:
    """Return the messages of a request. The last one is the user's.

    The body is ``{"messages": [{"role": "user", "content": "…"}, …]}``.

    Raises:
        ValueError: the body is not valid; the message names the place.
    """
    try:
        messages = json.loads(body)["messages"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("body: JSON with a list “messages” is needed") from error
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise ValueError(f"messages: a list of 1 to {MAX_MESSAGES} is needed")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise ValueError(f"messages[{number}].role: “user” or “assistant” is needed")
        content = message.get("content")
        if not isinstance(content, str) or not 1 <= len(content) <= MAX_LENGTH:
            raise ValueError(
                f"messages[{number}].content: text of 1 to {MAX_LENGTH} characters is needed"
            )
    if messages[-1]["role"] != "user":
        raise ValueError(
            f"messages[{len(messages) - 1}].role: the last message is to be the user's"
        )
    return [Message(role=message["role"], content=message["content"]) for message in messages]
