"""A model's server for tests: it speaks OpenAI's protocol, for real, on a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class StandIn:
    """Answers with ``words``, each as a token.

    With none it says "more ", then what :meth:`say` is given, until its client hangs up.
    """

    def __init__(self, words: list[str]) -> None:
        self.words = words
        #: The request's headers, in lower case, and its body.
        self.headers: dict[str, str] = {}
        self.asked: dict[str, Any] = {}
        #: Set when a client has hung up before the end.
        self.hung_up = asyncio.Event()
        self.url = ""
        self._writer: asyncio.StreamWriter

    def say(self, word: str) -> None:
        """Add a word to the answer that goes on, on the loop of the stand-in."""
        self._writer.write(_token({"content": word}))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
        self.headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in lines[1:] if line)
        }
        self.asked = json.loads(await reader.readexactly(int(self.headers["content-length"])))
        writer.write(HEAD)
        try:
            if self.words:
                for word in self.words:
                    writer.write(_token({"content": word}))
                writer.write(_token({}, finish_reason="stop") + b"data: [DONE]\n\n")
            else:
                await self._go_on(reader, writer)
        finally:
            writer.close()

    async def _go_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.say("more ")
        assert await reader.read() == b""  # ends when the client closes its side
        self.hung_up.set()


def _token(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "stand-in",
        "choices": [choice],
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


@asynccontextmanager
async def stand_in(*words: str) -> AsyncIterator[StandIn]:
    """Run a stand-in."""
    model = StandIn(list(words))
    async with await asyncio.start_server(model.answer, "127.0.0.1", 0) as server:
        model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield model
