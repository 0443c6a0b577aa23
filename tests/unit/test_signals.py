"""The signals about notifications: after the commit, once for each batch, with all of its rows; and none for what was rolled back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction

from sse_notify import (
    archive,
    broadcast,
    mark_read,
    mark_seen,
    mark_unread,
    notify,
    recall,
    unarchive,
)
from sse_notify.models import Notification
from sse_notify.signals import marked, notified, recalled

pytestmark = pytest.mark.django_db(transaction=True)

#: What a receiver was called with, without the signal.
Heard = list[dict[str, Any]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    found: Heard = []
    signals = {"notified": notified, "marked": marked, "recalled": recalled}

    def hear(signal: Any, sender: Any, **said: Any) -> None:
        name = next(name for name, each in signals.items() if each is signal)
        assert sender is Notification
        assert not transaction.get_connection().in_atomic_block, "after the commit"
        found.append({"signal": name, **said})

    for each in signals.values():
        each.connect(hear)
    yield found
    for each in signals.values():
        each.disconnect(hear)


def test_one_call_has_all_rows_of_a_bulk(alice: User, bob: User, heard: Heard) -> None:
    rows = notify([alice, bob], "Hello")
    assert heard == [{"signal": "notified", "notifications": rows}]


@pytest.mark.parametrize("send", [broadcast, lambda title: broadcast(title, audience=Group(pk=1))])
def test_a_broadcast_is_one_row(send: Callable[..., Any], heard: Heard) -> None:
    Group.objects.create(pk=1, name="one")
    assert heard == [{"signal": "notified", "notifications": [send("Hello")]}]


def test_a_repeat_under_a_key_is_told_with_its_new_content(
    alice: User, bob: User, heard: Heard
) -> None:
    notify(alice, "One file", key="upload")
    heard.clear()
    rows = notify([alice, bob], "Two files", key="upload")
    (said,) = heard
    assert sorted(row.pk for row in said["notifications"]) == sorted(row.pk for row in rows)
    assert {row.recipient_id: row.count for row in said["notifications"]} == {
        alice.pk: 2,
        bob.pk: 1,
    }
    assert {row.title for row in said["notifications"]} == {"Two files"}


def test_a_repeat_under_an_idempotency_key_sends_nothing_and_tells_nothing(
    alice: User, bob: User, heard: Heard
) -> None:
    notify(alice, "Paid", idempotency_key="order-5")
    heard.clear()
    notify(alice, "Paid", idempotency_key="order-5")
    assert heard == []
    notify([alice, bob], "Paid", idempotency_key="order-5")
    assert [row.recipient_id for said in heard for row in said["notifications"]] == [bob.pk]


def test_nothing_is_told_of_what_was_rolled_back(alice: User, heard: Heard) -> None:
    row = notify(alice, "Hello")
    heard.clear()
    with suppress(ZeroDivisionError), transaction.atomic():
        notify(alice, "Never")
        mark_read(alice, ids=[row.pk])
        recall(row)
        raise ZeroDivisionError
    assert heard == []
    with transaction.atomic():
        with suppress(ZeroDivisionError), transaction.atomic():
            notify(alice, "Never")
            raise ZeroDivisionError
        kept = notify(alice, "Kept")
        assert heard == [], "not before the commit"
    assert heard == [{"signal": "notified", "notifications": [kept]}]


@pytest.mark.parametrize(
    ("mark", "name"),
    [
        (mark_read, "read"),
        (mark_seen, "seen"),
        (archive, "archived"),
    ],
)
def test_a_mark_tells_whose_and_which(
    mark: Callable[..., None], name: str, alice: User, bob: User, heard: Heard
) -> None:
    first, second, others = notify(alice, "1"), notify(alice, "2"), notify(bob, "3")
    heard.clear()
    mark(alice, ids=[first.pk, others.pk])
    assert heard == [
        {"signal": "marked", "user_id": alice.pk, "mark": name, "ids": [first.pk], "up_to": None}
    ]
    heard.clear()
    second.refresh_from_db()
    mark(alice, up_to=second.seq)
    assert heard == [
        {"signal": "marked", "user_id": alice.pk, "mark": name, "ids": None, "up_to": second.seq}
    ]
    heard.clear()
    mark(alice, up_to=second.seq)
    mark(alice, ids=[first.pk])
    assert heard == [], "a mark that changes nothing"


def test_the_opposite_marks_tell_as_well(alice: User, heard: Heard) -> None:
    row = notify(alice, "1")
    mark_read(alice, ids=[row.pk])
    archive(alice, ids=[row.pk])
    heard.clear()
    mark_unread(alice, ids=[row.pk])
    unarchive(alice, ids=[row.pk])
    assert [(said["mark"], said["ids"]) for said in heard] == [
        ("unread", [row.pk]),
        ("unarchived", [row.pk]),
    ]


def test_a_recall_tells_the_ids_that_were_not_recalled_before(
    alice: User, bob: User, heard: Heard
) -> None:
    rows = notify([alice, bob], "Hello")
    recall(rows[0])
    assert heard[1:] == [{"signal": "recalled", "ids": [rows[0].pk]}]
    heard.clear()
    recall(rows)
    assert heard == [{"signal": "recalled", "ids": [rows[1].pk]}]
    heard.clear()
    recall(rows)
    assert heard == []


def test_a_receiver_that_fails_stops_neither_the_others_nor_the_delivery(
    alice: User, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError("the mail server is down")

    notified.connect(fail)
    try:
        with caplog.at_level(logging.ERROR):
            row = notify(alice, "Hello")
    finally:
        notified.disconnect(fail)
    assert heard == [{"signal": "notified", "notifications": [row]}]
    assert "the mail server is down" in caplog.text
    row.refresh_from_db()
    assert row.seq is not None


def test_a_receiver_may_notify_again(alice: User, bob: User, heard: Heard) -> None:
    def forward(notifications: list[Notification], **_: Any) -> None:
        for row in notifications:
            if row.recipient_id == alice.pk:
                notify(bob, f"Alice heard: {row.title}")

    notified.connect(forward)
    try:
        with transaction.atomic():
            notify(alice, "Hello")
    finally:
        notified.disconnect(forward)
    forwarded = Notification.objects.get(recipient=bob)
    assert forwarded.seq is not None
    assert forwarded.title == "Alice heard: Hello"
