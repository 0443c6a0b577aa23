"""Answers by a language model, of any server that speaks OpenAI's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo_project.chat.history import Turn


def is_there() -> bool:
    """Return whether a model is configured."""
    return bool(settings.OPENAI_BASE_URL or settings.OPENAI_API_KEY)


#: What a model is told that is to continue an answer.
GO_ON = "Go on exactly where your last message ends. Repeat nothing of it."


def answer(turns: list[Turn], *, said: str) -> AsyncIterator[dict[str, str]]:
    """Return the answer to a conversation, token by token, from where ``said`` ends.

    If it is closed before its end, it closes the connection, and the server stops generating.
    """
    # It takes a second, in which no event loop is to stand still, and no run to be silent.
    from openai import AsyncOpenAI  # noqa: PLC0415

    conversation: list[Any] = list(turns)
    if said:
        conversation.append({"role": "assistant", "content": said})
        conversation.append({"role": "user", "content": GO_ON})
    # A local server may need no key, but the client does.
    key, address = settings.OPENAI_API_KEY or "none", settings.OPENAI_BASE_URL or None

    async def tokens() -> AsyncIterator[dict[str, str]]:
        async with AsyncOpenAI(api_key=key, base_url=address, max_retries=0) as client:
            stream = await client.chat.completions.create(
                model=settings.OPENAI_MODEL, messages=conversation, stream=True
            )
            async with stream:
                async for token in stream:
                    if token.choices and (text := token.choices[0].delta.content):
                        yield {"text": text}

    return tokens()
