"""Bytes to events: what the chunks of this package's own streams hold, for the test tools and for who looks on in a terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One event of a stream, as a browser gets it."""

    event: str
    """Its name."""
    data: Any
    """What its JSON says; the text itself if it is no JSON."""
    id: int | None
    """The cursor that it sets, if any."""
    topic: str | None = None
    """What it was published under, if that is not its name."""


def parse(chunk: bytes) -> list[Received]:
    """Return the events of a chunk, which a stream always makes of complete blocks."""
    received = []
    for block in chunk.decode().split("\n\n"):
        fields: dict[str, list[str]] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        if "data" in fields:
            text = "\n".join(fields["data"])
            try:
                data = json.loads(text)
            except ValueError:
                data = text
            id = fields.get("id", [""])[0]
            topic = fields.get("topic", [None])[0]
            received.append(
                Received(fields.get("event", ["message"])[0], data, int(id) if id else None, topic)
            )
    return received
