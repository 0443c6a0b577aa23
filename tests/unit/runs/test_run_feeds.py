"""What a run's events become as they are stored: parts of bounded size, numbered without a gap."""

from __future__ import annotations

import pytest

from sse_notify.contrib.runs.feeds import BATCH_BYTES, BATCH_EVENTS, Feed

LARGE = BATCH_BYTES // 2 + 1


def feed(*sizes: int) -> Feed:
    made = Feed(5, lambda at: None, max_bytes=10**9, max_seconds=60, stalls_after=60)
    for size in sizes:
        made.add("x" * size)
    return made


@pytest.mark.parametrize(
    ("sizes", "everything", "ranges"),
    [
        ([], True, []),
        ([1], False, []),
        ([1], True, [(1, 1)]),
        ([1] * BATCH_EVENTS, False, [(1, 32)]),
        ([1] * 70, False, [(1, 32), (33, 64)]),
        ([1] * 70, True, [(1, 32), (33, 64), (65, 70)]),
        ([LARGE] * 3, True, [(1, 1), (2, 2), (3, 3)]),
        ([LARGE] * 3, False, [(1, 1), (2, 2)]),
        ([1, 10 * BATCH_BYTES, 1], True, [(1, 1), (2, 2), (3, 3)]),
    ],
)
def test_a_part_has_few_events_and_few_bytes_unless_one_event_has_more(
    sizes: list[int], everything: bool, ranges: list[tuple[int, int]]
) -> None:
    parts = feed(*sizes).take(everything=everything)
    assert [(part.first, part.last) for part in parts] == ranges
    for part in parts:
        assert len(part.blocks) <= BATCH_BYTES or part.first == part.last
        assert part.blocks.count(b"\n\n") == part.last - part.first + 1
        assert f"id: 5-{part.first}\n".encode() in part.blocks


def test_what_is_stored_is_forgotten_and_the_rest_goes_on_from_there() -> None:
    made = feed(*[1] * 40)
    (part,) = made.take(everything=False)
    made.add("more")
    made.stored(part.last)
    (rest,) = made.take(everything=True)
    assert (rest.first, rest.last) == (33, 41)
