"""Many threads that write the same at once: no caller gets a deadlock, nothing is lost and nothing is written twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from sse_notify import archive, mark_read, mark_unread, mute, notify, recall, unmute, unread_count
from sse_notify.log.sequence import get_head, has_pending, number_pending
from sse_notify.models import Inbox, Mute, Notification, Receipt
from tests.support import locks

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

THREADS = 6


@pytest.fixture(params=["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def isolated(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every new connection has this isolation level."""
    with locks.isolation_level(request.param):
        yield


def together(work: Callable[[int], Any], threads: int = THREADS) -> None:
    """Run ``work`` in threads that begin together.

    Raises:
        ExceptionGroup: what went wrong in them.
    """
    barrier, errors = threading.Barrier(threads), list[Exception]()

    def run(number: int) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(20)
            work(number)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    started = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(60)
    if errors:
        raise ExceptionGroup("threads failed", errors)


def numbers() -> list[int | None]:
    return list(Notification.objects.order_by("seq").values_list("seq", flat=True))


@pytest.mark.usefixtures("isolated")
def test_marks_of_one_user_wait_for_each_other(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    """Also the first ones, which make the inbox."""
    rows = [notify(alice, str(number)) for number in range(THREADS * 5)]
    ids = [row.pk for row in rows]

    def mark(number: int) -> None:
        for pk in ids[number::THREADS]:
            mark_read(alice, ids=[pk])
            mark_read(alice, up_to=1)
            archive(alice, ids=[ids[0]])

    together(mark)
    together(lambda number: mark_unread(alice, ids=[ids[number]]))
    list(number_pending())
    assert unread_count(alice) == THREADS - 1, "all but the archived one"
    assert Receipt.objects.filter(read_at__isnull=False).count() == len(rows) - THREADS
    assert Inbox.objects.get().state_seq == get_head()
    assert caplog.records == []


@pytest.mark.usefixtures("isolated")
def test_first_marks_of_one_user_make_one_inbox(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        Inbox.objects.all().delete()
        row = notify(alice, "One")
        together(lambda number, row=row: mark_read(alice, ids=[row.pk]))  # type: ignore[misc]
        assert Inbox.objects.count() == 1
    assert unread_count(alice) == 0
    assert caplog.records == []


@pytest.mark.usefixtures("isolated")
def test_publishers_are_numbered_beside_each_other(
    alice: User, bob: User, caplog: pytest.LogCaptureFixture
) -> None:
    users = [alice, bob]

    def publish(number: int) -> None:
        for turn in range(5):
            notify(users[turn % 2], f"{number}.{turn}")
            notify(users, f"{number}.{turn}")
            list(number_pending())

    together(publish)
    assert numbers() == list(range(1, THREADS * 15 + 1))
    assert not has_pending()
    assert caplog.records == []


@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize("name", ["key", "idempotency_key"])
def test_publishers_that_race_for_new_keys_make_one_row_for_each(
    alice: User, bob: User, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    def publish(number: int) -> None:
        for turn in range(4):
            content: Any = {name: f"k{turn}"}
            notify([alice, bob] if number % 2 else [bob, alice], str(number), **content)

    together(publish)
    list(number_pending())
    counts = list(Notification.objects.values_list("count", flat=True))
    assert counts == [THREADS if name == "key" else 1] * 8
    assert not has_pending()
    assert caplog.records == []


def test_mutes_of_one_user_hold(alice: User) -> None:
    names = [f"c{number}" for number in range(5)]

    def choose(number: int) -> None:
        for _ in range(3):
            mute(alice, *(names if number % 2 else reversed(names)))
            unmute(alice, names[number % 5])
        mute(alice, *names)

    together(choose)
    mute(alice, *names)
    assert sorted(Mute.objects.values_list("category", flat=True)) == names


def test_recalls_of_the_same_rows_beside_publishers_hold(
    alice: User, bob: User, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [notify([alice, bob], "Old")[0] for _ in range(5)]

    def act(number: int) -> None:
        for row in rows:
            recall([row])
            notify([alice, bob], str(number))

    together(act)
    assert Notification.objects.filter(recalled_at=None).count() == 5 + THREADS * 10
    assert not has_pending()
    assert caplog.records == []
