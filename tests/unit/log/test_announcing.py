"""A transaction is announced once, however much it sends, whatever it rolls back or calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from sse_notify import anotify, broadcast, flush, mark_read, notify, recall
from sse_notify.concurrency import threadpool
from sse_notify.log import announcing
from sse_notify.log.announcing import announce
from sse_notify.log.sequence import get_head
from sse_notify.models import Notification

committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each announcement finds: the head of the log after it."""
    heads: list[int] = []

    def counted() -> None:
        announce()
        heads.append(get_head())

    monkeypatch.setattr(announcing, "announce", counted)
    return heads


def numbered() -> list[int | None]:
    return list(Notification.objects.order_by("pk").values_list("seq", flat=True))


@committed
def test_after_the_commit_the_queries_do_not_grow_with_what_the_transaction_sent(
    alice: User,
) -> None:
    notify(alice, "Warm up")
    counts = []
    for number in (1, 100):
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            for index in range(number):
                notify(alice, f"{index}", key=f"{index}" if index % 2 else "")
            broadcast("To all")
            mark_read(alice, up_to=get_head())
            sent = len(queries)
        counts.append(len(queries) - sent)
    assert counts[0] == counts[1] <= 15, counts
    assert None not in numbered()


@committed
@pytest.mark.parametrize("order", [1, -1, 7], ids=["as before", "backwards", "mixed"])
def test_repeats_are_numbered_in_few_queries_in_the_order_of_their_calls(
    alice: User, bob: User, order: int
) -> None:
    keys = [str(index) for index in range(40)]
    for key in keys:
        notify(alice, "Once", key=key)
        notify(bob, "Not hers, and between")
    again = [keys[index * order % 40] for index in range(40)]
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        for key in again:
            notify(alice, key, key=key)
        sent = len(queries)
    assert len(queries) - sent <= 15
    by_number = Notification.objects.filter(recipient=alice).order_by("seq")
    assert list(by_number.values_list("title", flat=True)) == again
    assert list(by_number.values_list("seq", flat=True)) == list(range(81, 121))


def send(user: User) -> None:
    notify(user, "One")
    with transaction.atomic():
        notify(user, "Two")
        with transaction.atomic():
            recall(notify(user, "Three"))


def send_and_undo_the_first(user: User) -> None:
    with transaction.atomic():
        notify(user, "Undone")
        transaction.set_rollback(True)
    notify(user, "One")


def send_and_undo_the_last(user: User) -> None:
    notify(user, "One")
    with transaction.atomic():
        notify(user, "Undone")
        transaction.set_rollback(True)


@committed
@pytest.mark.parametrize("work", [send, send_and_undo_the_first, send_and_undo_the_last])
def test_a_transaction_is_announced_once_and_wholly_whatever_its_savepoints_undo(
    alice: User, announced: list[int], work: Callable[[User], None]
) -> None:
    for times in (1, 2):
        with transaction.atomic():
            work(alice)
            assert len(announced) == times - 1
        assert len(announced) == times
    assert None not in numbered()


@committed
def test_what_a_transaction_that_is_rolled_back_sent_does_not_silence_the_next(
    alice: User, announced: list[int]
) -> None:
    with transaction.atomic():
        notify(alice, "Undone")
        transaction.set_rollback(True)
    assert announced == []
    with transaction.atomic():
        notify(alice, "One")
        notify(alice, "Two")
    assert announced == [2]


@committed
def test_what_is_sent_by_a_callback_of_the_commit_is_announced_too(
    alice: User, announced: list[int]
) -> None:
    with transaction.atomic():
        notify(alice, "One")
        transaction.on_commit(partial(notify, alice, "Two"))
        notify(alice, "Three")
    assert announced == [2, 3]
    assert None not in numbered()


@committed
def test_an_announcement_that_fails_is_logged_once_and_does_not_silence_the_next(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(announcing, "announce", refuse)
        with transaction.atomic():
            notify(alice, "One")
            notify(alice, "Two")
    failures = [record for record in caplog.records if record.name == "django.db.backends.base"]
    assert [record.levelname for record in failures] == ["ERROR"]
    notify(alice, "Three")
    assert numbered() == [1, 2, 3]


@committed
def test_async_callers_are_announced_like_others(alice: User, announced: list[int]) -> None:
    async def work() -> None:
        await anotify(alice, "One")
        await anotify(alice, "Two")

    async_to_sync(work)()
    assert announced == [1, 2]


@pytest.mark.django_db
def test_a_test_that_captures_callbacks_announces_each_block(
    alice: User, announced: list[int]
) -> None:
    notify(alice, "Before: nothing commits in a test")
    for block in range(1, 4):
        with TestCase.captureOnCommitCallbacks(execute=True):
            notify(alice, "One")
            notify(alice, "Two")
        assert len(announced) == block
    assert None not in numbered()


@committed
def test_in_a_test_everything_is_numbered_at_once_and_no_thread_is_started(alice: User) -> None:
    notify(alice, "One")
    assert numbered() == [1]
    flush()
    assert not threadpool.publisher.is_active()
