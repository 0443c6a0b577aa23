"""One event of a view's own stream: what it encodes to, and what it refuses by name."""

from __future__ import annotations

import re
import time
import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sse_notify import Event
from sse_notify.sse import control
from sse_notify.sse.format import Received, encode, encode_item, encode_json, parse
from tests.support import ROOT


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (Event("a\nb", event="word", id=7, retry=100), Received("word", "a\nb", 7)),
        (Event({"a": [1, None]}), Received("message", {"a": [1, None]}, None)),
        (Event(), Received("message", "", None)),
        ("text: of a view", Received("message", "text: of a view", None)),
        (5, Received("message", 5, None)),
    ],
    ids=str,
)
def test_what_a_view_yields_arrives(item: Any, expected: Received) -> None:
    assert parse(encode_item(item)) == [expected]


def test_a_chunk_holds_several_events_and_what_is_no_event_is_skipped() -> None:
    chunk = b"retry: 5\n\n" + encode_item("1") + b":\n\n" + encode_item(Event("2", event="x"))
    assert parse(chunk) == [Received("message", 1, None), Received("x", 2, None)]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("event", "error", "message"),
    [
        (
            Event(b"bytes"),
            TypeError,
            "data must be a string or JSON serializable. Object of type bytes",
        ),
        (Event({1, 2}), TypeError, "data must be"),
        (Event(float("nan")), ValueError, "data must be"),
        (Event(nested(100_000)), ValueError, "data is nested too deeply"),
        (Event("\ud800"), ValueError, "data must not contain a lone surrogate"),
        (Event(event=""), ValueError, "event must not be empty"),
        (Event(event="a\nb"), ValueError, "event must not contain CR"),
        (Event(event=5), TypeError, "event must be a string, not int"),  # type: ignore[arg-type]
        (Event(id=-1), ValueError, "id must be a whole number from 0 to "),
        (Event(id="a\rb"), ValueError, "id must not contain CR"),
        (Event(retry=1.5), ValueError, "retry must be a whole number"),  # type: ignore[arg-type]
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_that_cannot_be_sent_is_named(
    event: Event, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}"):
        event.encode()


HELLO = control.hello(
    1, head=1, state_seq=None, unread=0, unseen=0, key=None, heartbeat=15.0, retry=5, resumes=True
)


@pytest.mark.parametrize("data", ["", "one", "event: x\ndata: y\n\nevent: z", "\r\n\r\n", "\u2028"])
@pytest.mark.parametrize(
    ("event", "topic", "is_told"),
    [
        ("hello", None, False),
        ("notification", None, False),
        ("message", None, False),
        ("progress", None, False),
        ("progress", "order.5", True),
        ("message", "order.5", True),
        ("order.paid", None, True),
        ("moved", "ördér: 5", True),
        ("next", None, True),
        ("reserved-by-a-later-version", None, True),
    ],
)
def test_what_an_event_source_does_not_tell_is_said_before_the_event(
    event: str, topic: str | None, is_told: bool, data: str
) -> None:
    block = encode(data, event=event, topic=topic, id=5)
    next = encode_json({"event": event, "topic": topic}, event="next") if is_told else b""
    assert control.with_names(block) == next + block
    others = encode(data) + HELLO + control.ping(7)
    assert control.with_names(others + block + block) == others + next + block + next + block


def test_the_script_listens_to_what_the_server_does_not_announce_and_the_list_is_closed() -> None:
    """An older script that gets a newer event, or the other way round, must not lose it."""
    script = (ROOT / "sse_notify/js/eventsource.js").read_text()
    (names,) = re.findall(r'NAMES = "([\w ]+)"', script)
    assert set(names.split()) == control.KNOWN | {"next"}
    of_the_first_version = "bye hello lost message notification ping progress remove reset update"
    assert sorted(control.KNOWN) == of_the_first_version.split()


def test_to_look_for_names_does_not_stop_at_each_byte_of_the_data() -> None:
    """Each stream of an ``EventSource`` does it on the event loop, with whatever one event says to thousands."""

    def seconds(function: Callable[[bytes], object], chunk: bytes) -> float:
        # Of the processor: other processes do not count.
        return min(timeit.repeat(partial(function, chunk), timer=time.thread_time, number=5))

    at_each_byte = re.compile(rb"(?:\A|(?<=\n\n))(?=data)").findall
    for data in ("a" * 1_000_000, "\n" * 200_000):
        chunk = encode(data, event="notification", id=7)
        assert control.with_names(chunk) == chunk
        assert seconds(control.with_names, chunk) < seconds(at_each_byte, chunk) / 3
