"""What was sent can be taken back: from every inbox, from the log's readers, and from the pages that show it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from sse_notify import STAFF, broadcast, notify, recall
from sse_notify.inbox import marks
from sse_notify.log.announcing import announce
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import get_head, number_pending
from sse_notify.models import Notification, Receipt
from sse_notify.topics import topics_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob")


class Event(NamedTuple):
    """One block of a stream."""

    type: str
    data: str
    id: str

    def json(self) -> Any:
        return json.loads(self.data)


def parse(stream: bytes) -> list[Event]:
    blocks = stream.decode().removesuffix("\n\n").split("\n\n") if stream else []
    return [Event(*(line.partition(": ")[2] for line in block.split("\n"))) for block in blocks]


def number() -> int:
    announce()
    return get_head()


def replay(user: User, after: int = 0) -> list[Event]:
    """Return what a stream of ``user`` that comes with the cursor ``after`` is told."""
    reader = Reader(topics=topics_of(user), user_id=user.pk, since=user.date_joined)
    entries, _complete = read_entries(after, get_head(), reader=reader, limit=100)
    return parse(b"".join(entry.frame for entry in entries if str(user.pk) not in entry.excluded))


def everywhere(user: User) -> set[int]:
    """Return the ids that any list of the inbox shows."""
    rows = Notification.objects
    shown: set[int] = set()
    for part in (rows.visible_to(user), rows.visible_to(user).archived(), rows.with_states(user)):
        shown.update(part.values_list("pk", flat=True))
    return shown


def test_what_is_recalled_is_nowhere_whatever_was_done_with_it(alice: User) -> None:
    rows = [
        notify(alice, title)
        for title in (
            "untouched",
            "read",
            "archived",
            "unread again",
            "back again",
            "pending",
            "kept",
        )
    ]
    head = number()
    marks.mark_read(alice, ids=[rows[1].pk])
    marks.archive(alice, ids=[rows[2].pk])
    marks.mark_read(alice, up_to=head - 3)
    marks.archive(alice, up_to=head - 2)
    marks.mark_unread(alice, ids=[rows[3].pk])
    marks.unarchive(alice, ids=[rows[4].pk, rows[3].pk])
    assert recall(rows[:6]) == 6
    for when in ("pending", "numbered"):
        assert everywhere(alice) == {rows[6].pk}, when
        assert marks.counts(alice) == (1, 1), when
        number()
    assert marks.counts(alice) == (1, 1)
    marks.mark_read(alice, ids=[rows[0].pk])
    assert not Receipt.objects.filter(notification=rows[0]).exists(), "nor can it be marked"


def test_the_stream_is_told_the_id_alone_and_the_old_number_is_gone(alice: User) -> None:
    row = notify(
        alice,
        "Secret",
        "Secret too",
        category="secret",
        data={"secret": 1},
        event="order",
        key="secret",
    )
    before = number()
    recall(row)
    (batch,) = number_pending()
    (entry,) = batch.entries
    (event,) = parse(entry.frame)
    assert (event.type, event.json(), event.id) == ("remove", {"ids": [row.pk]}, str(before + 1))
    assert b"secret" not in entry.frame.lower()
    assert replay(alice) == [event], (
        "who was away all the time hears that alone, and nothing of what it said"
    )
    assert replay(alice, after=before) == [event]


def test_a_broadcast_is_taken_back_from_those_who_got_it_and_nobody_else_is_told(
    alice: User, bob: User
) -> None:
    carol = User.objects.create_user("carol", is_staff=True)
    row = broadcast("For the staff, but carol", audience=STAFF, exclude=[carol])
    everyone = broadcast("For all, but bob", exclude=[bob])
    head = number()
    dave = User.objects.create_user(
        "dave", is_staff=True, date_joined=timezone.now() + timedelta(hours=1)
    )
    erin = User.objects.create_user(
        "erin", is_staff=True, date_joined=timezone.now() - timedelta(hours=1)
    )
    marks.mark_read(erin, ids=[row.pk])
    assert everywhere(erin) == {row.pk, everyone.pk}
    assert recall([row, everyone]) == 2
    number()
    told = {
        user.username: [event.json()["ids"] for event in replay(user, head)]
        for user in (alice, bob, carol, dave)
    }
    assert told == {"alice": [[everyone.pk]], "bob": [], "carol": [[everyone.pk]], "dave": []}
    assert [event.json()["ids"] for event in replay(erin) if event.type == "remove"] == [
        [row.pk],
        [everyone.pk],
    ]
    for user in (alice, bob, carol, dave, erin):
        assert everywhere(user) == set()
        assert marks.counts(user) == (0, 0)
    assert set(batch_exclusions()) == {str(carol.pk), str(bob.pk)}, (
        "the live frames name who does not get them"
    )


def batch_exclusions() -> list[str]:
    entries, _complete = read_entries(0, get_head(), limit=100)
    return [user for entry in entries for user in entry.excluded]


def test_it_is_told_though_it_has_expired_meanwhile(alice: User) -> None:
    row = notify(alice, "Short", expires_at=timezone.now() + timedelta(hours=1))
    head = number()
    Notification.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    recall(row)
    (batch,) = number_pending()
    assert [parse(entry.frame)[0].type for entry in batch.entries] == ["remove"]
    assert [event.type for event in replay(alice, head)] == ["remove"]


def test_a_repeat_does_nothing_and_says_nothing(alice: User) -> None:
    row = notify(alice, "Hello")
    assert recall(row) == 1
    head = number()
    before = list(Notification.objects.values("pk", "seq", "recalled_at"))
    assert (
        recall(row) == recall([row, row]) == recall(Notification.objects.all()) == recall([]) == 0
    )
    assert number() == head
    assert list(Notification.objects.values("pk", "seq", "recalled_at")) == before


def test_a_rollback_leaves_everything_as_it_was(alice: User) -> None:
    row = notify(alice, "Hello")
    head = number()
    with transaction.atomic():
        recall(row)
        assert everywhere(alice) == set()
        transaction.set_rollback(True)
    assert everywhere(alice) == {row.pk}
    assert number() == head
    assert [event.type for event in replay(alice)] == ["notification"]


@pytest.mark.django_db(transaction=True)
def test_it_is_numbered_when_the_callers_transaction_commits_and_not_before(alice: User) -> None:
    row = notify(alice, "Hello")
    with transaction.atomic():
        recall(row)
        assert get_head() == 1
    assert get_head() == 2
    assert [event.type for event in replay(alice)] == ["remove"]


@pytest.mark.parametrize("numbered", [True, False], ids=["numbered", "pending"])
def test_a_repeat_under_the_key_is_a_new_notification(alice: User, *, numbered: bool) -> None:
    row = notify(alice, "1 order", key="orders")
    notify(alice, "2 orders", key="orders")
    number()
    marks.mark_read(alice, ids=[row.pk])
    recall(row)
    head = number() if numbered else get_head()
    again = notify(alice, "1 order", key="orders")
    number()
    assert again.pk == row.pk
    (event,) = [event for event in replay(alice, head) if event.type != "update"]
    assert (event.type, event.json()["title"], event.json()["count"]) == (
        "notification",
        "1 order",
        1,
    )
    assert everywhere(alice) == {row.pk}
    assert marks.counts(alice) == (1, 1)
    assert recall(row) == 1, "and can be recalled again"


def test_a_repeat_under_the_idempotency_key_stays_recalled(alice: User) -> None:
    row = notify(alice, "Hello", idempotency_key="once")
    recall(row)
    head = number()
    assert notify(alice, "Hello", idempotency_key="once").pk == row.pk
    assert number() == head
    assert everywhere(alice) == set()


def test_the_pages_do_not_show_it_and_the_etag_of_state_changes(client: Any, alice: User) -> None:
    client.force_login(alice)
    row = notify(alice, "Secret")
    number()
    state = reverse("sse_notify:state")
    etag = client.get(state)["ETag"]
    recall(row)
    assert client.get(state, headers={"if-none-match": etag}).json()["unread"] == 0
    for query in ({}, {"state": "unread"}, {"state": "archived"}):
        assert client.get(reverse("sse_notify:items"), query).json()["items"] == []
        assert "Secret" not in client.get(reverse("sse_notify:list"), query).content.decode()


def test_many_are_taken_back_by_a_queryset_in_few_queries(
    alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    User.objects.bulk_create(User(username=f"u{index}") for index in range(30))
    users = User.objects.filter(username__startswith="u")
    sent = notify(users, "Wrong button")
    kept = notify(alice, "Right one")
    with django_assert_max_num_queries(6):
        assert recall(Notification.objects.filter(title="Wrong button")[:20]) == 20
    assert recall(iter(sent)) == 10
    assert list(Notification.objects.filter(recalled_at=None)) == [kept]


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        (lambda: 7, TypeError),
        (lambda: None, TypeError),
        (lambda: "7", TypeError),
        (lambda: [7], TypeError),
        (lambda: AnonymousUser(), TypeError),
        (lambda: User.objects.all(), TypeError),
        (lambda: Notification(title="new"), ValueError),
        (lambda: [Notification.objects.get(), Notification(title="new")], ValueError),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_written(
    alice: User, argument: Callable[[], Any], error: type[Exception]
) -> None:
    notify(alice, "Hello")
    with pytest.raises(error, match=r"^notifications must be .*\.$"):
        recall(argument())
    assert Notification.objects.get().recalled_at is None
