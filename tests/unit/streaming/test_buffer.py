"""What waits for a client: in order, in bounded memory, and what is dropped is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sse_notify.streaming.base import Buffer

LOST_TWO = b'event: lost\ndata: {"count":2}\n\n'


def test_what_fits_comes_in_order_as_one_chunk() -> None:
    buffer = Buffer(10)
    assert buffer.put(b"one")
    buffer.put_ephemeral(b"two")
    assert buffer.put(b"six")
    assert (buffer.size, buffer.take()) == (9, b"onetwosix")
    assert (buffer.size, buffer.lost) == (0, 0)


def test_ephemeral_events_make_room_the_oldest_first_and_the_client_is_told() -> None:
    buffer = Buffer(10)
    for block in (b"old-", b"old+", b"new"):
        buffer.put_ephemeral(block)
    assert buffer.take() == LOST_TWO + b"new"
    buffer.put_ephemeral(b"next")
    assert buffer.take() == b"next", "told once"


def test_an_event_of_the_log_takes_the_place_of_ephemeral_ones() -> None:
    buffer = Buffer(10)
    assert buffer.put(b"log1")
    buffer.put_ephemeral(b"now")
    buffer.put_ephemeral(b"now")
    assert buffer.put(b"log2")
    assert buffer.take() == LOST_TWO + b"log1log2"


def test_an_ephemeral_event_that_finds_no_room_is_counted_and_takes_nothing_with_it() -> None:
    buffer = Buffer(10)
    assert buffer.put(b"log-log-")
    buffer.put_ephemeral(b"now")
    buffer.put_ephemeral(b"much more than fits")
    assert buffer.take() == LOST_TWO + b"log-log-"


def test_an_event_of_the_log_that_finds_no_room_empties_the_buffer() -> None:
    buffer = Buffer(10)
    assert buffer.put(b"log1")
    buffer.put_ephemeral(b"n")
    buffer.put_ephemeral(b"n")
    assert not buffer.put(b"log-log-log")
    assert buffer.size == 0
    assert buffer.lost == 2
    assert buffer.take() == LOST_TWO


def test_a_flood_that_nobody_reads_holds_no_more_than_the_limit() -> None:
    buffer = Buffer(1000)
    for _ in range(10_000):
        buffer.put_ephemeral(b"0123456789")
        assert buffer.size <= 1000
    kept = buffer.size // 10
    assert buffer.lost + kept == 10_000
    assert kept > 0


@pytest.mark.asyncio
async def test_whoever_waits_is_woken_by_whatever_there_is_to_say() -> None:
    acts: list[Callable[[Buffer], object]] = [
        lambda buffer: buffer.put(b"log"),
        lambda buffer: buffer.put(b"more than the buffer holds"),
        lambda buffer: buffer.put_ephemeral(b"now"),
        lambda buffer: buffer.put_ephemeral(b"more than the buffer holds"),
        lambda buffer: buffer.put_anyway(b"more than the buffer holds"),
        lambda buffer: buffer.wake(),
    ]
    for act in acts:
        buffer = Buffer(10)
        news = buffer.news()
        assert not news.done()
        act(buffer)
        assert news.done()
        act(buffer)  # nobody waits now
        given_up = buffer.news()
        given_up.cancel()
        act(buffer)
