"""A server with a path for each way in which a stream can go on or end, for tests of the clients themselves.

``/count``   three events, then the end
``/silent``  one event, then nothing more
``/cut``     one event and half of another, then the connection breaks
``/refuse``  503
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

_EVENT = "event: number\ndata: {0}\nid: {0}\n\n"


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer as the path says."""
    if scope["type"] != "http":
        return
    path = scope["path"]
    status = 503 if path == "/refuse" else 200
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"text/event-stream")],
        }
    )
    for number in range(3 if path == "/count" else 1):
        await send(
            {
                "type": "http.response.body",
                "body": _EVENT.format(number).encode(),
                "more_body": True,
            }
        )
    if path == "/silent":
        while (await receive())["type"] != "http.disconnect":
            pass
    if path == "/cut":
        await send({"type": "http.response.body", "body": b"event: number\nda", "more_body": True})
        raise ConnectionAbortedError  # the server then closes the connection without the last chunk
    await send({"type": "http.response.body", "body": b"", "more_body": False})
