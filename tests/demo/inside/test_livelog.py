"""The live log: what it keeps of a record, whom it shows it to, and what a slow reader is told."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from demo_project.gallery.ring import Ring
from demo_project.livelog import handler, views
from demo_project.livelog.handler import SIZE, Line, RingHandler


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring[Line]:
    """The ring, empty and this test's own."""
    ring: Ring[Line] = Ring(SIZE)
    monkeypatch.setattr(handler, "lines", ring)
    monkeypatch.setattr(views, "lines", ring)
    return ring


def log(level: int, message: str, *args: object, **more: Any) -> None:
    """Have the handler keep one record."""
    logger = logging.Logger("some.logger")
    logger.addHandler(RingHandler())
    logger.log(level, message, *args, **more)


def test_a_line_is_one_line_whatever_was_logged(ring: Ring[Line]) -> None:
    log(logging.WARNING, "GET %s", "/x\r\n2026 ERROR forged\x1b[31m")
    log(logging.INFO, "x" * 9000)
    (_, first), (_, second) = ring.after(0)
    assert (first.name, first.logger, first.text) == (
        "WARNING",
        "some.logger",
        r"GET /x\r\n2026 ERROR forged\x1b[31m",
    )
    assert len(second.text) == handler.MAX_LENGTH


def test_of_an_exception_the_class_is_kept_and_no_traceback(ring: Ring[Line]) -> None:
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        log(logging.ERROR, "It failed.", exc_info=True)
    assert [line.text for _, line in ring.after(0)] == ["It failed. (ValueError)"]


def test_a_record_that_cannot_be_written_harms_nobody(
    ring: Ring[Line], capsys: pytest.CaptureFixture[str]
) -> None:
    log(logging.INFO, "%d", "no number")
    assert ring.after(0) == []
    assert "no number" in capsys.readouterr().err


@pytest.mark.asyncio
async def test_a_reader_gets_what_passes_the_filter_and_hears_what_was_left_out(
    ring: Ring[Line],
) -> None:
    for number in range(1, 2 * SIZE + 1):
        log(logging.WARNING if number % 100 == 0 else logging.INFO, "Line %d", number)
    reader: Any = views._lines(10, level=logging.WARNING, rate=0)
    first, second = [await anext(reader) for _ in range(2)]
    assert (first.event, first.data) == ("dropped", {"count": SIZE - 10})
    assert (second.event, second.id, second.data["text"]) == ("line", 600, "Line 600")
    for _ in range(4):
        await anext(reader)
    for _ in range(3 * SIZE):
        log(logging.WARNING, "More")
    # Away for a while within one connection: the hole is told where it is.
    kinds = [(await anext(reader)).event for _ in range(30)]
    assert kinds.count("dropped") == 1
    await reader.aclose()


@pytest.mark.asyncio
async def test_a_new_reader_begins_near_the_end_and_one_of_another_life_of_the_server_anew(
    ring: Ring[Line],
) -> None:
    for number in range(1, 101):
        log(logging.INFO, "Line %d", number)
    for after, begins in ((None, 101 - views.TAIL), (99, 100), (10**9, 1)):
        reader: Any = views._lines(after, level=logging.INFO, rate=0)
        assert (await anext(reader)).id == begins
        await reader.aclose()


@pytest.mark.asyncio
async def test_a_reader_has_to_ask_again_after_a_while(
    ring: Ring[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "LIFETIME", -1)
    log(logging.INFO, "Line")
    assert [event async for event in views._lines(0, level=logging.INFO, rate=0)] == []


@pytest.mark.parametrize("name", ["page", "stream", "write", "burst"])
def test_the_log_is_for_staff(name: str, page: Client, client: Client) -> None:
    address = reverse(f"livelog:{name}")
    ask = "post" if name in ("write", "burst") else "get"
    assert getattr(client, ask)(address).status_code == 302
    assert getattr(page, ask)(address).status_code == 403


def test_what_staff_ask_for_wrongly_is_named(people: dict[str, User], client: Client) -> None:
    client.force_login(people["carol"])
    assert set(
        client.get(reverse("livelog:stream"), {"level": "1", "rate": "-1"}).json()["errors"]
    ) == {"level", "rate"}
    assert set(client.post(reverse("livelog:write"), {"severity": "20"}).json()["errors"]) == {
        "text"
    }


def test_every_request_is_a_line_without_its_query(
    ring: Ring[Line], client: Client, db: None
) -> None:
    client.get("/", {"token": "secret"})
    assert [line.text for _, line in ring.after(0) if line.logger == "demo.request"] == [
        "GET / 200"
    ]
