"""A call for very many users writes in chunks, each in a transaction of its own, what one call would have written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.utils import timezone

from sse_notify import anotify, notify
from sse_notify.log import sequence
from sse_notify.log.reader import read_entries
from sse_notify.models import Notification
from sse_notify.notifications import store
from sse_notify.signals import notified
from sse_notify.topics import user_topic

committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> list[User]:
    """Twenty-five users, in chunks of ten."""
    monkeypatch.setattr(store, "CHUNK", 10)
    User.objects.bulk_create([User(username=f"user {number}") for number in range(25)])
    return list(User.objects.order_by("pk"))


CONTENTS: list[dict[str, Any]] = [
    {},
    {"data": {"n": [1, 2.5, None, "ü"]}, "actions": [{"label": "Go", "url": "/"}], "silent": True},
    {"level": "error", "url": "/a/?b=%s", "category": "100 %", "icon": "/i.png", "event": "order"},
    {"body": 'It\'s "50 %" - %s, %%, {x}, \\n, 漢字 🎈', "data": "%s"},
    {"expires_at": timezone.now() + timedelta(days=1)},
]


@committed
@pytest.mark.parametrize("content", CONTENTS)
def test_it_writes_the_rows_that_one_call_would(crowd: list[User], content: dict[str, Any]) -> None:
    content = {**content, "actor": crowd[0]}
    notify(crowd, "Hello", **content)
    assert notify(crowd, "Hello", chunked=True, **content) == 25
    left_out = {"id", "seq", "created_at"}
    names = [
        each.attname for each in Notification._meta.concrete_fields if each.name not in left_out
    ]
    rows = list(Notification.objects.order_by("seq").values(*names))
    assert rows[:25] == rows[25:]
    assert list(Notification.objects.order_by("seq").values_list("seq", flat=True)) == list(
        range(1, 51)
    )


@committed
@pytest.mark.parametrize("kind", ["list", "generator", "queryset", "group"])
def test_any_collection_of_users_is_told_once_each(crowd: list[User], kind: str) -> None:
    group = Group.objects.create(name="all")
    group.user_set.add(*crowd)
    to: Any = {
        "list": [*crowd, *crowd[:5]],
        "generator": (user for user in crowd),
        "queryset": User.objects.all(),
        "group": group,
    }[kind]
    told: list[tuple[int, int]] = []
    done = notify(to, "Hello", chunked=True, on_progress=lambda *numbers: told.append(numbers))
    assert done == 25
    assert told == [(10, 25), (20, 25), (25, 25)]
    assert (
        Notification.objects.values("recipient").distinct().count()
        == 25
        == (Notification.objects.count())
    )


@committed
def test_receivers_of_the_signal_get_every_row(crowd: list[User]) -> None:
    got: list[Any] = []

    def receive(notifications: list[Notification], **_: Any) -> None:
        got.extend(row.recipient_id for row in notifications)

    notified.connect(receive)
    try:
        notify(crowd, "Hello", chunked=True)
    finally:
        notified.disconnect(receive)
    assert sorted(got) == sorted(user.pk for user in crowd)


@committed
@pytest.mark.parametrize(("name", "counts"), [("key", {2}), ("idempotency_key", {1})])
def test_keys_hold_over_all_chunks(crowd: list[User], name: str, counts: set[int]) -> None:
    for _ in range(2):
        keyed: Any = {name: "k"}
        assert notify(crowd, "Hello", chunked=True, **keyed) == 25
    assert set(Notification.objects.values_list("count", flat=True)) == counts
    assert Notification.objects.count() == 25


@committed
def test_what_fails_later_leaves_the_chunks_before(crowd: list[User]) -> None:
    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        notify(crowd, "Hello", chunked=True, on_progress=stop)
    assert Notification.objects.filter(seq__isnull=False).count() == 20


@committed
@pytest.mark.parametrize(
    ("to", "options", "error"),
    [
        ("one", {"chunked": True}, "chunked needs an iterable"),
        ("all", {"on_progress": print}, "on_progress must be a function, and needs chunked"),
        ("all", {"chunked": True, "on_progress": 5}, "on_progress must be a function"),
        ("all", {"chunked": True, "level": "odd"}, "level must be one of"),
        ("nobody's", {"chunked": True}, "to must be"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(
    crowd: list[User], to: str, options: dict[str, Any], error: str
) -> None:
    users: Any = {"one": crowd[0], "all": crowd, "nobody's": [*crowd[:24], User(username="new")]}[
        to
    ]
    with pytest.raises((TypeError, ValueError), match=rf"^{error}"):
        notify(users, "Hello", **options)
    assert not Notification.objects.exists()


@committed
def test_it_is_refused_inside_a_transaction(crowd: list[User]) -> None:
    with transaction.atomic(), pytest.raises(ValueError, match=r"^chunked must be used outside"):
        notify(crowd, "Hello", chunked=True)


@pytest.mark.django_db
def test_it_works_in_the_transaction_of_a_test(crowd: list[User]) -> None:
    assert notify(crowd, "Hello", chunked=True) == 25


@committed
@pytest.mark.asyncio
async def test_its_async_twin(crowd: list[User]) -> None:
    assert await anotify(crowd, "Hello", chunked=True) == 25


@pytest.mark.django_db
@pytest.mark.parametrize("gap", [False, True])
def test_what_does_not_fit_into_a_batch_is_numbered_without_being_read(
    crowd: list[User], monkeypatch: pytest.MonkeyPatch, *, gap: bool
) -> None:
    monkeypatch.setattr(sequence, "SEQUENCE_BATCH", 10)
    monkeypatch.setattr(sequence, "MANY", 8)
    rows = notify(crowd, "Hello")
    if gap:
        Notification.objects.filter(pk__in=[row.pk for row in rows[11:24:2]]).delete()
    left = Notification.objects.count()
    found = list(sequence.number_pending())
    assert [bool(each.entries) for each in found[:2]] == [True, False]
    assert found[-1].last == left
    numbers = Notification.objects.order_by("pk").values_list("seq", flat=True)
    assert list(numbers) == list(range(1, left + 1))


@pytest.mark.django_db
def test_repeats_beyond_a_batch_are_numbered_in_the_order_of_their_calls(
    crowd: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence, "SEQUENCE_BATCH", 1)
    first: Any = min(notify(crowd, "Once", key="k"), key=lambda row: row.pk).recipient_id
    again = [user.pk for user in crowd[::-1]]
    for user in crowd[::-1]:
        notify(user, "Again", key="k")
    list(sequence.number_pending())
    found = list(Notification.objects.order_by("seq").values_list("recipient", flat=True))
    again.remove(first)  # the first batch is the row that was written first
    assert found == [first, *again]


@pytest.mark.django_db
def test_a_hub_reads_the_rows_of_its_topics_alone(
    crowd: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    notify(crowd, "Hello")
    last = [*sequence.number_pending()][-1].last
    topics = [user_topic(user.pk) for user in crowd[3:5]]
    entries, complete = read_entries(0, last, topics={*topics, "order.5"}, limit=500)
    assert [entry.topic for entry in entries] == topics
    assert complete == last
    entries, complete = read_entries(0, last, topics=set(topics), limit=1)
    assert ([entry.topic for entry in entries], complete) == (topics[:1], entries[0].seq)
    monkeypatch.setattr("sse_notify.log.reader.MAX_TOPICS", 1)
    entries, complete = read_entries(0, last, topics=set(topics), limit=500)
    assert (len(entries), complete) == (25, last)
