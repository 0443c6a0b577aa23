"""The floor: an ASGI application with nothing in it but one shared encoded frame and one write for each stream and event.

No user, no encoding for each client, no heartbeat, no bound. What a stream costs here is what the server itself costs.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from benchmarks.servers import events, ticking

HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]

senders: dict[int, Any] = {}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["path"] in ("/publish", "/tick"):
        await _answer(scope["path"], receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b": open\n\n", "more_body": True})
    senders[id(send)] = send
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        del senders[id(send)]


async def _answer(path: str, receive: Any, send: Any) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    asked = json.loads(body)
    if path == "/tick":
        ticking.begin(_publish, asked["rate"], asked["count"])
    else:
        for number in range(asked["first"], asked["first"] + asked["count"]):
            await _publish(number)
            await asyncio.sleep(0)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"{}"})


async def _publish(number: int) -> None:
    frame = f"event: {events.NAME}\ndata: {json.dumps(events.data(number))}\n\n".encode()
    for stream in list(senders.values()):
        await stream({"type": "http.response.body", "body": frame, "more_body": True})
