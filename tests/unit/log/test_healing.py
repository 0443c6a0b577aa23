"""Numbers that the log did not assign: the log goes on, and what has one is sent."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from sse_notify import notify, retention, unread_count
from sse_notify.log import healing
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import Position, count_pending, get_head, get_position
from sse_notify.models import Inbox, LogHead, Notification
from sse_notify.topics import topics_of

pytestmark = pytest.mark.django_db(transaction=True)

#: No room for the next number, or none for the next thousand, or none that JavaScript could tell.
IMPOSSIBLE = [2**63 - 1, 2**63 - 2, 2**63 - 1000, 2**62, 2**53, 2**52 + 1]


def load(user: User, seq: int, title: str = "Loaded") -> None:
    Notification.objects.create(topic=f"user:{user.pk}", recipient=user, seq=seq, title=title)


def numbers(user: User) -> dict[str, int | None]:
    rows = Notification.objects.filter(recipient=user).order_by("seq")
    return dict(rows.values_list("title", "seq"))


def sent(user: User, after: int = 0) -> list[int]:
    reader = Reader(topics=topics_of(user), user_id=user.pk)
    entries, _ = read_entries(after, get_head(), reader=reader, limit=100)
    return [entry.seq for entry in entries]


@pytest.mark.parametrize("number", IMPOSSIBLE)
def test_a_row_whose_number_leaves_no_room_is_numbered_again_and_sent(
    alice: User, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    load(alice, 5, "Valid")
    load(alice, number)
    notify(alice, "New")
    notify(alice, "Newer")
    assert numbers(alice) == {"Valid": 5, "Loaded": 6, "New": 7, "Newer": 8}
    assert (sent(alice, after=5), get_head(), count_pending()) == ([6, 7, 8], 8, 0)
    (text,) = [record.getMessage() for record in caplog.records if record.name == "sse_notify"]
    assert str(number) in text


@pytest.mark.parametrize("number", IMPOSSIBLE)
def test_an_inbox_whose_number_leaves_no_room_is_numbered_again(
    alice: User, bob: User, number: int
) -> None:
    Inbox.objects.create(user=alice, state_seq=number, changes=[{"set": "read", "ids": [1]}])
    Inbox.objects.create(user=bob, state_seq=number - 1 if number > 2**53 else None)
    notify(alice, "New")
    notify(alice, "Newer")
    assert dict(Inbox.objects.values_list("pk", "state_seq")) == {alice.pk: 2, bob.pk: None}
    assert (sent(alice), get_head(), count_pending()) == ([1, 2, 3], 3, 0)


@pytest.mark.parametrize("number", IMPOSSIBLE[:5])
def test_a_head_that_leaves_no_room_falls_back_to_the_rows(alice: User, number: int) -> None:
    load(alice, 5, "Valid")
    load(alice, number)
    LogHead.objects.update_or_create(pk=1, defaults={"seq": number, "floor": number - 1})
    notify(alice, "New")
    assert numbers(alice) == {"Valid": 5, "Loaded": 6, "New": 7}
    assert get_position() == Position(7, 5)


def test_the_largest_number_that_is_taken_over_leaves_room(alice: User) -> None:
    """What is numbered after it is valid, and is not numbered again."""
    load(alice, healing.MAX_FOUND)
    for number in range(3):
        notify(alice, str(number))
    assert numbers(alice) == {"Loaded": 2**52, "0": 2**52 + 1, "1": 2**52 + 2, "2": 2**52 + 3}


def test_more_rows_than_a_batch_are_numbered_again(alice: User) -> None:
    rows = [
        Notification(topic=f"user:{alice.pk}", recipient=alice, seq=2**63 - 1 - n, title=str(n))
        for n in range(2100)
    ]
    Notification.objects.bulk_create(rows)
    notify(alice, "New")
    assert (get_head(), count_pending()) == (2101, 0)
    assert numbers(alice)["New"] == 2101


def test_a_mark_up_to_an_impossible_number_does_not_hide_what_follows(alice: User) -> None:
    load(alice, 2**63 - 1)
    huge = dict.fromkeys(("read_up_to", "seen_up_to", "archived_up_to"), 2**63 - 1)
    Inbox.objects.create(user=alice, **huge)
    notify(alice, "New")
    notify(alice, "Newer")
    assert unread_count(alice) == 3


def test_a_row_with_an_impossible_number_is_unread_until_then(alice: User) -> None:
    load(alice, 2**63 - 1)
    assert unread_count(alice) == 1


def test_the_floor_stays_below_the_head_whatever_is_deleted(alice: User) -> None:
    """Above it, every client would be told that what it missed is gone, for ever."""
    notify(alice, "One")
    load(alice, 2**63 - 1)
    old = timezone.now() - timedelta(days=100)
    Notification.objects.filter(title="Loaded").update(created_at=old)
    assert retention.prune(days=50) == 1
    assert get_position() == Position(1, 1)


def test_a_floor_above_the_head_is_lowered(alice: User) -> None:
    LogHead.objects.update_or_create(pk=1, defaults={"seq": 3, "floor": 2**63 - 1})
    notify(alice, "One")
    assert get_position() == Position(4, 3)
