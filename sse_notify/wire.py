"""Events to bytes, and cursors from text: the event stream format of the WHATWG HTML standard, section 9.2.

Nothing but the standard library, and nothing that waits. Four deliberate choices, each for a client's sake:

1. Lines end with LF only. Parsers exist that split a CRLF which falls between two chunks wrongly.
2. The fields of a block are in the order ``retry``, ``event``, ``topic``, ``data``, ``id``. A block that is cut short can then never
   move a client's last event id past an event that it did not get.
3. An ``id`` is never sent without ``data``. WebKit and Gecko ignore such a block, Chromium honours it.
4. ``topic`` is a field of our own, which the standard has every client ignore that does not know it. So the topic of an event can be told
   without a word in the name or in the data, which are the publisher's.
"""

from __future__ import annotations

import json
import re
from typing import Any

CONTENT_TYPE = "text/event-stream"

#: Names that the stream itself uses; a notification cannot take them.
RESERVED_EVENTS = frozenset({"hello", "bye", "ping", "lost", "reset", "update", "remove"})

#: The largest cursor: what a signed 64-bit column holds.
MAX_CURSOR = 2**63 - 1

# The standard ends a line at CRLF, CR or LF and at nothing else; str.splitlines() would also split at U+2028, U+0085 and others.
_LINE_END = re.compile(r"\r\n|\r|\n")
_FORBIDDEN_IN_FIELD = re.compile(r"[\r\n\0]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CURSOR = re.compile(r"[0-9]{1,19}", re.ASCII)


class MalformedCursor(ValueError):
    """Raised when a cursor is not a decimal number that a 64-bit column could hold."""


def encode(
    data: str,
    *,
    event: str = "message",
    id: int | str | None = None,
    retry: int | None = None,
    topic: str | None = None,
) -> bytes:
    """Return one complete block of the stream.

    Args:
        data: the event's text, of any number of lines. CRLF, CR and LF all arrive as LF, as the standard has it.
        event: the event's name; ``"message"``, the standard's default, is left out.
        id: the last event id that a client holds after this event: a whole number, or text.
        retry: the reconnection time in milliseconds.
        topic: what the event was published under.

    Raises:
        ValueError: ``event`` is empty or holds CR, LF or NUL, as may no ``id`` and no ``topic``; ``id`` or ``retry`` is negative; ``data``
            holds a lone surrogate, which UTF-8 cannot carry.
    """
    lines = [f"retry: {_natural('retry', retry)}"] if retry is not None else []
    if event != "message":
        lines.append(f"event: {check_event_name(event)}")
    if topic is not None:
        lines.append(f"topic: {_field('topic', topic)}")
    if "\n" in data or "\r" in data:
        lines.extend(f"data: {line}" for line in _LINE_END.split(data))
    else:
        lines.append(f"data: {data}")
    if id is not None:
        lines.append(f"id: {_id(id)}")
    lines.append("\n")
    try:
        return "\n".join(lines).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"data: UTF-8 cannot carry the lone surrogate {error.object[error.start]!r}"
        ) from error


def encode_json(obj: Any, *, event: str = "message", id: int | None = None) -> bytes:
    """Return one block whose data is ``obj`` as compact JSON: one line, whatever its strings hold.

    Raises:
        TypeError, ValueError: JSON cannot hold ``obj`` (NaN and infinities included), or see :func:`encode`.
    """
    return encode(dumps(obj), event=event, id=id)


def dumps(obj: Any) -> str:
    """Return ``obj`` as the compact JSON that every event uses, its text readable rather than escaped."""
    return json.dumps(obj, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode_retry(milliseconds: int) -> bytes:
    """Return the block that sets a client's reconnection time."""
    return f"retry: {_natural('retry', milliseconds)}\n\n".encode()


def encode_comment(text: str = "") -> bytes:
    """Return a comment, which every parser skips. Its line ends are replaced by spaces."""
    return f":{_LINE_END.sub(' ', text)}\n\n".encode()


def check_event_name(event: str) -> str:
    """Return ``event`` if a stream can carry it as an event's name.

    Raises:
        ValueError: it is empty or holds CR, LF, NUL or a lone surrogate.
    """
    if not event:
        raise ValueError("event: a name is needed")
    if _FORBIDDEN_IN_FIELD.search(event):
        raise ValueError("event: a name holds no CR, LF or NUL")
    if not event.isascii() and _SURROGATE.search(event):
        raise ValueError("event: UTF-8 cannot carry a lone surrogate")
    return event


def parse_cursor(*values: str | None) -> int | None:
    """Return the cursor that a client came with: the larger of the well-formed values, ``None`` if it came with none.

    A browser's own retry repeats the address, with its old cursor, and adds the ``Last-Event-ID`` header with the new one; so
    the larger is the one that holds. Empty values count as absent.

    Raises:
        MalformedCursor: values were given and none of them is well formed.
    """
    given = [value for value in values if value]
    if not given:
        return None
    numbers = [int(value) for value in given if _CURSOR.fullmatch(value)]
    numbers = [number for number in numbers if number <= MAX_CURSOR]
    if not numbers:
        raise MalformedCursor("a cursor is a decimal number from 0 to 9223372036854775807")
    return max(numbers)


def _id(id: int | str) -> int | str:
    return _field("id", id) if isinstance(id, str) else _natural("id", id)


def _field(name: str, text: str) -> str:
    if _FORBIDDEN_IN_FIELD.search(text):
        raise ValueError(f"{name}: its text holds no CR, LF or NUL")
    if not text.isascii() and _SURROGATE.search(text):
        raise ValueError(f"{name}: UTF-8 cannot carry a lone surrogate")
    return text


def _natural(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}: a whole number from 0 is needed, not {value!r}")
    return value
