"""One query counts many inboxes, and says of each what the annotated rows say."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from sse_notify import (
    STAFF,
    archive,
    broadcast,
    mark_read,
    mark_seen,
    mark_unread,
    mute,
    notify,
    recall,
    unarchive,
    unmute,
)
from sse_notify.log.sequence import get_head, number_pending
from sse_notify.models import Notification, counts
from sse_notify.models.counts import Owner, count
from sse_notify.topics import topics_of

pytestmark = pytest.mark.django_db


def act_at_random(rng: random.Random, users: list[User], group: Group) -> None:
    ids = list(Notification.objects.values_list("pk", flat=True))
    some = rng.sample(ids, min(len(ids), 3))
    user = rng.choice(users)
    old, soon = timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(days=1)
    audience: Any = rng.choice([STAFF, group])
    category = rng.choice(["", "news", "duty"])
    exclude = rng.sample(users, rng.randint(0, 2))
    acts: list[Callable[[], object]] = [
        lambda: notify(
            users, "x", expires_at=rng.choice([None, None, old, soon]), category=category
        ),
        lambda: notify(user, "x", key=rng.choice("ab"), category=category),
        lambda: broadcast("x", audience=audience, exclude=exclude, category=category),
        lambda: broadcast("x", exclude=exclude, category=category),
        lambda: list(number_pending()),
        lambda: list(number_pending()),
        lambda: mark_read(user, ids=some),
        lambda: mark_unread(user, ids=some),
        lambda: mark_seen(user, ids=some),
        lambda: archive(user, ids=some),
        lambda: unarchive(user, ids=some),
        lambda: recall(Notification.objects.filter(pk__in=some[:1])),
        lambda: mark_read(user, up_to=rng.randint(0, get_head())),
        lambda: mark_seen(user, up_to=rng.randint(0, get_head())),
        lambda: archive(user, up_to=rng.randint(0, get_head()) // 3),
        lambda: mute(user, "news"),
        lambda: unmute(user, "news"),
    ]
    rng.choice(acts)()


def owner(user: User, up_to: int | None = None) -> Owner:
    found = Owner(user.pk, topics_of(user), user.date_joined)
    return found if up_to is None else found._replace(up_to=up_to)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
)
def test_the_counts_of_many_inboxes_are_those_of_their_rows(seed: int) -> None:
    rng = random.Random(seed)
    group = Group.objects.create(name="team")
    broadcast("before they joined")
    users = [User.objects.create_user(f"user-{n}", is_staff=n == 1) for n in range(4)]
    group.user_set.add(*users[:2])
    for _ in range(40):
        act_at_random(rng, users, group)
        # A category that was muted before the project required it is heard all the same.
        required = {"news": {"required": True}} if rng.random() < 0.2 else {}
        with override_settings(SSE_NOTIFY={"CATEGORIES": required}):
            for up_to in (None, get_head(), rng.randint(0, get_head())):
                rows = [Notification.objects.visible_to(user) for user in users]
                if up_to is not None:
                    rows = [part.filter(seq__lte=up_to) for part in rows]
                expected = [(part.unread().count(), part.unseen().count()) for part in rows]
                assert count([owner(user, up_to) for user in users], "default") == expected
        own = [owner(user, get_head() // 2) for user in users]
        both = count([*own, *map(owner, users)], "default")
        assert both == count(own, "default") + count(map(owner, users), "default")


def test_many_inboxes_cost_one_query_as_one_does_and_none_costs_none() -> None:
    users = [User.objects.create_user(f"user-{number}") for number in range(300)]
    notify(users[:200], "x")
    owners = [owner(user) for user in users]
    for part in (owners[:1], owners):
        with CaptureQueriesContext(connection) as captured:
            assert [unread for unread, _ in count(part, "default")] == [1] * min(len(part), 200) + [
                0
            ] * (len(part) - min(len(part), 200))
        assert len([query for query in captured if "COUNT" in query["sql"]]) == 1
    with CaptureQueriesContext(connection) as captured:
        assert count([], "default") == []
    assert len(captured) == 0


def test_many_owners_of_many_topics_are_counted_in_several_statements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A database limits the variables of one statement, SQLite to 32,766."""
    users = [User.objects.create_user(f"user-{number}") for number in range(5)]
    for number, user in enumerate(users):
        notify([user], f"for {number}")
        broadcast("for all")
    list(number_pending())
    owners = [Owner(user.pk, topics_of(user), user.date_joined) for user in users]
    at_once = count(owners, "default")
    monkeypatch.setattr(counts, "PARTS", 3)
    with CaptureQueriesContext(connection) as captured:
        assert count(owners, "default") == at_once
    assert len([each for each in captured if "WITH part" in each["sql"]]) == 4
    assert {unread for unread, _ in at_once} == {6}
