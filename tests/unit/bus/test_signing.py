"""Whom a process believes on the channel layer: processes with its key, for a minute, and nobody else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from channels.layers import BaseChannelLayer
from django.test import override_settings

from sse_notify import counters
from sse_notify.bus import signing
from sse_notify.telemetry import Incident
from tests.unit.bus.elsewhere import signed

TO = "sse_notify"


@pytest.fixture(autouse=True)
def incident(monkeypatch: pytest.MonkeyPatch) -> Incident:
    found = Incident("layer_messages", quiet=3600)
    monkeypatch.setattr(signing, "_foreign", found)
    return found


def heard(message: Any, to: str = TO) -> list[Any]:
    return signing.verify(to, message, lambda part: part)


def changed(change: Callable[[str], Any]) -> dict[str, Any]:
    message: dict[str, Any] = signed("hello")
    return {**message, "signed": change(message["signed"])}


def as_of_another_second(text: str) -> str:
    body, _, signature = text.rsplit(":", 2)
    return f"{body}:1tRzXc:{signature}"


def test_what_another_process_signs_is_heard_and_what_this_one_signs_is_not() -> None:
    before = counters.get("dropped")
    assert heard(signed("hello", {"a": [1, None]})) == ["hello", {"a": [1, None]}]
    assert heard(signing.sign(TO, ['"hello"'])) == []
    assert counters.get("dropped") == before


FORGED = {
    "unsigned, as an older version": lambda: {"origin": "x", "topic": "wall", "frame": b"x\n\n"},
    "empty": dict,
    "no dict": lambda: "text",
    "a list": lambda: [1],
    "nothing": lambda: None,
    "a number": lambda: {"signed": 5},
    "bytes": lambda: changed(str.encode),
    "no signature": lambda: changed(lambda text: text.rsplit(":", 2)[0]),
    "an empty signature": lambda: changed(lambda text: text.rsplit(":", 1)[0] + ":"),
    "another text": lambda: changed(lambda text: text.replace("hello", "hullo")),
    "one part more": lambda: changed(lambda text: text.replace('"hello"', '"hello","hello"')),
    "another origin": lambda: changed(lambda text: text.replace("another", "somebody")),
    "another second": lambda: changed(as_of_another_second),
    "no Unicode": lambda: changed(lambda text: "\ud800" + text),
    "too long": lambda: {"signed": "x" * (signing.MAX_CHARS + 1)},
    "for another destination": lambda: signed("hello", to="sse_notify.answers.1"),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_what_is_not_signed_for_this_destination_is_counted_and_dropped(
    forge: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "MAX_CHARS", 1000)
    before = counters.get("dropped")
    assert heard(forge()) == []
    assert counters.get("dropped") == before + 1
    assert heard(signed("hello")) == ["hello"]


def test_a_message_that_is_sent_again_later_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    message = signed("hello")
    assert heard(message) == ["hello"]
    monkeypatch.setattr(signing, "WINDOW_SECONDS", -1)  # its time has passed
    assert heard(message) == []


def test_a_part_that_cannot_be_read_is_dropped_alone() -> None:
    """A newer version may send what this one does not know, joined with what it does."""
    before = counters.get("dropped")
    assert signing.verify(TO, signed(1, "one", [], 2), int) == [1, 2]
    assert counters.get("dropped") == before + 2


def test_forged_messages_are_one_line_also_between_good_ones(
    incident: Incident, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sse_notify"):
        for _ in range(20):
            heard(changed(lambda text: f"{text}:{'x' * 10_000}"))
            heard(signed("hello"))
        (line,) = [record.getMessage() for record in caplog.records]
        incident._quiet = 0  # long after the last one
        heard(signed("hello"))
    assert line.startswith("incident=layer_messages state=failed error=BadSignature(")
    assert len(line) < 1000
    over = caplog.records[-1].__dict__
    assert (over["state"], over["failures"]) == ("healed", 20)


# --- keys -----------------------------------------------------------------------------------------

OLD, NEW = "the old key", "the new key"


@pytest.mark.parametrize(
    ("sender", "receiver", "hears"),
    [
        ((OLD,), (OLD,), True),
        ((OLD,), (NEW,), False),
        ((OLD,), (NEW, OLD), True),
        ((NEW, OLD), (OLD,), False),  # it finds events at its next poll
        ((NEW, OLD), (OLD, NEW), True),
        ((OLD, NEW), (NEW, OLD), True),
        ((NEW,), (NEW, OLD), True),
        ((NEW, OLD), (NEW,), True),
    ],
)
def test_who_hears_whom_while_the_key_is_replaced(
    sender: tuple[str, ...], receiver: tuple[str, ...], hears: bool
) -> None:
    with override_settings(SECRET_KEY=sender[0], SECRET_KEY_FALLBACKS=sender[1:]):
        group, message = signing.groups()[0], signed("hello")
    with override_settings(SECRET_KEY=receiver[0], SECRET_KEY_FALLBACKS=receiver[1:]):
        assert (group in signing.groups()) is hears
        assert heard(message) == (["hello"] if hears else [])


@pytest.mark.parametrize("name", ["sse_notify", "shop", "x" * 99])
def test_a_group_is_named_by_the_setting_and_the_key(name: str) -> None:
    found = set()
    for key in (OLD, NEW):
        for setting in (name, f"{name[:-1]}z"):
            with override_settings(SECRET_KEY=key, SSE_NOTIFY={"GROUP": setting}):
                found |= {*signing.groups(), signing.health_group()}
                assert signing.groups()[0].startswith(setting[:75])
    assert len(found) == 8
    assert all(BaseChannelLayer().require_valid_group_name(group) for group in found)
