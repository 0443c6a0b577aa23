"""What an inbox tells its pages: each change once, by whichever read covers its number, however reads and changes interleave."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User

from sse_notify import inbox, log, notify
from sse_notify.log import Reader
from tests.asgi.client import events

pytestmark = pytest.mark.django_db


def number() -> int:
    """Number all that is pending, as happens after a commit; return the head."""
    list(log.sequence())
    return log.head()


def told(
    user: User, after: int, up_to: int, *, limit: int = 100, reader: Reader | None = None
) -> tuple[list[Any], int]:
    """Return what one read tells of the inbox, as (what, ids, the client's cursor after it), and how far the read is complete."""
    entries, complete = log.read(after, up_to, limit=limit, reader=reader)
    numbers = [entry.seq for entry in entries]
    assert numbers == sorted(numbers)
    assert all(after < seq <= complete for seq in numbers), "no cursor passes what is not read yet"
    found = []
    for entry in entries:
        for name, data, id in events(entry.frame):
            if name == "update":
                assert data["state_seq"] == entry.seq
                found.append((data["set"], data["ids"], id))
    return found, complete


def test_a_change_is_told_by_the_read_of_its_number_though_another_was_numbered_since(
    alice: User,
) -> None:
    one, two = notify(alice, "1"), notify(alice, "2")
    before = number()
    inbox.mark_read(alice, ids=[one.pk])
    first = number()
    inbox.mark_read(alice, ids=[two.pk])
    second = number()
    # A hub that asked for the head before the second was numbered, and for the log after.
    assert told(alice, before, first) == ([("read", [one.pk], str(first))], first)
    assert told(alice, first, second) == ([("read", [two.pk], str(second))], second)
    entries, _ = log.read(first, second, limit=10)
    assert events(entries[0].frame)[0][1].items() >= {"unread": 0, "unseen": 0}.items()


def test_a_change_is_told_while_another_waits_for_its_number(alice: User) -> None:
    one, two = notify(alice, "1"), notify(alice, "2")
    before = number()
    inbox.mark_read(alice, ids=[one.pk])
    first = number()
    inbox.mark_read(alice, ids=[two.pk])
    assert told(alice, before, first) == ([("read", [one.pk], str(first))], first)
    second = number()
    assert told(alice, first, second) == ([("read", [two.pk], str(second))], second)


@pytest.mark.parametrize("whose", ["a hub's", "a client's"])
def test_each_page_of_a_read_tells_its_own_changes(alice: User, whose: str) -> None:
    reader = (
        Reader(topics=(f"user:{alice.pk}",), user_id=alice.pk) if whose == "a client's" else None
    )
    one = notify(alice, "1")
    before = number()
    inbox.mark_read(alice, ids=[one.pk])
    first = number()
    notify(alice, "2")
    middle = number()
    inbox.mark_unread(alice, ids=[one.pk])
    last = number()
    assert told(alice, before, last, limit=1, reader=reader) == (
        [("read", [one.pk], str(first))],
        middle,
    )
    assert told(alice, middle, last, limit=1, reader=reader) == (
        [("unread", [one.pk], str(last))],
        last,
    )


def test_whatever_the_order_each_change_is_told_once_and_in_order(alice: User) -> None:
    for seed in range(20):
        random = Random(seed)
        rows = [notify(alice, str(index)) for index in range(8)]
        cursor = head = number()
        expected: list[tuple[str, int]] = []
        heard: list[tuple[str, int]] = []
        at_rest: set[int] = set()
        marked = 0
        while (
            marked < 15 or log.has_pending() or cursor < log.head()
        ):  # fewer changes than an inbox keeps
            choice = random.random()
            if choice < 0.3 and marked < 15:
                row = random.choice(rows)
                mark, name = (
                    (inbox.mark_unread, "unread")
                    if row.pk in at_rest
                    else (inbox.mark_read, "read")
                )
                mark(alice, ids=[row.pk], client=str(marked))
                at_rest ^= {row.pk}
                marked += 1
                expected.append((name, row.pk))
            elif choice < 0.4 and marked < 15:
                notify(alice, "Between")
            elif choice < 0.6:
                number()
            elif choice < 0.8:
                head = (
                    log.head()
                )  # what is numbered between this and the next read is not its business
            elif cursor < head:
                found, cursor = told(alice, cursor, head, limit=random.randint(1, 3))
                heard += [(what, id) for what, ids, _ in found for id in ids]
        assert heard == expected, f"seed {seed}"
