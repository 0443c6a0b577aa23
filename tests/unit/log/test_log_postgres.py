"""What only a database with several writers at once can show: commits in another order than inserts, and open transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from sse_notify import notify
from sse_notify.log import reader as log_reader
from sse_notify.log.reader import Reader, count_missed, read_entries
from sse_notify.log.sequence import get_head
from sse_notify.models import Notification
from sse_notify.topics import topics_of

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


class OpenTransaction:
    """A transaction in a thread of its own that runs what it is told to and stays open until it is told to commit."""

    def __init__(self) -> None:
        self._work: Queue[Callable[[], Any] | None] = Queue()
        self._results: Queue[Any] = Queue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def do(self, work: Callable[[], Any]) -> Any:
        self._work.put(work)
        return self._result()

    def commit(self) -> None:
        self._work.put(None)
        self._result()
        self._thread.join()

    def _result(self) -> Any:
        result = self._results.get(timeout=20)
        if isinstance(result, BaseException):
            raise result
        return result

    def _run(self) -> None:
        try:
            with transaction.atomic():
                while (work := self._work.get(timeout=20)) is not None:
                    self._results.put(work())
            self._results.put(None)
        except BaseException as error:
            self._results.put(error)
        finally:
            connection.close()


@pytest.fixture
def other() -> Iterator[OpenTransaction]:
    opened = OpenTransaction()
    yield opened
    if opened._thread.is_alive():
        opened.commit()


def reader_of(user: User) -> Reader:
    return Reader(topics=topics_of(user), user_id=user.pk, since=user.date_joined)


def test_a_lower_id_that_commits_later_is_not_skipped(alice: User, other: OpenTransaction) -> None:
    """The trap of auto-increment cursors: a reader that resumes between two commits in opposite order."""
    first = other.do(lambda: notify(alice, "First inserted, last committed"))
    second = notify(alice, "Second inserted, first committed")
    assert second.pk > first.pk
    entries, cursor = read_entries(0, get_head(), reader=reader_of(alice), limit=10)
    assert [b"first committed" in entry.frame for entry in entries] == [True]
    other.commit()
    entries, _ = read_entries(cursor, get_head(), reader=reader_of(alice), limit=10)
    assert [b"last committed" in entry.frame for entry in entries] == [True]
    assert list(Notification.objects.order_by("seq").values_list("pk", flat=True)) == [
        second.pk,
        first.pk,
    ]


def test_an_open_transaction_delays_nobody(alice: User, other: OpenTransaction) -> None:
    other.do(lambda: notify(alice, "Open"))
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '3s'")
    notify(alice, "Not delayed")
    assert get_head() == 1


def test_a_row_that_is_being_updated_does_not_hold_the_log(
    alice: User, other: OpenTransaction
) -> None:
    """A pending row under a key, held by an open transaction: the others are numbered, it is numbered after that one's commit."""
    Notification.objects.create(recipient=alice, topic=f"user:{alice.pk}", title="Pending", key="k")
    other.do(lambda: notify(alice, "Updated", key="k"))
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '3s'")
    free = notify(alice, "Free")
    free.refresh_from_db()
    assert free.seq == 1
    other.commit()
    assert list(Notification.objects.order_by("seq").values_list("title", "seq", "count")) == [
        ("Free", 1, 1),
        ("Updated", 2, 2),
    ]


def test_two_publishers_that_race_for_a_key_make_one_row(
    alice: User, other: OpenTransaction
) -> None:
    other.do(lambda: notify(alice, "One", key="k"))
    rows: list[Notification] = []

    def race() -> None:
        rows.append(notify(alice, "Two", key="k"))
        connection.close()

    thread = threading.Thread(target=race)
    thread.start()  # blocks on the unique constraint until the other commits
    other.commit()
    thread.join(20)
    assert Notification.objects.count() == 1
    (row,) = rows
    row.refresh_from_db()
    assert (row.title, row.count) == ("Two", 2)


def test_reading_uses_the_index(alice: User) -> None:
    """O(missed): the plan walks one index from the cursor on and sorts nothing but what it found."""
    users = [User(username=f"u{i}") for i in range(200)]
    User.objects.bulk_create(users)
    notify(User.objects.filter(username__startswith="u"), "Noise")
    for i in range(50):
        notify(User.objects.filter(username__startswith="u"), f"Noise {i}")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sse_notify_notification")
    rows = (
        log_reader.readable(reader_of(alice), "default")
        .filter(seq__gt=10_100, seq__lte=get_head())
        .order_by("seq")[:200]
    )
    plan = rows.explain()
    assert "Index" in plan
    assert "Seq Scan on sse_notify_notification" not in plan, plan


@pytest.mark.parametrize("topics", [1, 2, 3])
def test_a_long_replay_is_read_topic_by_topic_and_stays_complete_and_in_order(
    alice: User, topics: int
) -> None:
    """Each page costs what it returns: no page sorts what follows it."""
    staff = User.objects.create_user("staff", is_staff=True)
    Notification.objects.bulk_create(
        Notification(
            seq=seq,
            topic=["everyone", f"user:{alice.pk}", "staff", f"user:{staff.pk}"][seq % 4],
            title=str(seq),
        )
        for seq in range(1, 401)
    )
    reader = Reader(
        topics=("everyone", f"user:{alice.pk}", "staff")[:topics],
        user_id=alice.pk,
        since=alice.date_joined,
    )
    wanted = [seq for seq in range(1, 401) if seq % 4 < topics]
    got: list[int] = []
    cursor = 0
    while cursor < 400:
        entries, complete = read_entries(cursor, 400, reader=reader, limit=7)
        assert complete > cursor
        assert all(cursor < entry.seq <= complete for entry in entries)
        got.extend(entry.seq for entry in entries)
        cursor = complete
    assert got == wanted
    assert count_missed(0, reader=reader, limit=1000) == len(wanted)
    assert count_missed(0, reader=reader, limit=31) == 31
    # A topic's own first rows come from its index in order; merged, nothing is sorted that is not returned.
    with connection.cursor() as db:
        db.execute("ANALYZE sse_notify_notification")
        db.execute("SET enable_seqscan = off")  # four hundred rows fit a few pages
    rows = log_reader._by_topic(reader, "default", 7, seq__gt=0, seq__lte=400)
    assert "Sort  (" not in (plan := rows.explain()), plan
