"""What is encoded arrives: in two independent parsers, whatever the text and wherever the network cuts the bytes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import httpx
import pytest
from httpx_sse import EventSource
from hypothesis import example, given
from hypothesis import strategies as st

from sse_notify.sse import format as sse_format
from tests.support import ROOT
from tests.support.node import Conversation

# What parsers have stumbled over: every kind of line end and what only looks like one, NUL, BOM, astral characters, combining
# ones, a field's own syntax inside data.
NASTY = [
    "\r",
    "\n",
    "\r\n",
    "\u2028",
    "\u2029",
    "\u0085",
    "\v",
    "\f",
    "\x1c",
    "\0",
    "\ufeff",
    "😀",
    "e\u0301",
    " ",
    ":",
    "data: x",
    "id: 9",
    "",
]

characters = st.characters(exclude_categories=["Cs"])
text = st.lists(st.sampled_from(NASTY) | st.text(characters, max_size=5), max_size=8).map("".join)
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1, max_size=10
)
cursors = st.integers(0, sse_format.MAX_CURSOR)
surrogates = st.characters(categories=["Cs"])
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


class Arrived(NamedTuple):
    """An event as a parser tells it; ``id`` is the last event id after it."""

    event: str
    data: str
    id: str | None


class Parsed(NamedTuple):
    """What a parser made of a stream."""

    events: list[Arrived]
    retries: list[int]


Parse = Callable[[list[bytes]], Parsed]


def parse_with_httpx(chunks: list[bytes]) -> Parsed:
    response = httpx.Response(
        200, headers={"Content-Type": sse_format.CONTENT_TYPE}, content=iter(chunks)
    )
    events = list(EventSource(response).iter_sse())
    # Its id is the last one of the stream so far, "" before there is one.
    return Parsed(
        [Arrived(e.event, e.data, e.id or None) for e in events],
        [e.retry for e in events if e.retry is not None],
    )


@pytest.fixture(scope="module", params=["httpx-sse", "eventsource-parser"])
def parse(request: pytest.FixtureRequest) -> Iterator[Parse]:
    """A parser that this project did not write: of the bytes in these pieces it makes events."""
    if request.param == "httpx-sse":
        yield parse_with_httpx
        return
    with Conversation(ROOT / "tests" / "js" / "roundtrip.mjs") as parser:

        def parse_with_node(chunks: list[bytes]) -> Parsed:
            answer = parser.ask({"chunks": [base64.b64encode(chunk).decode() for chunk in chunks]})
            assert [error for error in answer["errors"] if error != 'Unknown field "topic"'] == []
            last: str | None = None
            events = []
            for event in answer["events"]:
                last = event["id"] if event["id"] is not None else last
                events.append(Arrived(event["event"], event["data"], last))
            return Parsed(events, answer["retries"])

        yield parse_with_node


def normalised(data: str) -> str:
    """Return ``data`` as the standard delivers it: its line ends are LF."""
    return re.sub("\r\n|\r", "\n", data)


def cut(draw: Callable[..., Any], stream: bytes) -> list[bytes]:
    """Cut ``stream`` anywhere, in the middle of a character too."""
    places = draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    return [stream[start:end] for start, end in pairwise([0, *places, len(stream)])]


@given(draw=st.data(), data=text, event=st.just("message") | names, id=st.none() | cursors)
@example(draw=None, data="", event="message", id=None)
@example(draw=None, data="", event="x", id=0)
@example(draw=None, data="\n", event="message", id=1)
@example(draw=None, data=" two spaces in front", event=" padded ", id=None)
@example(draw=None, data="\ufefffirst", event="\ufeff", id=sse_format.MAX_CURSOR)
@example(draw=None, data="a\r\n\r\n\n\rb", event="message", id=None)
def test_an_event_arrives_as_it_was_sent(
    parse: Parse, draw: st.DataObject | None, data: str, event: str, id: int | None
) -> None:
    block = sse_format.encode(data, event=event, id=id)
    chunks = cut(draw.draw, block) if draw is not None else [block]
    assert parse(chunks).events == [
        Arrived(event, normalised(data), None if id is None else str(id))
    ]


@given(
    draw=st.data(),
    sent=st.lists(st.tuples(text, names, st.none() | cursors, st.integers(0, 5), text), max_size=6),
)
def test_a_whole_stream_arrives_in_order_with_comments_and_retries_between(
    parse: Parse, draw: st.DataObject, sent: list[tuple[str, str, int | None, int, str]]
) -> None:
    stream, expected, retries, last = b"", [], [], None
    for data, event, id, kind, comment in sent:
        if kind == 0:
            stream += sse_format.encode_comment(comment)
        if kind == 1:
            retries.append(len(data))
        stream += sse_format.encode(
            data, event=event, id=id, retry=len(data) if kind == 1 else None
        )
        last = str(id) if id is not None else last
        expected.append(Arrived(event, normalised(data), last))
    parsed = parse(cut(draw.draw, stream))
    # httpx-sse, against the standard, makes an empty event of a block without data: of a retry, and of a comment after an id.
    assert [event for event in parsed.events if event[:2] != ("message", "")] == [
        event for event in expected if event[:2] != ("message", "")
    ]
    assert parsed.retries == retries


@given(data=text, id=cursors)
def test_a_block_that_is_cut_short_is_no_event_and_moves_no_cursor(data: str, id: int) -> None:
    """So a client that lost its connection in the middle of an event asks for that event again."""
    block = sse_format.encode(data, event="note", id=id)
    for length in range(len(block)):
        assert parse_with_httpx([block[:length]]).events == []
    # A parser that honours an id on its own would still need the data before it.
    assert block.index(b"\ndata: ") < block.index(b"\nid: ")


@given(data=text, event=names, id=cursors, retry=st.integers(0, 10**6))
def test_fields_come_in_order_and_lines_end_with_lf_alone(
    data: str, event: str, id: int, retry: int
) -> None:
    block = sse_format.encode(data, event=event, id=id, retry=retry)
    assert b"\r" not in block
    assert block.endswith(b"\n\n")
    assert block.count(b"\n\n") == 1
    fields = [line.partition(b": ")[0] for line in block[:-2].split(b"\n")]
    lines = normalised(data).count("\n") + 1
    expected = [b"retry", *([b"event"] if event != "message" else []), *[b"data"] * lines, b"id"]
    assert fields == expected


@given(data=text, event=names, id=cursors, retry=st.integers(0, 10**6))
def test_a_retry_arrives_with_the_event_whose_block_it_is_in(
    parse: Parse, data: str, event: str, id: int, retry: int
) -> None:
    parsed = parse([sse_format.encode(data, event=event, id=id, retry=retry)])
    assert parsed == ([Arrived(event, normalised(data), str(id))], [retry])


def test_the_bytes_of_a_block() -> None:
    assert sse_format.encode("a\r\nb\rc\nd", event="note", id=7, retry=3000) == (
        b"retry: 3000\nevent: note\ndata: a\ndata: b\ndata: c\ndata: d\nid: 7\n\n"
    )
    assert sse_format.encode("") == b"data: \n\n"
    assert sse_format.encode("ü\u2028\u0085\0😀") == "data: ü\u2028\u0085\0😀\n\n".encode()
    assert (
        sse_format.encode_json({"a": [1, "ü"]}, event="x", id=1)
        == 'event: x\ndata: {"a":[1,"ü"]}\nid: 1\n\n'.encode()
    )
    assert (
        sse_format.encode_json({"\u2028": "\u2029\x85ü😀\v\x1c"})
        == 'data: {"\\u2028":"\\u2029\\u0085ü😀\\u000b\\u001c"}\n\n'.encode()
    )
    assert sse_format.encode_comment() == b":\n"


@given(value=json_values, event=names, id=cursors)
def test_json_arrives_as_one_line_of_the_same_value(value: Any, event: str, id: int) -> None:
    block = sse_format.encode_json(value, event=event, id=id)
    assert block.count(b"\ndata: ") + block.startswith(b"data: ") == 1
    (arrived,) = parse_with_httpx([block]).events
    assert json.loads(arrived.data) == value
    # Some clients split the text by Python's idea of a line.
    assert len(arrived.data.splitlines()) == 1


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {"deep": [float("-inf")]}, {1, 2}, b"bytes", object()]
)
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        sse_format.encode_json(value)


@given(before=text, surrogate=surrogates, after=text)
def test_a_lone_surrogate_is_refused_wherever_it_is(
    before: str, surrogate: str, after: str
) -> None:
    broken = before + surrogate + after
    with pytest.raises(ValueError, match="surrogate"):
        sse_format.encode(broken)
    with pytest.raises(ValueError, match="surrogate"):
        sse_format.encode_json({"text": broken})
    with pytest.raises(ValueError, match="surrogate"):
        sse_format.encode("", event="name" + surrogate)


@given(before=text, forbidden=st.sampled_from("\r\n\0"), after=text)
def test_an_event_name_that_would_break_the_block_is_refused(
    before: str, forbidden: str, after: str
) -> None:
    with pytest.raises(ValueError, match="event"):
        sse_format.encode("data", event=before + forbidden + after)


def test_an_empty_event_name_is_refused() -> None:
    with pytest.raises(ValueError, match="event"):
        sse_format.encode("data", event="")


@pytest.mark.parametrize("wrong", ["1\nid: 2", "1\r", "\0", "\ud800"])
def test_the_text_of_an_id_that_would_break_the_block_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="id"):
        sse_format.encode("data", id=wrong)


def test_the_topic_is_a_field_that_other_parsers_pass_over(parse: Parse) -> None:
    block = sse_format.encode("data", event="moved", id=5, topic="order.5: ä")
    assert block == "event: moved\ntopic: order.5: ä\ndata: data\nid: 5\n\n".encode()
    assert parse([block]) == parse([sse_format.encode("data", event="moved", id=5)])


@pytest.mark.parametrize("wrong", ["1\nid: 2", "1\r", "\0", "\ud800"])
def test_a_topic_that_would_break_the_block_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        sse_format.encode("data", topic=wrong)


def test_an_id_may_be_text() -> None:
    assert sse_format.encode("data", id="5-ä: 3") == "data: data\nid: 5-ä: 3\n\n".encode()


@pytest.mark.parametrize("wrong", [-1, True, 1.0, "1", "1\nid: 2"])
def test_an_id_or_retry_that_is_no_natural_number_is_refused(wrong: Any) -> None:
    if not isinstance(wrong, str):
        with pytest.raises(ValueError, match="id"):
            sse_format.encode("data", id=wrong)
    with pytest.raises(ValueError, match="retry"):
        sse_format.encode("data", retry=wrong)


@given(comment=text)
def test_a_comment_is_nothing_to_a_parser(parse: Parse, comment: str) -> None:
    assert parse([sse_format.encode_comment(comment), sse_format.encode("after")]).events == [
        Arrived("message", "after", None)
    ]


@given(first=cursors, second=st.none() | st.just("") | cursors.map(str))
def test_the_larger_of_two_cursors_holds(first: int, second: str | None) -> None:
    expected = max(first, int(second)) if second else first
    assert sse_format.parse_cursor(str(first), second) == expected
    assert sse_format.parse_cursor(second, str(first)) == expected


@pytest.mark.parametrize("values", [(), (None,), ("",), (None, "")])
def test_no_cursor_is_none(values: tuple[str | None, ...]) -> None:
    assert sse_format.parse_cursor(*values) is None


@pytest.mark.parametrize(
    "wrong",
    [
        "-1",
        "+1",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x1",
        "one",
        "1_000",
        "²",
        "\u0661",
        "1\n",
        str(2**63),
        "9" * 20,
        "9" * 5000,
    ],
)
def test_a_malformed_cursor_is_told_from_none(wrong: str) -> None:
    with pytest.raises(sse_format.MalformedCursor):
        sse_format.parse_cursor(wrong)
    # Beside a well-formed one it does no harm: a browser repeats the address with whatever was in it.
    assert sse_format.parse_cursor(wrong, "5") == 5


@given(value=st.text(max_size=25))
def test_whatever_a_client_sends_is_a_cursor_or_malformed(value: str) -> None:
    try:
        found = sse_format.parse_cursor(value)
    except sse_format.MalformedCursor:
        return
    assert found is None if not value else found is not None and 0 <= found <= sse_format.MAX_CURSOR
