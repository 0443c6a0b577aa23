"""The event that every server publishes, so that all carry the same content."""

from __future__ import annotations

import time
from typing import Any

#: Filling, so that the data of an event is about 150 bytes of JSON.
TEXT = "Ada commented on the release plan: the migration is done, please have a look before noon."

#: The SSE event name.
NAME = "notification"


def stamp(number: int) -> dict[str, int]:
    """Return the event's number, and the moment at which it is published: the client shares the clock."""
    return {"n": number, "t": time.monotonic_ns()}


def data(number: int) -> dict[str, Any]:
    """Return the data of one event: about 150 bytes as JSON."""
    return {**stamp(number), "text": TEXT}
