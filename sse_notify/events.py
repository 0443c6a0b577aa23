"""One event of a view's own stream, and what else a view may yield in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sse_notify import wire


@dataclass(frozen=True, slots=True)
class Event:
    """An event as the WHATWG's standard has it: what :class:`sse_notify.EventStreamResponse` sends.

    Args:
        data: text as it is, of any number of lines; anything else as JSON.
        event: the event's name; a browser's ``EventSource`` calls the listeners of that name.
        id: the last event id that a client holds after this event: a whole number, or text of one line.
        retry: milliseconds after which an ``EventSource`` comes back when the stream ends.
    """

    data: Any = ""
    event: str = "message"
    id: int | str | None = None
    retry: int | None = None

    def encode(self) -> bytes:
        """Return the block of bytes that a stream carries.

        Raises:
            TypeError, ValueError: a field cannot be sent; the message names it.
        """
        return wire.encode(_text(self.data), event=self.event, id=self.id, retry=self.retry)


def encode(item: Any) -> bytes:
    """Return the block for what a view yielded: an :class:`Event`, text, or anything else that JSON can hold.

    Raises:
        TypeError, ValueError: it cannot be sent.
    """
    return item.encode() if isinstance(item, Event) else wire.encode(_text(item))


def _text(data: Any) -> str:
    if isinstance(data, str):
        return data
    try:
        return wire.dumps(data)
    except RecursionError as error:
        raise ValueError("data: nested too deeply for JSON") from error
    except (TypeError, ValueError) as error:
        raise type(error)(f"data: JSON cannot hold it ({error})") from error
