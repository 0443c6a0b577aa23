"""The log's promises, on whatever database this run uses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sse_notify import STAFF, broadcast, notify
from sse_notify.log import reader as log_reader
from sse_notify.log import sequence
from sse_notify.log.reader import Reader, count_missed, read_entries
from sse_notify.log.sequence import Position, get_head, get_position, has_pending, number_pending
from sse_notify.models import Inbox, LogHead, Notification
from sse_notify.topics import topics_of

pytestmark = pytest.mark.django_db(transaction=True)


def reader_of(user: User) -> Reader:
    return Reader(topics=topics_of(user), user_id=user.pk, since=user.date_joined)


def titles(user: User, after: int = 0) -> list[str]:
    entries, _ = read_entries(after, get_head(), reader=reader_of(user), limit=1000)
    return list(
        Notification.objects.filter(seq__in=[e.seq for e in entries])
        .order_by("seq")
        .values_list("title", flat=True)
    )


def test_a_notification_is_numbered_when_its_transaction_commits(alice: User) -> None:
    with transaction.atomic():
        row = notify(alice, "One")
        row.refresh_from_db()
        assert row.seq is None
    row.refresh_from_db()
    assert row.seq == get_head() == 1


def test_outside_a_transaction_it_is_numbered_at_once(alice: User) -> None:
    row = notify(alice, "One")
    row.refresh_from_db()
    assert row.seq == 1


def test_a_rollback_leaves_nothing_and_no_gap(alice: User) -> None:
    class Oops(Exception):
        pass

    notify(alice, "One")

    def work() -> None:
        with transaction.atomic():
            notify(alice, "Two")
            raise Oops

    with pytest.raises(Oops):
        work()
    notify(alice, "Three")
    assert list(Notification.objects.order_by("seq").values_list("title", "seq")) == [
        ("One", 1),
        ("Three", 2),
    ]


def test_numbers_are_dense_over_several_batches_and_runs_of_ids(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence, "SEQUENCE_BATCH", 7)
    with transaction.atomic():
        rows = [notify(user, f"{i}") for i in range(20) for user in (alice, bob)]
        # Holes among the ids: rows that were rolled back or deleted before the commit.
        Notification.objects.filter(pk__in=[rows[3].pk, rows[11].pk, rows[12].pk]).delete()
    numbered = list(Notification.objects.order_by("id").values_list("seq", flat=True))
    assert numbered == list(range(1, 38))
    assert get_head() == 37


def test_what_a_dead_publisher_left_is_numbered_by_the_next_to_look(alice: User) -> None:
    Notification.objects.create(recipient=alice, topic=f"user:{alice.pk}", title="Orphan")
    assert has_pending()
    (batch,) = number_pending()
    assert (batch.first, batch.last) == (1, 1)
    assert b'"Orphan"' in batch.entries[0].frame
    assert not has_pending()
    assert list(number_pending()) == []


def test_reading_is_by_topic_and_up_to_the_given_number(alice: User, bob: User) -> None:
    notify(alice, "A1")
    notify(bob, "B1")
    notify(alice, "A2")
    entries, complete = read_entries(0, 2, reader=reader_of(alice), limit=10)
    assert ([e.seq for e in entries], complete) == ([1], 2)
    assert titles(alice) == ["A1", "A2"]
    assert titles(bob) == ["B1"]
    assert [e.seq for e in read_entries(0, 3, limit=10)[0]] == [1, 2, 3]


def test_a_page_that_is_full_says_how_far_it_is_complete(alice: User) -> None:
    for i in range(5):
        notify(alice, str(i))
    entries, complete = read_entries(1, 5, reader=reader_of(alice), limit=2)
    assert ([e.seq for e in entries], complete) == ([2, 3], 3)


def test_a_repeat_under_its_key_is_replayed_once_with_its_latest_state(alice: User) -> None:
    first = notify(alice, "1 comment", key="post-1")
    notify(alice, "Other")
    again = notify(alice, "2 comments", key="post-1")
    assert again.pk == first.pk
    entries, _ = read_entries(0, get_head(), reader=reader_of(alice), limit=10)
    assert [e.seq for e in entries] == [2, 3]
    assert b'"2 comments"' in entries[1].frame
    assert b'"count":2' in entries[1].frame


def test_broadcasts_reach_their_audience_only(alice: User, bob: User) -> None:
    team = Group.objects.create(name="team")
    alice.groups.add(team)
    bob.is_staff = True
    bob.save()
    broadcast("All")
    broadcast("Staff", audience=STAFF)
    broadcast("Team", audience=team)
    broadcast("All but Alice", exclude=[alice])
    assert titles(alice) == ["All", "Team"]
    assert titles(bob) == ["All", "Staff", "All but Alice"]


def test_who_joins_later_does_not_get_older_broadcasts(alice: User) -> None:
    broadcast("Before")
    late = User.objects.create_user("late", date_joined=timezone.now() + timedelta(seconds=1))
    assert titles(late) == []
    assert titles(alice) == ["Before"]


def test_expired_rows_are_numbered_but_not_read(alice: User) -> None:
    notify(alice, "Old", expires_at=timezone.now() - timedelta(seconds=1))
    notify(alice, "New")
    assert get_head() == 2
    assert titles(alice) == ["New"]


def test_a_batch_names_who_is_excluded(alice: User, bob: User) -> None:
    with transaction.atomic():
        broadcast("Not Alice", exclude=[alice])
        (batch,) = number_pending()
    assert batch.entries[0].excluded == frozenset({str(alice.pk)})


def test_sending_one_notification_takes_few_queries(alice: User) -> None:
    notify(alice, "Warm up")
    with CaptureQueriesContext(connection) as queries:
        notify(alice, "Counted")
    statements = [
        q["sql"]
        for q in queries
        if not q["sql"].startswith(("BEGIN", "SET", "COMMIT", "SAVEPOINT", "RELEASE"))
    ]
    assert len(statements) <= 8, statements


def test_counting_what_was_missed_stops_at_the_limit(alice: User) -> None:
    with transaction.atomic():
        for i in range(6):
            notify(alice, str(i))
    assert count_missed(0, reader=reader_of(alice), limit=4) == 4
    assert count_missed(3, reader=reader_of(alice), limit=10) == 3


def test_an_empty_log_has_head_zero_with_its_row_or_without() -> None:
    for _ in range(2):
        assert get_position() == Position(0, 0)
        LogHead.objects.all().delete()


@pytest.mark.parametrize("head", [None, 0, 1, 7], ids=lambda head: f"head={head}")
@pytest.mark.parametrize("largest", ["a notification's", "an inbox's"])
def test_what_was_loaded_without_its_head_is_numbered_after_and_told_once(
    alice: User, head: int | None, largest: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Fixtures of the notifications, or of the inboxes, alone: the numbers of others are not given out again."""
    for seq in (5, 6, 7):
        Notification.objects.create(topic="everyone", seq=seq, title=str(seq))
    if largest == "an inbox's":
        Notification.objects.filter(seq=7).delete()
        Inbox.objects.create(user=alice, state_seq=7, changes=[{"set": "read", "ids": [1]}])
    LogHead.objects.all().delete()
    if head is not None:
        LogHead.objects.create(pk=1, seq=head)
    for number in (8, 9):
        row = notify(alice, "New")
        row.refresh_from_db()
        assert row.seq == get_head() == number
    told = [record.getMessage() for record in caplog.records if record.name == "sse_notify"]
    assert [text.split(".")[0] for text in told] == (
        [] if head == 7 else [f"The head of the log was {head or 0}, but a row has the number 7"]
    )


def test_an_anonymous_reader_reads_nothing(alice: User, django_assert_num_queries: Any) -> None:
    broadcast("All")
    assert read_entries(0, get_head(), reader=Reader(topics=()), limit=10)[0] == []


@pytest.mark.parametrize("letter", ["x", "ж", "語"])
@pytest.mark.parametrize("whose", ["a hub's", "a client's"])
@pytest.mark.parametrize("large", [range(60), range(20, 60), range(0, 60, 3), range(59, 60)])
def test_a_page_is_bounded_in_bytes_as_well_as_in_rows(
    alice: User, monkeypatch: pytest.MonkeyPatch, letter: str, whose: str, large: range
) -> None:
    size = 60_000 // len(letter.encode())
    sent = [
        Notification(
            seq=index + 1,
            topic=["everyone", f"user:{alice.pk}"][index % 2],
            title=f"n{index}",
            data={"text": letter * size} if index % 4 == 0 else None,
            body=letter * size if index % 4 else "",
        )
        if index in large
        else Notification(seq=index + 1, topic="everyone", title=f"n{index}")
        for index in range(60)
    ]
    Notification.objects.bulk_create(sent)
    fetched: list[int] = []
    from_db: Any = Notification.from_db

    def counted(cls: Any, /, db: Any, names: Any, values: Any, **more: Any) -> Any:
        fetched[-1] += sum(len(str(value).encode()) for value in values)
        return from_db.__func__(cls, db, names, values, **more)

    monkeypatch.setattr(Notification, "from_db", classmethod(counted))
    reader = reader_of(alice) if whose == "a client's" else None
    cursor, seqs = 0, []
    while cursor < 60:
        fetched.append(0)
        entries, cursor = read_entries(cursor, 60, reader=reader, limit=500)
        seqs += [entry.seq for entry in entries]
        assert entries, "at least one"
        assert sum(len(entry.frame) for entry in entries) <= log_reader.PAGE_BYTES
    assert seqs == list(range(1, 61))
    assert max(fetched) <= log_reader.PAGE_BYTES * 1.1
    assert len(fetched) <= len(large) * 60_000 // log_reader.PAGE_BYTES * 2 + 1


def test_an_event_that_is_larger_than_a_page_is_a_page_of_its_own(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reader, "PAGE_BYTES", 3_000)
    for size in (10, 5_000, 10, 10, 5_000):
        notify(alice, "x", "y" * size)
    pages, cursor = [], 0
    while cursor < 5:
        entries, cursor = read_entries(cursor, 5, limit=10)
        pages.append([entry.seq for entry in entries])
    assert pages == [[1], [2], [3, 4], [5]]


@pytest.mark.parametrize(("column", "value"), [("event", "a\nb"), ("event", "\r")])
def test_a_row_that_cannot_be_sent_is_left_out_and_stops_nobody(
    alice: User, bob: User, column: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was written by hand, or restored; ``notify()`` refuses it."""
    notify(bob, "before")
    Notification.objects.create(topic=f"user:{alice.pk}", recipient=alice, title="Odd")
    with connection.cursor() as cursor:
        text = f"UPDATE sse_notify_notification SET {column} = %s WHERE title = 'Odd'"
        cursor.execute(text, [value])
    notify(bob, "after")
    list(number_pending())
    assert titles(bob) == ["before", "after"]
    entries, complete = read_entries(0, 3, limit=10)
    assert (len(entries), complete) == (2, 3)
    assert "cannot be sent" in caplog.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("where", ["row", "inbox"])
def test_a_number_below_zero_in_a_fixture_does_not_turn_the_log_back(
    alice: User, where: str
) -> None:
    """The head of a new log is 0, which counted as no number: the head became -4, and no stream can send an event with that."""
    if where == "row":
        Notification.objects.create(recipient=alice, topic=f"user:{alice.pk}", title="", seq=-5)
    else:
        Inbox.objects.create(pk=alice.pk, state_seq=-5)
    new = notify(alice, "New")
    new.refresh_from_db()
    assert (new.seq, get_head()) == (1, 1)
