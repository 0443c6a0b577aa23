"""One event of a view's own stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sse_notify.sse import format as sse_format


@dataclass(frozen=True, slots=True)
class Event:
    """An event that :class:`sse_notify.EventStreamResponse` sends.

    Args:
        data: text as it is, of any number of lines; anything else as JSON.
        event: the name of the event. A browser's ``EventSource`` calls the listeners of that name.
        id: the last event id that a client has after this event: a whole number, or text on one
            line.
        retry: milliseconds after which an ``EventSource`` reconnects when the stream has ended.
    """

    data: Any = ""
    event: str = "message"
    id: int | str | None = None
    retry: int | None = None

    def encode(self) -> bytes:
        """Return the bytes that a stream carries.

        Raises:
            TypeError, ValueError: a field cannot be sent; the message names it.
        """
        text = sse_format.as_text(self.data)
        return sse_format.encode(text, event=self.event, id=self.id, retry=self.retry)


def encode(item: Any) -> bytes:
    """Return the bytes for what a view yielded: an :class:`Event`, text, or a JSON value.

    Raises:
        TypeError, ValueError: it cannot be sent.
    """
    return item.encode() if isinstance(item, Event) else sse_format.encode(sse_format.as_text(item))
