"""Pruning beside writers that are at work with the same rows: only a database with several writers at once can show it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.signals import pre_delete
from django.utils import timezone

from sse_notify import mark_read, notify, retention, unread_count
from sse_notify.log.sequence import Position, get_head, get_position
from sse_notify.models import Inbox, Notification, Receipt
from sse_notify.notifications import store

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]


def send_old(user: User, title: str, **content: Any) -> Notification:
    row = notify(user, title, **content)
    Notification.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(days=100))
    return row


def elsewhere(work: Callable[[], Any]) -> threading.Thread:
    """Start ``work`` with a connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def once_before(patch: pytest.MonkeyPatch, module: Any, name: str, work: Callable[[], Any]) -> None:
    """Have ``work`` done elsewhere, to its end, before the next call of a function."""
    function = getattr(module, name)

    def first(*args: Any, **kwargs: Any) -> Any:
        patch.setattr(module, name, function)
        elsewhere(work).join(20)
        return function(*args, **kwargs)

    patch.setattr(module, name, first)


def test_a_repeat_under_a_key_whose_row_is_pruned_in_this_moment_is_sent(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = send_old(alice, "Old", key="k")
    once_before(monkeypatch, store, "_repeat", retention.prune)
    new = notify(alice, "New", key="k")
    assert (new.pk != old.pk, new.count, unread_count(alice)) == (True, 1, 1)
    assert list(Notification.objects.values_list("title", flat=True)) == ["New"]


@pytest.mark.postgres  # MariaDB locks what a receipt names at once, so pruning passes it over
def test_a_mark_of_what_is_pruned_in_this_moment_leaves_it_alone(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young = send_old(alice, "Old"), notify(alice, "Young")
    once_before(
        monkeypatch, Inbox, "note", retention.prune
    )  # after the receipts are written, before their commit
    mark_read(alice, ids=[old.pk, young.pk])
    assert list(Receipt.objects.values_list("notification_id", flat=True)) == [young.pk]
    assert Inbox.objects.get().changes[0]["ids"] == [young.pk]
    assert unread_count(alice) == 0


def test_a_row_that_is_sent_again_in_an_open_transaction_is_not_waited_for(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_old(alice, "Old", key="k")
    send_old(alice, "Other")
    pruned: list[int] = []
    once_before(monkeypatch, store, "_exclude", lambda: pruned.append(retention.prune()))
    notify(alice, "New", key="k")
    assert pruned == [1]
    assert list(Notification.objects.values_list("title", "count")) == [("New", 2)]


def test_a_publisher_is_numbered_while_a_batch_is_being_deleted(alice: User) -> None:
    """The lock on the log is taken by the last statement of a batch."""
    send_old(alice, "Old")
    numbered: list[int] = []

    def publish() -> None:
        notify(alice, "New")
        numbered.append(get_head())

    def publish_elsewhere(**kwargs: Any) -> None:
        elsewhere(publish).join(20)

    pre_delete.connect(publish_elsewhere, sender=Notification)
    try:
        assert retention.prune() == 1
    finally:
        pre_delete.disconnect(publish_elsewhere, sender=Notification)
    assert numbered == [2]
    assert get_position() == Position(head=2, floor=1)
