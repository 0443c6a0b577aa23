"""What pruning deletes, what it leaves, and what readers are told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sse_notify import broadcast, mark_read, notify, recall, retention, unread_count, unseen_count
from sse_notify.inbox.marks import archive, mark_unread
from sse_notify.log.sequence import Position, get_head, get_position
from sse_notify.models import Exclusion, LogHead, Notification, Receipt

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice() -> User:
    """Has been there for a year."""
    return User.objects.create_user("alice", date_joined=timezone.now() - timedelta(days=365))


def send(user: User, title: str, *, age: float = 0, **content: Any) -> Notification:
    """Notify, ``age`` days ago."""
    row = notify(user, title, **content)
    Notification.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(days=age))
    row.refresh_from_db()
    return row


def titles() -> list[str]:
    return list(Notification.objects.order_by("pk").values_list("title", flat=True))


def test_what_is_older_goes_and_takes_receipts_and_exclusions_along(alice: User, bob: User) -> None:
    old = send(alice, "Old", age=91)
    send(alice, "Young", age=89)
    shout = broadcast("Old shout", exclude=[bob])
    Notification.objects.filter(pk=shout.pk).update(created_at=timezone.now() - timedelta(days=91))
    mark_read(alice, ids=[old.pk, shout.pk])
    assert (Receipt.objects.count(), Exclusion.objects.count()) == (2, 1)
    assert retention.count() == 2
    assert retention.prune() == 2
    assert titles() == ["Young"]
    assert (Receipt.objects.count(), Exclusion.objects.count()) == (0, 0)
    assert retention.prune() == 0


def test_a_recall_is_kept_as_long_as_a_notification(alice: User) -> None:
    """Whoever was away since then has to be told that it is gone."""
    now = timezone.now()
    lately, long_ago = (
        send(alice, "Recalled lately", age=200),
        send(alice, "Recalled long ago", age=200),
    )
    expired = send(alice, "Recalled lately, and expired", age=1, expires_at=now)
    recall([lately, long_ago, expired])
    Notification.objects.filter(pk=long_ago.pk).update(recalled_at=now - timedelta(days=91))
    assert retention.prune() == 1
    assert titles() == ["Recalled lately", "Recalled lately, and expired"]


def test_what_has_expired_goes_at_any_age_and_costs_nobody_the_place(alice: User) -> None:
    send(alice, "Expired", expires_at=timezone.now() - timedelta(seconds=1))
    send(alice, "Expires later", expires_at=timezone.now() + timedelta(days=1))
    assert retention.prune() == 1
    assert titles() == ["Expires later"]
    assert get_position() == Position(head=2, floor=0)


def test_what_is_pending_stays(alice: User) -> None:
    with transaction.atomic():
        send(alice, "Pending", age=100)
        assert retention.prune() == 0
    assert retention.prune() == 1


def test_a_row_that_is_sent_again_while_its_batch_begins_stays(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(alice, "Old", age=100, key="k")
    send(alice, "Other", age=100)
    delete = retention._delete

    def be_late(*args: Any) -> int:
        notify(alice, "New", key="k")
        return delete(*args)

    monkeypatch.setattr(retention, "_delete", be_late)
    assert retention.prune() == 1
    assert titles() == ["New"]
    assert unread_count(alice) == 1


def test_the_floor_is_the_newest_number_that_went_and_never_falls(alice: User) -> None:
    send(alice, "1", age=100)
    two = send(alice, "2", age=95)
    send(alice, "3")
    send(alice, "History", age=100)
    Notification.objects.filter(title="History").update(event="")
    assert retention.prune() == 3
    assert two.seq == 2
    assert get_position() == Position(head=4, floor=2), (
        "no stream told of history, so nobody misses it"
    )
    LogHead.objects.update(floor=3)
    send(alice, "5", age=100)
    Notification.objects.filter(title="5").update(seq=1)
    assert retention.prune() == 1
    assert get_position().floor == 3


def test_counts_and_lists_are_exact_afterwards(alice: User) -> None:
    team = Group.objects.create(name="team")
    alice.groups.add(team)
    rows = [send(alice, f"{age} days", age=age) for age in (100, 99, 98, 97, 3, 2, 1)]
    shout = broadcast("Old shout", audience=team)
    Notification.objects.filter(pk=shout.pk).update(created_at=timezone.now() - timedelta(days=100))
    mark_read(alice, up_to=rows[5].seq)
    mark_unread(alice, ids=[rows[1].pk, rows[4].pk])
    archive(alice, ids=[rows[0].pk, rows[5].pk])
    assert unread_count(alice) == 4
    assert retention.prune() == 5
    visible = Notification.objects.visible_to(alice)
    assert sorted(visible.values_list("title", flat=True)) == ["1 days", "3 days"]
    assert list(visible.archived().values_list("title", flat=True)) == ["2 days"]
    assert (
        (unread_count(alice), unseen_count(alice))
        == (visible.unread().count(), visible.unseen().count())
        == (2, 1)
    )


def test_it_takes_batches_and_few_statements_whatever_their_size(alice: User) -> None:
    """A statement for each row is what others do, in whichever request comes next."""
    users = User.objects.bulk_create([User(username=f"u{i}") for i in range(250)])
    notify(users, "Old")
    Notification.objects.update(created_at=timezone.now() - timedelta(days=100))
    for user in users[:50]:
        mark_read(user, up_to=get_head())
    sizes: list[int] = []
    with CaptureQueriesContext(connection) as queries:
        assert retention.prune(batch=100, on_batch=sizes.append) == 250
    assert sizes == [100, 100, 50]
    assert sum(query["sql"].startswith("COMMIT") for query in queries) in (
        3,
        0,
    )  # PostgreSQL's are not captured
    assert len(queries) <= 3 * 14 + 1, [query["sql"][:80] for query in queries]


def test_without_a_retention_everything_is_kept_unless_days_are_given(alice: User) -> None:
    send(alice, "Ancient", age=10_000)
    send(alice, "Expired", expires_at=timezone.now() - timedelta(days=1))
    with override_settings(SSE_NOTIFY={"RETENTION_DAYS": None}):
        assert (retention.count(), retention.prune()) == (0, 0)
        assert retention.prune(days=20_000) == 1  # what has expired
        assert retention.prune(days=9_999.5) == 1


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"days": -1}, "days"),
        ({"days": float("nan")}, "days"),
        ({"days": 36_501}, "days"),
        ({"days": "90"}, "days"),
        ({"days": True}, "days"),
        ({"batch": 0}, "batch"),
        ({"batch": 10_001}, "batch"),
        ({"batch": 1.5}, "batch"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_deleted(
    alice: User, arguments: dict[str, Any], names: str
) -> None:
    send(alice, "Old", age=1000)
    with pytest.raises((TypeError, ValueError), match=f"^{names} must be "):
        retention.prune(**arguments)
    assert titles() == ["Old"]
