"""What an inbox costs a PostgreSQL at 100,000 notifications for one user, 1,000 broadcasts and 400,000 rows of others.

The plans are held as PostgreSQL makes them, by the rows and the blocks that they touch. ``pytest -s`` shows them: docs/explanation/plans.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.template import engines
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sse_notify.inbox import marks
from sse_notify.models import Inbox, LogHead, Notification, Receipt
from sse_notify.models.paging import Place
from sse_notify.models.querysets import NotificationQuerySet

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]

OWN, BROADCASTS = 100_000, 1_000
#: Users who have as many each. Were half of the log hers, to read all of it would be a way, too.
SHARE = 5
HEAD = SHARE * OWN + BROADCASTS
#: Blocks of 8 KB: a few megabytes, mostly of the index's upper levels again and again; and what all rows and the indexes come to.
FEW, MANY = 400, 20_000
#: Of the newest, not yet read.
FRESH = 50

# Everybody's alternate, the broadcasts follow. All other columns have their defaults.
_VALUES = {
    "seq": "n",
    "topic": """CASE WHEN n > %(own)s THEN 'everyone' WHEN n %% 5 = 0 THEN %(alice)s
        WHEN n %% 5 = 1 THEN %(bob)s ELSE 'user:-' || n %% 5 END""",
    "audience": "CASE WHEN n > %(own)s THEN 'everyone' ELSE 'user' END",
    "category": "'c' || n %% 7",
    "created_at": "now() + n * interval '1 ms'",
    "title": "'n'",
}


def fill(cursor: Any, **values: int | str) -> None:
    """Insert the rows with one statement."""
    columns: list[Any] = [
        each for each in Notification._meta.concrete_fields if not each.primary_key
    ]
    given = {each.column: _VALUES.get(each.name, f"%({each.column})s") for each in columns}
    defaults = {
        each.column: each.get_db_prep_save(each.get_default(), connection)
        for each in columns
        if each.name not in _VALUES
    }
    table, names = Notification._meta.db_table, ", ".join(given)
    rows = f"SELECT {', '.join(given.values())} FROM generate_series(1, %(head)s) n"
    cursor.execute(f"INSERT INTO {table} ({names}) {rows}", {**defaults, **values})


@pytest.fixture(scope="module")
def log_of_many(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Committed and vacuumed, as a log is that has been there for a while; nothing of it is left behind."""
    with django_db_blocker.unblock():
        alice, bob = (User.objects.create_user(name) for name in ("alice", "bob"))
        with connection.cursor() as cursor:
            topics = {"alice": f"user:{alice.pk}", "bob": f"user:{bob.pk}"}
            fill(cursor, own=SHARE * OWN, head=HEAD, **topics)
            cursor.execute("VACUUM ANALYZE")
        LogHead.objects.update_or_create(pk=1, defaults={"seq": HEAD})
    yield
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE sse_notify_notification CASCADE")
        LogHead.objects.filter(pk=1).delete()
        User.objects.all().delete()


@pytest.fixture
def alice(log_of_many: None, db: None) -> User:
    return User.objects.get(username="alice")


def plan_of(query: str) -> dict[str, Any]:
    """Return the plan of a query as it was run, a second time: the first may find blocks that nobody has read since they were written."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE) {query}")
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}")
        found: dict[str, Any] = cursor.fetchone()[0][0]
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def rows_touched(plan: dict[str, Any]) -> float:
    """Return how many rows of the log a plan fetched, those that it threw away included; none of them by reading the whole table."""
    scans = [
        node
        for node in nodes(plan["Plan"])
        if node.get("Relation Name") == "sse_notify_notification"
    ]
    assert scans
    assert not [node for node in scans if node["Node Type"] == "Seq Scan"]
    found: float = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in scans
    )
    return found


def blocks_touched(plan: dict[str, Any]) -> int:
    """Return how many blocks of 8 KB a plan looked at, of tables and indexes; one that it came back to counts again."""
    found: int = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    return found


def first_plan(name: str, work: Callable[[], Any]) -> dict[str, Any]:
    """Run ``work`` and return the plan of its first query of the log; print it, and what it costs."""
    with CaptureQueriesContext(connection) as captured:
        work()
    sql = next(
        query["sql"]
        for query in captured.captured_queries
        if '"sse_notify_notification"' in query["sql"]
    )
    plan = plan_of(sql)
    print(
        f"\n{name}: {rows_touched(plan):,.0f} rows, {blocks_touched(plan):,} blocks, {plan['Execution Time']:.2f} ms\n"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {sql}")
        print("\n".join(line for (line,) in cursor))
    return plan


def queries_of_the_log(captured: CaptureQueriesContext) -> list[str]:
    found = [
        query["sql"]
        for query in captured.captured_queries
        if '"sse_notify_notification"' in query["sql"]
    ]
    assert found
    return found


def test_an_inbox_of_100_000_is_counted_marked_and_paged_by_short_ranges_of_the_indexes(
    alice: User,
) -> None:
    # One mark for all: a row of the inbox, whatever the number of notifications, and no receipt.
    with CaptureQueriesContext(connection) as captured:
        marks.mark_read(alice, up_to=HEAD - FRESH)
    writes = [
        query["sql"]
        for query in captured.captured_queries
        if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))
    ]
    assert not [sql for sql in writes if "sse_notify_notification" in sql.split("WHERE")[0]], writes
    assert (Inbox.objects.count(), Receipt.objects.count()) == (1, 0)

    # The counts touch what is above the watermark, and the few that override it below.
    own = (
        Notification.objects.filter(topic=f"user:{alice.pk}")
        .order_by("seq")
        .values_list("pk", flat=True)
    )
    marks.archive(alice, up_to=400)
    marks.mark_unread(alice, ids=own[300:307])
    marks.unarchive(alice, ids=own[:5])
    marks.mark_unread(alice, ids=own[:2])
    with CaptureQueriesContext(connection) as captured:
        assert marks.counts(alice) == (FRESH + 7 + 2, FRESH)
    assert len(captured) == 2
    plan = first_plan("counts", lambda: marks.counts(alice))
    assert rows_touched(plan) < 500
    assert blocks_touched(plan) < FEW

    # A page touches its own rows: not those of others, and not what the user got before or after.
    rows = Notification.objects.visible_to(alice)

    bob = User.objects.get(username="bob")

    def page(
        name: str,
        part: NotificationQuerySet[Notification],
        *,
        below: int = HEAD + 1,
        blocks: int = MANY,
    ) -> float:
        found: list[Notification] = []
        plan = first_plan(name, lambda: found.extend(part.newest(21, Place(below))))
        wanted = part.filter(seq__lt=below).order_by("-seq")[:21]
        assert [row.pk for row in found] == [row.pk for row in wanted]
        assert blocks_touched(plan) < blocks
        return rows_touched(plan)

    # One screen of the user's own, and at most all broadcasts: so few, PostgreSQL may rather sort them.
    one_screen, all_of_it = BROADCASTS + 500, OWN + BROADCASTS + 500
    assert page("first page", rows, blocks=FEW) <= one_screen
    plan = first_plan("first page, with what waits", lambda: list(rows.newest(21, Place.top(HEAD))))
    assert rows_touched(plan) <= one_screen
    assert blocks_touched(plan) < FEW
    assert page("in the middle", rows, below=HEAD // 2, blocks=FEW) <= one_screen
    assert page("archived, the last", rows.archived(), below=100 * SHARE, blocks=FEW) <= one_screen
    # What is rare in the inbox is looked for in all of it, but never among the rows of others.
    assert page("of a category", rows.filter(category="c3")) <= all_of_it
    assert page("unread, of which there are few", rows.unread()) <= all_of_it
    assert (
        page("archived, of which there are none", Notification.objects.visible_to(bob).archived())
        <= all_of_it
    )

    # A user with little mail does not pay for the log of others either.
    client = Client()
    client.force_login(User.objects.create_user("carol"))
    for state in ("", "unread", "archived"):
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse("sse_notify:items"), {"state": state}).status_code == 200
        for sql in queries_of_the_log(captured):
            assert rows_touched(plan_of(sql)) <= 3 * BROADCASTS, sql


def test_the_bell_of_every_page_does_not_look_for_items_among_those_of_others(alice: User) -> None:
    """Not even where nothing stops the search early: bob has put all of his away."""
    bob = User.objects.get(username="bob")
    marks.archive(bob, up_to=HEAD)
    bell = engines["django"].from_string("{% load sse_notify %}{% sse_notify_widget %}")
    with CaptureQueriesContext(connection) as captured:
        assert 'data-ssen-item="1' not in bell.render({"user": bob})
    for sql in queries_of_the_log(captured):
        assert rows_touched(plan_of(sql)) <= OWN + BROADCASTS + 500, sql
