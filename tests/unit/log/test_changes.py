"""An inbox tells its pages its newest change, or to fetch it again; no change is ever lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DataError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from sse_notify import archive, mark_read, mark_seen, notify
from sse_notify.bus.messages import Entry
from sse_notify.inbox import marks
from sse_notify.log import reader as log_reader
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import get_head, has_pending, number_pending
from sse_notify.models import Inbox, LogHead, Notification, state
from sse_notify.models.counts import Owner, count
from sse_notify.topics import topics_of, user_topic
from tests.asgi.client import events

pytestmark = pytest.mark.django_db


def number() -> int:
    """Number all that is pending, as happens after a commit; return the head."""
    list(number_pending())
    return get_head()


def told(
    user: User, after: int, up_to: int, *, limit: int = 100, reader: Reader | None = None
) -> tuple[list[Any], int]:
    """Return what one read tells ``user``: (what, ids, the cursor after it), and how far it is complete."""
    entries, complete = read_entries(after, up_to, limit=limit, reader=reader)
    numbers = [entry.seq for entry in entries]
    assert numbers == sorted(numbers)
    assert all(after < seq <= complete for seq in numbers), "no cursor passes what is not read yet"
    found = []
    for entry in entries:
        for name, data, id in events(entry.frame) if entry.topic == user_topic(user.pk) else ():
            if name == "update":
                assert data["state_seq"] == entry.seq
                found.append((data["set"], data.get("ids"), id))
            elif name == "reset":
                assert (data["reason"], data["cursor"]) == ("state", entry.seq)
                found.append(("reset", None, id))
    return found, complete


def test_a_page_that_heard_the_change_before_hears_the_newest(alice: User) -> None:
    one, two = notify(alice, "1"), notify(alice, "2")
    before = number()
    marks.mark_read(alice, ids=[one.pk], client="tab-1")
    first = number()
    assert told(alice, before, first) == ([("read", [one.pk], str(first))], first)
    marks.archive(alice, ids=[two.pk], client="tab-2")
    second = number()
    assert told(alice, first, second) == ([("archived", [two.pk], str(second))], second)
    ((frame, *_), _) = read_entries(first, second, limit=10)
    assert events(frame.frame)[0][1].items() >= {"client": "tab-2", "unread": 0}.items()


def test_a_page_that_missed_more_than_the_newest_change_fetches_the_inbox_again(
    alice: User,
) -> None:
    row = notify(alice, "1")
    heads = [number()]
    for mark in (marks.mark_read, marks.mark_unread, marks.archive):
        mark(alice, ids=[row.pk])
        heads.append(number())
    last = heads[-1]
    reset, archived = ("reset", None, str(last)), ("archived", [row.pk], str(last))
    assert [told(alice, head, last)[0] for head in heads] == [[reset], [reset], [archived], []]


@pytest.mark.parametrize("later", ["numbered", "waiting"])
def test_a_change_that_was_overwritten_while_a_hub_looked_is_not_lost(
    alice: User, later: str
) -> None:
    """A hub asks for the head, another change comes, and the hub reads up to the head it knows."""
    one, two = notify(alice, "1"), notify(alice, "2")
    before = number()
    marks.mark_read(alice, ids=[one.pk])
    first = number()
    marks.mark_read(alice, ids=[two.pk])
    if later == "numbered":
        number()
    assert told(alice, before, first) == ([("reset", None, str(first))], first)
    second = number()
    assert told(alice, first, second) == ([("read", [two.pk], str(second))], second)


@pytest.mark.parametrize("whose", ["a hub's", "a client's"])
def test_each_page_of_a_read_tells_its_own_changes(alice: User, whose: str) -> None:
    reader = (
        Reader(topics=(f"user:{alice.pk}",), user_id=alice.pk) if whose == "a client's" else None
    )
    one = notify(alice, "1")
    before = number()
    marks.mark_read(alice, ids=[one.pk])
    first = number()
    notify(alice, "2")
    middle = number()
    marks.mark_unread(alice, ids=[one.pk])
    last = number()
    assert told(alice, before, last, limit=1, reader=reader) == (
        [("reset", None, str(first))],
        middle,
    )
    assert told(alice, middle, last, limit=1, reader=reader) == (
        [("unread", [one.pk], str(last))],
        last,
    )


def test_whatever_the_order_a_page_ends_up_with_the_inbox_as_it_is(alice: User, bob: User) -> None:
    resets = updates = 0
    for seed in range(30):
        random = Random(seed)
        rows = [notify(alice, str(index)) for index in range(8)]
        other = notify(bob, "Of another inbox, whose changes share the pages")
        shown = {row.pk: True for row in rows}  # what the page shows as unread
        cursor = head = number()
        marked = 0
        while marked < 15 or has_pending() or cursor < get_head():
            choice = random.random()
            if choice < 0.3 and marked < 15:
                verb = marks.mark_unread if random.random() < 0.5 else marks.mark_read
                verb(alice, ids=[random.choice(rows).pk], client=random.choice(["", "a"]))
                marked += 1
            elif choice < 0.4 and marked < 15:
                shown[notify(alice, "Between").pk] = True
                (marks.mark_read if marked % 2 else marks.mark_unread)(bob, ids=[other.pk])
            elif choice < 0.6:
                number()
            elif choice < 0.8:
                # What is numbered between this and the next read is not its business.
                head = get_head()
            elif cursor < head:
                found, cursor = told(alice, cursor, head, limit=random.randint(1, 3))
                for what, ids, _ in found:
                    if what == "reset":
                        resets += 1
                        visible = Notification.objects.visible_to(alice)
                        shown = {row.pk: row.is_unread for row in visible}
                    else:
                        updates += 1
                        shown |= dict.fromkeys(ids, what == "unread")
        visible = Notification.objects.visible_to(alice)
        assert shown == {row.pk: row.is_unread for row in visible}, f"seed {seed}"
        Notification.objects.all().delete()
    assert min(resets, updates) > 10, "both ways are tried"


def test_changes_alike_that_wait_for_one_number_are_told_as_one(alice: User) -> None:
    first, second = notify(alice, "1"), notify(alice, "2")
    head = number()
    marks.mark_read(alice, ids=[first.pk])
    marks.mark_read(alice, ids=[second.pk, first.pk])
    both = number()
    assert told(alice, head, both)[0] == [("read", [first.pk, second.pk], str(both))]
    marks.mark_seen(alice, up_to=head - 1)
    marks.archive(alice, up_to=head - 1)
    assert told(alice, both, number())[0] == [("reset", None, str(both + 1))]
    marks.archive(alice, up_to=head)
    marks.archive(alice, up_to=both)
    number()
    assert Inbox.objects.get().changes == [
        {"set": "archived", "up_to": both, "client": "", "after": both + 1}
    ]


@pytest.mark.parametrize(
    "second",
    [
        lambda user, row: archive(user, ids=[row.pk], client="a tab"),
        lambda user, row: mark_seen(user, ids=[row.pk], client="another tab"),
        lambda user, row: mark_seen(user, up_to=row.seq, client="a tab"),
    ],
    ids=["another set", "another client", "by number"],
)
def test_changes_that_differ_and_wait_for_one_number_become_a_reset(
    alice: User, second: Callable[[User, Notification], None]
) -> None:
    first, row = notify(alice, "1"), notify(alice, "2")
    head = number()
    row.refresh_from_db()
    mark_seen(alice, ids=[first.pk], client="a tab")
    second(alice, row)
    assert told(alice, head, number())[0] == [("reset", None, str(head + 1))]


def test_a_mark_of_more_ids_than_an_update_holds_becomes_a_reset(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "IDS_PER_CHANGE", 4)
    rows = [notify(alice, f"n{index}").pk for index in range(10)]
    head = number()
    marks.mark_read(alice, ids=rows[:4])
    assert told(alice, head, head := number())[0] == [("read", rows[:4], str(head))]
    marks.mark_read(alice, ids=rows[4:])
    assert told(alice, head, head := number())[0] == [("reset", None, str(head))]
    marks.mark_unread(alice, ids=rows[:3])
    marks.mark_unread(alice, ids=rows[3:6])
    assert told(alice, head, head := number())[0] == [("reset", None, str(head))]
    assert marks.unread_count(alice) == 6


def test_the_queries_that_number_and_tell_inboxes_do_not_grow_with_the_inboxes() -> None:
    users = User.objects.bulk_create(User(username=f"u{index}") for index in range(50))
    users = list(User.objects.order_by("pk"))
    counts = []
    for many in (users[:20], users):
        for row in notify(many, "Hello"):
            row.refresh_from_db()
        before = number()
        for index, user in enumerate(many):
            mark_read(user, up_to=before - (index % 2))
        with CaptureQueriesContext(connection) as numbering:
            (batch,) = number_pending()
        with CaptureQueriesContext(connection) as repairing:
            entries, complete = read_entries(before, before + len(many), limit=1000)
        assert [entry.frame for entry in entries] == [entry.frame for entry in batch.entries]
        assert complete == batch.last == before + len(many)
        for entry, user in zip(entries, many, strict=True):
            ((_, data, _),) = events(entry.frame)
            owner = Owner(user.pk, topics_of(user), user.date_joined, entry.seq)
            (expected,) = count([owner], "default")
            assert (entry.topic, data["unread"], data["unseen"]) == (f"user:{user.pk}", *expected)
        counts.append((len(numbering), len(repairing)))
    assert counts[0] == counts[1]


def test_a_change_of_a_user_who_is_deleted_in_this_moment_stops_nobody(
    alice: User, bob: User
) -> None:
    notify([alice, bob], "Hello")
    head = number()
    mark_read(alice, up_to=head)
    mark_read(bob, up_to=head)
    last = number()
    found = list(Inbox.objects.filter(state_seq__gt=head))
    bob.delete()
    (entry,) = log_reader.changed(found, head, last)
    assert (entry.topic, entry.seq) == (f"user:{alice.pk}", last - 1)


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(),
        DataError(),
        OperationalError(),
        RecursionError(),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("place", ["is_staff", "date_joined", "from_db"])
def test_whatever_the_users_own_code_raises_makes_a_reset_of_that_users_change_alone(
    place: str,
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if place == "from_db" and isinstance(error, OperationalError):
        pytest.skip("that is a database that is away")
    users = [User.objects.create_user(f"user{index}") for index in range(9)]
    odd, today = users[4].pk, users[4].date_joined
    before = marked_by(users)
    real = User.from_db.__func__  # type: ignore[attr-defined]

    def from_db(cls: Any, *args: Any, **named: Any) -> Any:  # Django 6.1 has one more
        row = real(cls, *args, **named)
        if row.pk == odd:
            raise error
        return row

    def value(user: User) -> Any:
        if user.pk == odd:
            raise error
        return {"is_staff": False, "date_joined": today}[place]

    if place == "from_db":
        monkeypatch.setattr(User, place, classmethod(from_db))
    else:
        monkeypatch.setattr(User, place, property(value, lambda *_: None))
    (batch,) = number_pending()
    assert [names_of(entry) for entry in batch.entries] == ["update"] * 4 + ["reset"] + [
        "update"
    ] * 4
    assert [record.name for record in caplog.records].count("sse_notify") == 1
    entries, _ = read_entries(before, batch.last, limit=100)
    assert [entry.frame for entry in entries] == [entry.frame for entry in batch.entries]


@pytest.mark.django_db(transaction=True)  # PostgreSQL ends a transaction with the first error
@pytest.mark.parametrize("joined", ["yesterday", datetime(1, 1, 1, tzinfo=UTC), 5], ids=str)
def test_a_day_of_joining_that_no_database_takes_makes_a_reset_of_that_users_change_alone(
    joined: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [User.objects.create_user(f"user{index}") for index in range(3)]
    today = users[0].date_joined
    before = marked_by(users)
    odd = property(lambda user: joined if user.pk == users[1].pk else today, lambda *_: None)
    monkeypatch.setattr(User, "date_joined", odd)
    names = [names_of(entry) for entry in read_entries(before, get_head(), limit=100)[0]]
    assert (names[0], names[2]) == ("update", "update")
    assert names[1] in ("update", "reset"), "some databases take it"


def marked_by(users: list[User]) -> int:
    """Let each of ``users`` mark all as read; return the head before these changes are numbered."""
    for row in notify(users, "Hello"):
        row.refresh_from_db()
    before = number()
    for user in users:
        mark_read(user, up_to=before)
    return before


def names_of(entry: Entry) -> str:
    """Return the names of the events of ``entry``."""
    return " ".join(name for name, _, _ in events(entry.frame))


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each inbox that was fetched."""
    sizes: list[int] = []
    from_db: Any = Inbox.from_db

    def counted(cls: Any, /, db: Any, names: Any, values: Any, **more: Any) -> Any:
        sizes.append(sum(len(str(value)) for value in values))
        return from_db.__func__(cls, db, names, values, **more)

    monkeypatch.setattr(Inbox, "from_db", classmethod(counted))
    return sizes


def large(first: int, numbers_before: list[int]) -> None:
    """Store an inbox for each of ``numbers_before``, the number of its change before; the newest begins at ``first``."""
    users = [User(username=f"u{first}.{index}") for index in range(len(numbers_before))]
    change = {"set": "read", "ids": list(range(1_000_000, 1_001_000)), "client": ""}
    Inbox.objects.bulk_create(
        Inbox(user=user, state_seq=first + index, changes=[{**change, "after": before}])
        for index, (user, before) in enumerate(
            zip(User.objects.bulk_create(users), numbers_before, strict=True)
        )
    )
    head = first + len(numbers_before) - 1
    LogHead.objects.update_or_create({"seq": head}, pk=1)


@pytest.mark.parametrize(("limit", "most"), [(500, 10), (4, 4)])
def test_a_page_of_changes_is_bounded_in_bytes_and_in_number(
    monkeypatch: pytest.MonkeyPatch, fetched: list[int], limit: int, most: int
) -> None:
    monkeypatch.setattr(log_reader, "PAGE_BYTES", 100_000)
    large(1, [0] * 40)
    for seq in range(41, 61):
        Notification.objects.create(topic="everyone", seq=seq, title=str(seq), body="x" * 9_000)
    cursor, seqs = 0, []
    while cursor < 60:
        fetched.clear()
        entries, cursor = read_entries(cursor, 60, limit=limit)
        seqs += [entry.seq for entry in entries]
        assert len(entries) <= most
        assert len(fetched) <= most
        assert (
            sum(fetched) + sum(len(each.frame) for each in entries if each.topic == "everyone")
            < 110_000
        )
    assert seqs == list(range(1, 61))


def test_changes_that_were_overwritten_later_are_told_without_fetching_the_later_ones(
    fetched: list[int],
) -> None:
    large(101, list(range(1, 41)))
    entries, complete = read_entries(0, 140, limit=4)
    assert (complete, len(fetched)) == (104, 4)
    assert [entry.seq for entry in entries] == [*range(5, 41), 101, 102, 103, 104]
    assert {names_of(entry) for entry in entries} == {"reset"}
    fetched.clear()
    entries, complete = read_entries(50, 60, limit=4)
    assert (entries, complete, fetched) == ([], 60, [])


READ: dict[str, Any] = {"set": "read", "ids": [1], "client": ""}
SEEN: dict[str, Any] = {"set": "seen", "up_to": 1, "client": ""}
#: What an older version kept, the inbox's number, and what pages are told that heard all up to 0,
#: 5 and 10.
LISTS: list[tuple[list[dict[str, Any]], int | None, list[str]]] = [
    ([], None, []),
    ([READ | {"seq": 8}], 8, ["read", "read"]),
    ([SEEN | {"seq": 4}, READ | {"seq": 8}], 8, ["reset", "read"]),
    ([READ | {"seq": 8}, SEEN | {"seq": 8}], 8, ["reset", "reset"]),
    ([{"set": "lost", "seq": 8}], 8, ["reset", "reset"]),
    ([{"set": "lost", "seq": 4}, READ | {"seq": 8}], 8, ["reset", "read"]),
    ([READ], 8, ["read", "read"]),
    ([SEEN | {"seq": 4}, READ], None, ["reset", "read", "read"]),
    ([READ, SEEN], None, ["reset", "reset", "reset"]),
]


@pytest.mark.parametrize(("kept", "state_seq", "expected"), LISTS)
def test_what_an_older_version_kept_is_told_and_goes_on(
    alice: User, kept: list[dict[str, Any]], state_seq: int | None, expected: list[str]
) -> None:
    """Beside this version, during an upgrade, or before it."""
    Inbox.objects.create(user=alice, state_seq=state_seq, changes=kept)
    LogHead.objects.update_or_create({"seq": 10}, pk=1)
    head = number()
    found = [what for after in (0, 5, 10) for what, _, _ in told(alice, after, head)[0]]
    assert found == expected
    notify(alice, "x")
    mark_seen(alice, up_to=number())
    assert [what for what, _, _ in told(alice, head, number())[0]] == ["seen"]


@pytest.mark.parametrize(
    "changes",
    [
        [5],
        ["x"],
        {"a": 1},
        "x",
        5,
        [[]],
        [{"set": "read", "ids": [1], "after": None}],
        [{"set": "read", "ids": [1], "after": "x"}],
        [{"set": "read", "ids": 5, "after": 0}],
        [{"set": "read", "up_to": "x", "after": 0}],
        [{"seq": "x"}, {"seq": "y"}],
    ],
    ids=str,
)
def test_a_change_that_was_written_by_hand_is_a_reset_and_stops_nobody(
    alice: User, bob: User, changes: Any
) -> None:
    rows = [notify(user, "Hello") for user in (alice, bob)]
    number()
    mark_read(alice, [rows[0].pk])
    before = number()
    Inbox.objects.filter(pk=alice.pk).update(changes=changes)
    mark_read(bob, [rows[1].pk])
    head = number()
    assert ("read", [rows[1].pk], str(head)) in told(bob, 0, head)[0]
    mark_seen(alice, up_to=before)
    mark_read(alice, up_to=before)
    number()
