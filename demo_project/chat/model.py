"""Answers by a language model, of any server that speaks OpenAI's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from demo_project.chat.history import Message


async def answer(messages: list[Message]) -> AsyncIterator[dict[str, str]]:
    """Yield the answer to a conversation, token by token. Closed before its end, it hangs up, and the server stops thinking."""
    from openai import AsyncOpenAI  # noqa: PLC0415  (a second to import, for a site that has a model)

    conversation: Iterable[Any] = messages
    async with AsyncOpenAI(**settings.OPENAI, max_retries=0) as client:
        tokens = await client.chat.completions.create(model=settings.OPENAI_MODEL, messages=conversation, stream=True)
        async with tokens:
            async for token in tokens:
                if token.choices and (text := token.choices[0].delta.content):
                    yield {"text": text}
