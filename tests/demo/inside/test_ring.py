"""The ring: numbered, bounded, for any number of readers, from any thread."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise
from typing import Any

import pytest

from demo_project.gallery.ring import Ring


def test_the_newest_are_kept_with_their_numbers() -> None:
    ring: Ring[str] = Ring(3, last=10)
    assert ring.after(0) == []
    assert [ring.append(letter) for letter in "abcde"] == [11, 12, 13, 14, 15]
    assert ring.after(-1) == ring.after(12) == [(13, "c"), (14, "d"), (15, "e")]
    assert ring.after(13, limit=1) == [(14, "d")]
    assert ring.after(15) == ring.after(99) == []


@pytest.mark.asyncio
async def test_readers_get_what_was_missed_and_what_comes_each_at_its_own_pace() -> None:
    ring: Ring[int] = Ring(100)
    for number in range(1, 6):
        ring.append(number)
    early: Any = ring.follow(3)
    ahead: Any = ring.follow(99)  # of another life of the server: everything
    assert [await anext(early) for _ in range(2)] == [(4, 4), (5, 5)]
    assert await anext(ahead) == (1, 1)
    waiting = asyncio.ensure_future(anext(early))
    await asyncio.sleep(0)
    assert not waiting.done()
    threading.Thread(target=ring.append, args=(6,)).start()
    assert await asyncio.wait_for(waiting, 20) == (6, 6)
    assert [(await anext(ahead))[0] for _ in range(5)] == [2, 3, 4, 5, 6]
    for reader in (early, ahead):
        await reader.aclose()
    assert not ring._bells


@pytest.mark.asyncio
async def test_who_is_too_slow_finds_a_hole_in_the_numbers() -> None:
    ring: Ring[int] = Ring(50)
    reader: Any = ring.follow(0)
    for number in range(1, 1001):
        ring.append(number)
    assert await anext(reader) == (951, 951)
    for number in range(1001, 1201):
        ring.append(number)
    numbers = [(await anext(reader))[0] for _ in range(60)]
    assert numbers[-1] == 1191
    assert sum(later != earlier + 1 for earlier, later in pairwise(numbers)) == 1
    await reader.aclose()
