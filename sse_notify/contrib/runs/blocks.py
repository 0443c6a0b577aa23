"""The events of runs as bytes: blocks with their ids, ends, and what processes tell each other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral
from sse_notify.contrib.runs.states import State
from sse_notify.sse.format import Event, as_text, dumps, encode, shown
from sse_notify.topics import RUNS

#: Bytes of a part beyond which others read it from the database, and of one message in all.
TOLD_BYTES, MESSAGE_BYTES = 32_768, 262_144

_MESSAGES = {
    State.FAILED: "The run has failed.",
    State.STALLED: "The run has stalled.",
    State.INTERRUPTED: "The run was interrupted.",
}


class Appended(NamedTuple):
    """A part, as it is stored and told."""

    run_id: int
    first: int
    last: int
    blocks: bytes
    is_end: bool = False


def encode_event(item: Any, pk: int, number: int) -> bytes:
    """Return the block of an event, with its id.

    Raises:
        TypeError, ValueError: it cannot be sent, or has an id of its own.
    """
    event = item if isinstance(item, Event) else Event(item)
    if event.id is not None:
        raise ValueError("id must be None: the events of a run are numbered.")
    data = as_text(event.data)
    return encode(data, event=event.event, retry=event.retry, id=f"{pk}-{number}")


def after_number(blocks: bytes, first: int, after: int) -> bytes:
    """Return the blocks after the number ``after``; ``first`` is that of the first."""
    if after < first:
        return blocks
    return b"\n\n".join(blocks.split(b"\n\n")[after - first + 1 :])


def encoded_ends(end: Event | str | None, ends: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last events by state, as they are stored: their data and their name.

    Raises:
        TypeError, ValueError: a state does not end a run, or an event cannot be sent.
    """
    given = {**ends, **({} if end is None else {"done": end})}
    stored = {}
    for state, item in given.items():
        if state not in State.values or state == State.RUNNING:
            raise ValueError(f"ends must have states for keys, not {shown(state)}.")
        encode_event(item, 0, 0)
        event = item if isinstance(item, Event) else Event(item)
        stored[str(state)] = [as_text(event.data), event.event]
    return stored


def end_of(run: Any, state: State, reason: str, number: int) -> bytes:
    """Return the last block of a run that ends in ``state``."""
    if state in run.ends:
        data, name = run.ends[state]
    else:
        said = {"state": state, **({"reason": reason} if reason else {})}
        if state in _MESSAGES:
            said |= {"error": state, "message": _MESSAGES[state]}
        data, name = dumps(said), str(state)
    return encode(data, event=name, id=f"{run.pk}-{number}")


def events_of(blocks: bytes) -> list[Event]:
    """Return the events of some blocks."""
    found = []
    for block in blocks.decode().removesuffix("\n\n").split("\n\n"):
        lines = [line.partition(": ") for line in block.split("\n")]
        fields = {name: value for name, _, value in lines}
        data = "\n".join(value for name, _, value in lines if name == "data")
        found.append(Event(data, event=fields.get("event", "message"), id=fields.get("id")))
    return found


def text_of(events: Iterable[Event], field: str | None) -> str:
    """Return the joined text of events: the data of those without a name, or a field of theirs."""
    if field is None:
        return "".join(event.data for event in events if event.event == "message")
    texts = []
    for event in events:
        try:
            value = json.loads(event.data)[field]
        except (ValueError, LookupError, TypeError):
            continue
        texts.append(value if isinstance(value, str) else "")
    return "".join(texts)


def tell(parts: Iterable[Appended]) -> None:
    """Tell the hubs of all processes what was appended. Large parts they read for themselves."""
    head: list[Any] = []
    body: list[bytes] = []
    total = 0
    for part in parts:
        told = part.blocks if len(part.blocks) <= TOLD_BYTES else None
        head.append([*part[:3], int(part.is_end), -1 if told is None else len(told)])
        body.append(told or b"")
        total += len(body[-1])
        if total > MESSAGE_BYTES:
            _ring(head, body)
            head, body, total = [], [], 0
    if head:
        _ring(head, body)


def told(frame: bytes) -> Iterator[tuple[int, int, int, bytes | None, bool]]:
    """Yield run, first and last number, blocks and whether it is the end, of each told part.

    Raises:
        TypeError, ValueError, OverflowError: the frame is malformed.
    """
    head, _, body = frame.partition(b"\n")
    start = 0
    for part in json.loads(head):
        pk, first, last, is_end, size = map(int, part)
        blocks = body[start : start + size] if size >= 0 else None
        if blocks is not None and blocks.count(b"\n\n") != last - first + 1:
            blocks = None  # whatever it is, the database has the events
        yield pk, first, last, blocks, bool(is_end)
        start += max(size, 0)


def _ring(head: list[Any], body: list[bytes]) -> None:
    publisher.ring(Ephemeral(RUNS, b"\n".join([dumps(head).encode(), b"".join(body)])))
