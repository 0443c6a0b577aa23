"""Encode and decode events and parse cursors, as section 9.2 of the WHATWG HTML standard says.

This module uses only the standard library, and nothing in it blocks. Six choices are deliberate,
each for the sake of clients:

1. Lines end with LF only. Some parsers split a CRLF wrongly when it falls between two chunks.
2. The fields of a block are in the order ``retry``, ``event``, ``topic``, ``data``, ``id``. So a
   block that is cut short never moves a client's last event id past an event that the client did
   not get.
3. An ``id`` is never sent without ``data``. Chromium honours such a block at once, as the standard
   asks; WebKit with the next event that has data; Gecko never.
4. ``topic`` is a field of our own. The standard makes clients ignore fields that they do not know.
   So an event can carry its topic without changing its name or its data, which belong to the
   publisher.
5. Every blank line ends an event with data. ``@microsoft/fetch-event-source`` makes an empty
   message of any other, and code that parses its data fails.
6. JSON escapes the characters at which Python's ``str.splitlines()`` ends a line, but no stream:
   ``sseclient`` and ``aiosseclient`` would cut the data there. Text that is not JSON has no
   escapes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "text/event-stream"
#: UTF-8 is all that the standard allows. Clients such as ``sseclient`` assume Latin-1 if it is not
#: named.
CONTENT_TYPE = f"{MEDIA_TYPE}; charset=utf-8"

#: Event names that the stream itself uses. A notification cannot have them.
RESERVED_EVENTS = frozenset({"hello", "bye", "ping", "lost", "reset", "update", "remove"})

#: The event of long work. Projects may use the name: only this package's has neither id nor topic.
PROGRESS = "progress"

#: The largest event that the package's script reads: ``BLOCK_MAX`` in ``js/limits.js``. The script
#: counts UTF-16 units without line ends, which are never more than the bytes.
MAX_EVENT_BYTES = 1_048_576

#: The largest cursor: what a signed 64-bit column can hold.
MAX_CURSOR = 2**63 - 1

# Section 9.2.5: a line ends only at CRLF, CR or LF. str.splitlines() also splits at U+2028, U+0085
# and others.
_LINE_END = re.compile(r"\r\n|\r|\n")
_FORBIDDEN_IN_FIELD = re.compile(r"[\r\n\0]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NO_SURROGATE = "{name} must not contain a lone surrogate, which UTF-8 cannot encode."
_CURSOR = re.compile(r"[0-9]{1,19}", re.ASCII)
#: The line ends of ``str.splitlines()`` that JSON does not escape anyway, with their escapes.
_SPLITTING = {char: f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


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
        data: the text of the event, of any number of lines. CRLF, CR and LF all arrive as LF. Other
            line ends, such as U+2028, are sent as they are.
        event: the name of the event. ``"message"``, the default of the standard, is left out.
        id: the last event id that a client has after this event: a whole number, or text.
        retry: the reconnection time in milliseconds.
        topic: the topic that the event was published under.

    Raises:
        TypeError: ``event``, ``topic`` or ``data`` is not a string.
        ValueError: ``event`` is empty; ``event``, ``id`` or ``topic`` contains CR, LF or NUL;
            ``id`` or ``retry`` is negative or too large; or a text contains a lone surrogate, which
            UTF-8 cannot encode.
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
        lines.append(f"id: {_field('id', id) if isinstance(id, str) else _natural('id', id)}")
    lines.append("\n")
    try:
        return "\n".join(lines).encode()
    except UnicodeEncodeError as error:
        raise ValueError(_NO_SURROGATE.format(name="data")) from error


def encode_json(obj: Any, *, event: str = "message", id: int | None = None) -> bytes:
    """Return one block whose data is ``obj`` as compact JSON on one line.

    Raises:
        TypeError, ValueError: JSON cannot represent ``obj`` (NaN and infinities included), or see
            :func:`encode`.
    """
    return encode(dumps(obj), event=event, id=id)


def dumps(obj: Any) -> str:
    """Return ``obj`` as compact JSON on one line, whatever ends a line. Other text is as it is."""
    text = _JSON.encode(obj)
    if not text.isascii():
        for char, escape in _SPLITTING.items():
            text = text.replace(char, escape)
    return text


def as_text(data: Any) -> str:
    """Return the data of an event as text: a string as it is, anything else as compact JSON.

    Raises:
        TypeError, ValueError: JSON cannot represent ``data``.
    """
    if isinstance(data, str):
        return data
    try:
        return dumps(data)
    except RecursionError as error:
        raise ValueError("data is nested too deeply for JSON.") from error
    except (TypeError, ValueError) as error:
        raise type(error)(f"data must be a string or JSON serializable. {error}.") from error


def clean(text: str) -> str:
    """Return ``text`` without NUL and lone surrogates, which not every database can store."""
    return text.replace("\0", "").encode(errors="ignore").decode()


def shown(value: Any) -> str:
    """Return ``repr(value)`` for a message, at most 100 characters of it."""
    try:
        text = repr(value)
    except Exception:  # an int of thousands of digits has none
        return f"this {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:100]}…"


def encode_comment(text: str = "") -> bytes:
    """Return a comment, one line that every parser skips. Spaces replace its line ends."""
    return f":{_LINE_END.sub(' ', text)}\n".encode()


def check_event_name(event: str) -> str:
    """Return ``event`` if a stream can carry it as the name of an event.

    Raises:
        TypeError: it is not a string.
        ValueError: it is empty, or contains CR, LF, NUL or a lone surrogate.
    """
    if not _field("event", event):
        raise ValueError("event must not be empty.")
    return event


def parse_cursor(*values: str | None) -> int | None:
    """Return the largest of the well-formed cursors that a client sent, ``None`` if it sent none.

    A browser that retries repeats the address, with the old cursor, and adds the ``Last-Event-ID``
    header with the new one. Empty values count as absent.

    Raises:
        MalformedCursor: there are values, and none of them is well formed.
    """
    given = [value for value in values if value]
    numbers = [int(value) for value in given if _CURSOR.fullmatch(value)]
    numbers = [number for number in numbers if number <= MAX_CURSOR]
    if given and not numbers:
        raise MalformedCursor(f"A cursor must be a decimal number from 0 to {MAX_CURSOR}.")
    return max(numbers, default=None)


# --- an event of a view's own stream ---


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
        text = as_text(self.data)
        return encode(text, event=self.event, id=self.id, retry=self.retry)


def encode_item(item: Any) -> bytes:
    """Return the bytes for what a view yielded: an :class:`Event`, text, or a JSON value.

    Raises:
        TypeError, ValueError: it cannot be sent.
    """
    return item.encode() if isinstance(item, Event) else encode(as_text(item))


# --- decoding, for tests and terminals ---


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
    """The topic that it was published under, if it differs from the name."""


def parse(chunk: bytes) -> list[Received]:
    """Return the events of a chunk of complete blocks, as streams send them."""
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


def _field(name: str, text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, not {type(text).__name__}.")
    if _FORBIDDEN_IN_FIELD.search(text):
        raise ValueError(f"{name} must not contain CR, LF or NUL.")
    if not text.isascii() and _SURROGATE.search(text):
        raise ValueError(_NO_SURROGATE.format(name=name))
    return text


def _natural(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_CURSOR:
        text = f"a whole number from 0 to {MAX_CURSOR}"
        raise ValueError(f"{name} must be {text}, not {shown(value)}.")
    return value
