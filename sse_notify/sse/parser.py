"""Decode the chunks of this package's streams to events, for tests and for terminals."""

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
    """Its data: what the JSON says, or the text if it is not JSON."""
    id: int | None
    """The cursor that it sets, if any."""
    topic: str | None = None
    """The topic that it was published under, if that is not its name."""


def parse(chunk: bytes) -> list[Received]:
    """Return the events of a chunk. A stream makes every chunk of complete blocks."""
    received = []
    for block in chunk.decode().split("\n\n"):
        lines = [line.partition(":") for line in block.split("\n")]
        fields = {name: value.removeprefix(" ") for name, _, value in lines}
        if "data" not in fields:
            continue
        text = "\n".join(value.removeprefix(" ") for name, _, value in lines if name == "data")
        try:
            data = json.loads(text)
        except ValueError:
            data = text
        id = int(fields["id"]) if fields.get("id") else None
        received.append(Received(fields.get("event", "message"), data, id, fields.get("topic")))
    return received
