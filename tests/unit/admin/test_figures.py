"""How many a notification reaches and how many have read it, as the admin's list tells: counted another way here, one by one."""

from __future__ import annotations

import random
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from sse_notify import STAFF, archive, broadcast, mark_read, mark_unread, notify, recall
from sse_notify.admin.figures import Figures, figures_of
from sse_notify.inbox import marks
from sse_notify.log.sequence import get_head, number_pending
from sse_notify.models import Audience, Notification

pytestmark = pytest.mark.django_db


def number_all() -> None:
    for _ in number_pending():
        pass


def rows() -> list[Notification]:
    return list(Notification.objects.select_related("recipient", "group"))


def counted_one_by_one() -> dict[int, Figures]:
    """Ask each user's own inbox."""
    found = {row.pk: [0, 0] for row in rows() if row.recalled_at is None}
    for user in User.objects.filter(is_active=True):
        for row in Notification.objects.with_states(user):
            found[row.pk][0] += 1
            found[row.pk][1] += not row.is_unread
    return {pk: Figures(reach=reach, read=read) for pk, (reach, read) in found.items()}


@pytest.mark.parametrize("seed", range(3))
def test_the_figures_are_what_the_inboxes_of_all_users_say(seed: int) -> None:
    chance = random.Random(seed)
    groups = [Group.objects.create(name=f"g{number}") for number in range(3)]
    start = timezone.now() - timedelta(hours=1)
    users = []
    for number in range(12):
        user = User.objects.create_user(
            f"u{number}",
            is_staff=chance.random() < 0.4,
            is_active=chance.random() < 0.85,
            # Some joined while the log was written.
            date_joined=start + timedelta(minutes=chance.choice([-60, -60, 5, 15, 25])),
        )
        user.groups.set(chance.sample(groups, chance.randrange(3)))
        users.append(user)
    sent: list[Notification] = []
    for number in range(30):
        kind: Any = chance.choice([Audience.EVERYONE, STAFF, *groups, None])
        if kind is None:
            sent.append(notify(chance.choice(users), f"n{number}"))
        else:
            excluded = chance.sample(users, chance.choice([0, 0, 0, 3]))
            sent.append(broadcast(f"n{number}", audience=kind, exclude=excluded))
        Notification.objects.filter(pk=sent[-1].pk).update(
            created_at=start + timedelta(minutes=number)
        )
        if chance.random() < 0.8:
            number_all()
        user = chance.choice(users)
        some = [row.pk for row in chance.sample(sent, min(len(sent), 4))]
        chance.choice([mark_read, mark_read, mark_unread, archive])(user, some)  # type: ignore[operator]  # one signature
        if chance.random() < 0.4:
            mark_read(chance.choice(users), up_to=chance.randrange(1, get_head() + 2))
    recall(chance.sample(sent, 2))
    assert figures_of(rows()) == counted_one_by_one()
    number_all()
    expected = counted_one_by_one()
    assert figures_of(rows()) == expected
    assert sum(figures.read or 0 for figures in expected.values()) > 5, "nothing is tested"
    page = rows()[5:12]  # a page counts as the whole does
    assert figures_of(page) == {row.pk: expected[row.pk] for row in page if row.recalled_at is None}


def test_what_is_recalled_has_no_figures_and_what_nobody_may_see_reaches_nobody(
    alice: User,
) -> None:
    row = notify(alice, "one")
    recall(notify(alice, "two"))
    alice.is_active = False
    alice.save()
    assert figures_of(rows()) == {row.pk: Figures(reach=0, read=0)}


def test_the_number_of_queries_does_not_depend_on_that_of_rows(
    alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    counts = []
    for number in range(3):
        for _ in range(40 * number + 1):
            group = Group.objects.create(name=str(Group.objects.count()))
            group.user_set.add(alice)
            for audience in (Audience.EVERYONE, Audience.STAFF, group):
                broadcast("b", audience=audience)
            notify(alice, "n")
        number_all()
        marks.mark_read(alice, up_to=get_head())
        page = rows()
        with django_assert_max_num_queries(7) as made:
            figures_of(page)
        counts.append(len(made))
    assert counts == [7, 7, 7]


@pytest.mark.skipif(
    connection.vendor != "sqlite",
    reason="PostgreSQL reads a short table as a whole, whatever its indexes",
)
def test_what_a_page_asks_of_long_tables_is_found_by_their_indexes(alice: User) -> None:
    group = Group.objects.create(name="editors")
    for audience in (Audience.EVERYONE, Audience.STAFF, group):
        broadcast("b", audience=audience)
    notify(alice, "n")
    number_all()
    with CaptureQueriesContext(connection) as made:
        figures_of(rows())
    plans = []
    with connection.cursor() as cursor:
        for query in made.captured_queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plans += [step[-1] for step in cursor.fetchall()]
    found = {
        table: [plan for plan in plans if table in plan]
        for table in ("sse_notify_receipt", "sse_notify_exclusion")
    }
    for table, steps in found.items():
        assert steps
        assert all(re.match(rf"SEARCH ({table}|U\d) USING INDEX", step) for step in steps), steps
