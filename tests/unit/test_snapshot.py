"""The handshake's own SQL says what the querysets say."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from sse_notify import (
    STAFF,
    archive,
    broadcast,
    log,
    mark_read,
    mark_seen,
    mark_unread,
    notify,
    recall,
    snapshot,
    unarchive,
)
from sse_notify.log import Position, Reader
from sse_notify.models import Inbox, Notification
from sse_notify.topics import topics_of

pytestmark = pytest.mark.django_db


def act_at_random(rng: random.Random, user: User, other: User, group: Group) -> None:
    ids = list(Notification.objects.values_list("pk", flat=True))
    some = rng.sample(ids, min(len(ids), 3))
    old, soon = timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(days=1)
    audience: Any = rng.choice([STAFF, group])
    acts: list[Callable[[], object]] = [
        lambda: notify(
            rng.choice([user, other]), "x", expires_at=rng.choice([None, None, old, soon])
        ),
        lambda: notify(user, "x", key=rng.choice("ab")),
        lambda: broadcast("x", audience=audience, exclude=rng.choice([[], [user]])),
        lambda: broadcast("x", exclude=rng.choice([[], [user], [other]])),
        lambda: list(log.sequence()),
        lambda: list(log.sequence()),
        lambda: mark_read(user, ids=some),
        lambda: mark_unread(user, ids=some),
        lambda: mark_seen(user, ids=some),
        lambda: archive(user, ids=some),
        lambda: unarchive(user, ids=some),
        lambda: recall(Notification.objects.filter(pk__in=some[:1])),
        lambda: mark_read(user, up_to=rng.randint(0, log.head())),
        lambda: mark_seen(user, up_to=rng.randint(0, log.head())),
        lambda: archive(user, up_to=rng.randint(0, log.head()) // 3),
    ]
    rng.choice(acts)()


@pytest.mark.parametrize("seed", range(6))
def test_counts_and_topics_agree_with_the_querysets(seed: int) -> None:
    rng = random.Random(seed)
    group = Group.objects.create(name="team")
    user = User.objects.create_user("alice", is_staff=rng.random() < 0.5)
    other = User.objects.create_user("bob")
    if rng.random() < 0.7:
        user.groups.add(group, Group.objects.create(name="second"))
    broadcast("before she joined")
    User.objects.filter(pk=user.pk).update(date_joined=timezone.now())
    user.refresh_from_db()
    for _ in range(40):
        act_at_random(rng, user, other, group)
        reader = snapshot.reader_of(user)
        assert set(reader.topics) == set(topics_of(user))
        taken = snapshot.take(reader, user)
        assert taken.position == log.position()
        numbered = Notification.objects.visible_to(user).filter(seq__lte=log.head())
        assert (taken.unread, taken.unseen) == (
            numbered.unread().count(),
            numbered.unseen().count(),
        )
        assert (
            taken.state_seq
            == Inbox.objects.filter(pk=user.pk).values_list("state_seq", flat=True).first()
        )


def test_a_handshake_costs_three_statements(django_assert_num_queries: Any) -> None:
    user = User.objects.create_user("alice")
    notify(user, "x")
    list(log.sequence())
    with django_assert_num_queries(3):
        snapshot.take(snapshot.reader_of(user), user)


def test_a_visitor_has_a_position_and_no_inbox() -> None:
    broadcast("x")
    list(log.sequence())
    assert snapshot.take(Reader(topics=()), None) == snapshot.Snapshot(
        position=Position(1, 0), state_seq=None, unread=0, unseen=0
    )
