"""Events of runs as bytes: what is stored is what was said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_notify import Event
from sse_notify.bus import publisher
from sse_notify.contrib.runs.blocks import (
    MESSAGE_BYTES,
    TOLD_BYTES,
    Appended,
    after_number,
    encode_event,
    events_of,
    tell,
    text_of,
    told,
)

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n: "))
names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=10)


def normalised(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(st.lists(st.tuples(texts, names), min_size=1), st.integers(0, 10))
def test_any_texts_come_back_as_they_were_said(said: list[tuple[str, str]], after: int) -> None:
    blocks = b"".join(
        encode_event(Event(text, event=name), 7, number)
        for number, (text, name) in enumerate(said, 1)
    )
    assert [(each.data, each.event) for each in events_of(blocks)] == [
        (normalised(text), name) for text, name in said
    ]
    rest = after_number(blocks, 1, after)
    found = [] if not rest else events_of(rest)
    assert [each.id for each in found] == [f"7-{n}" for n in range(after + 1, len(said) + 1)]


@given(st.lists(texts))
def test_the_text_of_a_run_is_all_that_was_said(said: list[str]) -> None:
    events = [each for text in said for each in events_of(encode_event(text, 7, 1))]
    assert text_of(events, None) == "".join(map(normalised, said))
    events = [each for text in said for each in events_of(encode_event({"word": text}, 7, 1))]
    assert text_of(events, "word") == "".join(said)


def test_text_leaves_out_what_is_no_text() -> None:
    items: list[Any] = [{"word": None}, {"word": 3}, [1], "word", 5, None, {"word": "a"}]
    events = [each for item in items for each in events_of(encode_event(item, 7, 1))]
    assert text_of(events, "word") == "a"


def test_what_is_told_is_what_was_appended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large parts are told without their blocks, and many in several messages."""
    rung: list[Any] = []
    monkeypatch.setattr(publisher, "ring", rung.append)
    block = b"data: %s\n\n" % (b"x" * (TOLD_BYTES - 8))
    large = b"data: %s\n\n" % (b"x" * TOLD_BYTES)
    parts = [Appended(n, 1, 1, large if n == 3 else block, n == 5) for n in range(20)]
    tell(parts)
    assert len(rung) > 1
    assert all(len(each.frame) < 2 * MESSAGE_BYTES for each in rung)
    found = [each for message in rung for each in told(message.frame)]
    assert found == [
        (part.run_id, 1, 1, None if part.run_id == 3 else block, part.is_end) for part in parts
    ]


@given(st.lists(st.lists(st.none() | st.integers() | st.floats() | st.text())), st.binary())
def test_what_is_forged_gives_numbers_or_one_of_two_errors(head: Any, body: bytes) -> None:
    frame = json.dumps(head).encode() + b"\n" + body
    try:
        found = list(told(frame))
    except (TypeError, ValueError, OverflowError):
        return
    for pk, first, last, blocks, is_end in found:
        assert {type(pk), type(first), type(last), type(is_end)} == {int, bool}
        assert blocks is None or blocks.count(b"\n\n") == last - first + 1
