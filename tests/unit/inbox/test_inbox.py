"""What is unread, unseen and archived, by watermarks and by receipts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import connection, transaction
from django.db.models import prefetch_related_objects
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

import sse_notify
from sse_notify import STAFF, broadcast, notify, recall
from sse_notify.inbox import marks as inbox
from sse_notify.inbox import preferences
from sse_notify.log.announcing import announce
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import get_head, number_pending
from sse_notify.models import Inbox, Notification, Receipt
from sse_notify.models.counts import Owner, count
from sse_notify.topics import topics_of
from tests.asgi.client import events

pytestmark = pytest.mark.django_db


def counts_up_to(user: User, up_to: int) -> tuple[int, int]:
    """Return how many are unread and unseen of what is numbered up to ``up_to``, as ``hello`` counts."""
    return count([Owner(user.pk, topics_of(user), user.date_joined, up_to)], "default")[0]


def number() -> int:
    """Number what is pending, as happens after a commit; return the head."""
    announce()
    return get_head()


def ids(rows: Iterable[Notification]) -> list[int]:
    return [row.pk for row in rows]


def unread(user: User) -> set[str]:
    return {row.title for row in Notification.objects.visible_to(user).unread()}


def unseen(user: User) -> set[str]:
    return {row.title for row in Notification.objects.visible_to(user).unseen()}


def newest(user: User) -> dict[str, Any] | None:
    """Return the inbox's newest change."""
    changes: list[dict[str, Any]] = Inbox.objects.get(pk=user.pk).changes
    return changes[0] if changes else None


def told(user: User, after: int) -> list[str]:
    """Return what a page that has heard all up to ``after`` is told of the inbox, or why it has to start over."""
    entries, _ = read_entries(after, get_head(), limit=100)
    blocks = events(b"".join(entry.frame for entry in entries if entry.topic == f"user:{user.pk}"))
    return [
        data.get("set") or data["reason"] for name, data, _ in blocks if name in ("update", "reset")
    ]


# --- who sees what -----------------------------------------------------------------------------------------------------------


def test_a_user_sees_own_notifications_and_nobody_elses(alice: User, bob: User) -> None:
    mine, _ = notify([alice, bob], "Hello")
    assert ids(Notification.objects.visible_to(alice)) == [mine.pk]
    assert inbox.counts(alice) == (1, 1)


def test_broadcasts_reach_those_who_belong_to_the_audience_when_reading(
    alice: User, bob: User
) -> None:
    group = Group.objects.create(name="editors")
    broadcast("to staff", audience=STAFF)
    broadcast("to editors", audience=group)
    broadcast("to all")
    broadcast("to all but alice", exclude=[alice])
    assert unread(alice) == {"to all"}
    alice.groups.add(group)
    alice.is_staff = True
    assert unread(alice) == {"to all", "to editors", "to staff"}
    assert inbox.unread_count(alice) == 3
    alice.groups.remove(group)
    assert unread(alice) == {"to all", "to staff"}
    assert unread(bob) == {"to all", "to all but alice"}


def test_a_broadcast_sent_before_the_user_joined_is_not_theirs() -> None:
    broadcast("old news")
    newcomer = User.objects.create_user(
        "newcomer", date_joined=timezone.now() + timedelta(seconds=1)
    )
    assert inbox.counts(newcomer) == (0, 0)
    # What was addressed to the user by name is, whatever the clocks of two machines say.
    notify(newcomer, "welcome")
    assert unread(newcomer) == {"welcome"}


def test_what_has_expired_is_neither_listed_nor_counted_nor_marked(alice: User) -> None:
    gone = notify(alice, "gone", expires_at=timezone.now() - timedelta(seconds=1))
    notify(alice, "soon", expires_at=timezone.now() + timedelta(hours=1))
    assert unread(alice) == {"soon"}
    assert inbox.counts(alice) == (1, 1)
    inbox.mark_read(alice, ids=[gone.pk])
    assert not Receipt.objects.exists()


def test_an_anonymous_visitor_has_an_empty_inbox() -> None:
    broadcast("to all")
    nobody = AnonymousUser()
    for rows in (
        Notification.objects.visible_to(nobody),
        Notification.objects.visible_to(nobody).unread().archived(),
    ):
        assert list(rows) == []
    assert inbox.counts(nobody) == (0, 0)


def test_pending_rows_are_visible_and_unread_as_in_a_test_case_nothing_commits(alice: User) -> None:
    row = notify(alice, "Hello")
    assert row.seq is None
    assert unread(alice) == unseen(alice) == {"Hello"}
    inbox.mark_read(alice, ids=[row.pk])
    assert inbox.counts(alice) == (0, 0)


# --- marks by id -------------------------------------------------------------------------------------------------------------


def test_reading_by_id_is_seen_too_and_touches_no_other_row(alice: User) -> None:
    first, second = notify(alice, "first"), notify(alice, "second")
    inbox.mark_read(alice, ids=[first.pk])
    assert unread(alice) == unseen(alice) == {"second"}
    receipt = Receipt.objects.get()
    assert receipt.notification_id == first.pk != second.pk
    assert receipt.read_at == receipt.seen_at
    assert receipt.unread_at is receipt.archived_at is None


def test_seen_is_not_read_and_reading_keeps_when_it_was_seen(alice: User) -> None:
    row = notify(alice, "Hello")
    inbox.mark_seen(alice, ids=[row.pk])
    assert inbox.counts(alice) == (1, 0)
    seen_at = Receipt.objects.get().seen_at
    inbox.mark_read(alice, ids=[row.pk])
    receipt = Receipt.objects.get()
    assert receipt.seen_at == seen_at
    assert receipt.read_at is not None
    assert seen_at is not None
    assert receipt.read_at > seen_at


def test_unread_again_stays_seen(alice: User) -> None:
    row = notify(alice, "Hello")
    inbox.mark_read(alice, ids=[row.pk])
    inbox.mark_unread(alice, ids=[row.pk])
    assert inbox.counts(alice) == (1, 0)


def test_a_row_marked_while_pending_keeps_its_mark_when_it_is_numbered(alice: User) -> None:
    row = notify(alice, "Hello")
    inbox.mark_read(alice, ids=[row.pk])
    number()
    assert inbox.counts(alice) == (0, 0)


def test_ids_of_others_and_ids_of_nothing_are_ignored(alice: User, bob: User) -> None:
    other = notify(bob, "for bob")
    hidden = broadcast("not for alice", exclude=[alice])
    for mark in (
        inbox.mark_read,
        inbox.mark_unread,
        inbox.mark_seen,
        inbox.archive,
        inbox.unarchive,
    ):
        mark(alice, ids=[other.pk, hidden.pk, 999_999_999, 2**63 - 1])
    assert not Receipt.objects.exists()
    assert newest(alice) is None
    assert inbox.counts(bob) == (2, 2)


def test_a_broadcast_has_no_row_for_anybody_who_did_not_touch_it(alice: User, bob: User) -> None:
    row = broadcast("to all")
    assert not Receipt.objects.exists()
    inbox.mark_read(alice, ids=[row.pk])
    assert Receipt.objects.count() == 1
    assert (inbox.unread_count(alice), inbox.unread_count(bob)) == (0, 1)


# --- marks by up_to ----------------------------------------------------------------------------------------------------------


def test_mark_all_moves_a_watermark_and_writes_no_row_for_a_notification(
    alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for index in range(50):
        notify(alice, f"n{index}")
    head = number()
    with django_assert_max_num_queries(12):
        inbox.mark_read(alice, up_to=head)
    assert inbox.counts(alice) == (0, 0)
    assert not Receipt.objects.exists()


def test_what_arrives_while_all_is_marked_read_stays_unread(alice: User) -> None:
    notify(alice, "on the page")
    rendered = number()
    notify(alice, "arrived meanwhile")
    number()
    notify(alice, "still pending")
    inbox.mark_read(alice, up_to=rendered)
    assert unread(alice) == unseen(alice) == {"arrived meanwhile", "still pending"}


def test_up_to_beyond_the_head_is_cut_to_it(alice: User) -> None:
    notify(alice, "numbered")
    head = number()
    notify(alice, "pending")
    inbox.mark_read(alice, up_to=2**63 - 1)
    assert Inbox.objects.get(pk=alice.pk).read_up_to == head
    assert unread(alice) == {"pending"}
    number()
    assert unread(alice) == {"pending"}


def test_up_to_never_marks_what_is_pending(alice: User) -> None:
    notify(alice, "pending")
    for mark in (inbox.mark_read, inbox.mark_seen, inbox.archive):
        mark(alice, up_to=100)
    assert inbox.counts(alice) == (1, 1)


def test_a_watermark_never_goes_back(alice: User) -> None:
    notify(alice, "first")
    low = number()
    notify(alice, "second")
    inbox.mark_read(alice, up_to=number())
    inbox.mark_read(alice, up_to=low)
    assert unread(alice) == set()


def test_seen_up_to_leaves_everything_unread(alice: User) -> None:
    notify(alice, "Hello")
    inbox.mark_seen(alice, up_to=number())
    assert inbox.counts(alice) == (1, 0)


def test_unread_below_the_watermark_overrides_it_until_the_next_mark_covers_it(alice: User) -> None:
    first, second = notify(alice, "first"), notify(alice, "second")
    head = number()
    inbox.mark_read(alice, up_to=head)
    inbox.mark_unread(alice, ids=[first.pk, second.pk])
    second.refresh_from_db()
    assert inbox.counts(alice) == (2, 0)
    assert first.pk < second.pk
    inbox.mark_read(alice, up_to=(second.seq or 0) - 1)
    assert unread(alice) == {"second"}
    inbox.mark_read(alice, ids=[second.pk])
    assert inbox.counts(alice) == (0, 0)
    assert Receipt.objects.get(notification=first).read_at is not None


def test_archived_rows_are_left_out_unless_asked_for_in_any_order_of_the_chain(alice: User) -> None:
    put_away, kept = notify(alice, "put away", category="a"), notify(alice, "kept", category="a")
    inbox.archive(alice, ids=[put_away.pk])
    rows = Notification.objects.visible_to(alice)
    assert ids(rows) == [kept.pk]
    assert inbox.counts(alice) == (1, 1)
    for archived in (
        rows.archived(),
        rows.filter(category="a").archived(),
        rows.archived().filter(category="a"),
        rows.unread().archived(),
        Notification.objects.filter(category="a")
        .visible_to(alice)
        .exclude(category="b")
        .archived(),
    ):
        assert ids(archived) == [put_away.pk]
        assert [row.is_archived for row in archived] == [True]
    assert ids(rows.filter(category="b").archived()) == []
    assert ids(rows) == [kept.pk], "archived() does not change what it is called on"
    assert ids(Notification.objects.with_states(alice)) == [kept.pk, put_away.pk]


def test_archiving_all_is_a_watermark_too(alice: User) -> None:
    notify(alice, "old")
    inbox.archive(alice, up_to=number())
    notify(alice, "new")
    assert unread(alice) == {"new"}
    assert inbox.counts(alice) == (1, 1)
    assert [row.title for row in Notification.objects.visible_to(alice).archived()] == ["old"]
    assert not Receipt.objects.exists()


def test_what_is_taken_back_from_the_archive_is_as_it_was(alice: User) -> None:
    read, fresh, other = (notify(alice, title) for title in ("read", "fresh", "other"))
    number()
    inbox.mark_read(alice, ids=[read.pk])
    inbox.archive(alice, ids=[read.pk, fresh.pk, other.pk])
    assert inbox.counts(alice) == (0, 0)
    inbox.unarchive(alice, ids=[read.pk, fresh.pk])
    assert ids(Notification.objects.visible_to(alice)) == [fresh.pk, read.pk], "at their place"
    assert unread(alice) == unseen(alice) == {"fresh"}
    assert inbox.counts(alice) == (1, 1)
    assert ids(Notification.objects.visible_to(alice).archived()) == [other.pk]


def test_taking_back_overrides_the_watermark_until_the_next_one_covers_it(alice: User) -> None:
    first, second = notify(alice, "first"), notify(alice, "second")
    head = number()
    inbox.archive(alice, up_to=head)
    inbox.unarchive(alice, ids=[first.pk, second.pk])
    assert unread(alice) == {"first", "second"}
    assert inbox.counts(alice) == (2, 2)
    inbox.mark_seen(alice, up_to=head)
    inbox.mark_read(alice, ids=[first.pk])
    assert inbox.counts(alice) == (1, 0)
    inbox.mark_read(alice, up_to=head)
    inbox.mark_unread(alice, ids=[second.pk])
    assert unread(alice) == {"second"}
    assert inbox.counts(alice) == (1, 0)
    inbox.archive(alice, up_to=1)
    assert ids(Notification.objects.visible_to(alice)) == [second.pk]
    inbox.archive(alice, ids=[second.pk])
    assert inbox.counts(alice) == (0, 0)
    assert not Notification.objects.visible_to(alice).exists()
    inbox.unarchive(alice, ids=[second.pk])
    assert inbox.counts(alice) == (1, 0), (
        "archived twice, by a mark and by a watermark, and back all the same"
    )


def test_a_keyed_row_that_is_sent_again_is_unread_unseen_and_back_from_the_archive(
    alice: User, bob: User
) -> None:
    row = broadcast("1 order", key="orders")
    head = number()
    inbox.mark_read(alice, ids=[row.pk])
    inbox.archive(bob, up_to=head)
    inbox.mark_read(bob, up_to=head)
    assert inbox.counts(alice) == inbox.counts(bob) == (0, 0)
    broadcast("2 orders", key="orders")
    assert inbox.counts(alice) == inbox.counts(bob) == (1, 1), "while it is pending"
    number()
    assert inbox.counts(alice) == inbox.counts(bob) == (1, 1), "and when it is numbered"
    assert unread(bob) == {"2 orders"}


# --- counts ------------------------------------------------------------------------------------------------------------------


def test_counts_take_two_queries_however_many_rows(
    alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for index in range(20):
        notify(alice, f"n{index}")
        broadcast(f"b{index}")
    with django_assert_num_queries(2):
        assert inbox.counts(alice) == (40, 40)


def test_counts_up_to_a_number_leave_out_what_is_later_or_pending(alice: User) -> None:
    notify(alice, "first")
    first = number()
    notify(alice, "second")
    number()
    notify(alice, "pending")
    assert counts_up_to(alice, first) == (1, 1)
    assert Notification.objects.counts(alice) == (3, 3)


def test_counts_of_part_of_an_inbox_are_refused_rather_than_wrong(alice: User) -> None:
    with pytest.raises(TypeError, match="whole inbox"):
        Notification.objects.filter(category="bills").counts(alice)


def test_counts_agree_with_the_rows_after_any_history(alice: User, bob: User) -> None:
    """Random marks: the quick counts, the annotated rows and a model in plain Python say the same at every step."""
    for seed in range(3):
        random = Random(seed)
        Notification.objects.all().delete()
        Inbox.objects.all().delete()
        preferences.unmute(alice, "loud")
        model: dict[int, dict[str, Any]] = {}
        for _ in range(70):
            _step(random, alice, bob, model)
            rows = {row.pk: row for row in Notification.objects.with_states(alice)}
            muted = preferences.muted_categories(alice)
            for pk, row in rows.items():
                assert row.is_muted == (row.category in muted)
                heard = not row.is_muted
                wanted = (
                    heard and model[pk]["unread"],
                    heard and model[pk]["unseen"],
                    model[pk]["archived"],
                )
                assert (row.is_unread, row.is_unseen, row.is_archived) == wanted
            assert rows.keys() == model.keys()
            visible = Notification.objects.visible_to(alice)
            assert inbox.counts(alice) == (visible.unread().count(), visible.unseen().count())
            head = get_head()
            below = visible.filter(seq__lte=head // 2)
            assert counts_up_to(alice, head // 2) == (
                below.unread().count(),
                below.unseen().count(),
            )


_BY_IDS: dict[str, tuple[Callable[..., None], dict[str, bool]]] = {
    "read": (inbox.mark_read, {"unread": False, "unseen": False}),
    "unread": (inbox.mark_unread, {"unread": True}),
    "seen": (inbox.mark_seen, {"unseen": False}),
    "archive": (inbox.archive, {"archived": True}),
    "unarchive": (inbox.unarchive, {"archived": False}),
}


def _step(random: Random, alice: User, bob: User, model: dict[int, dict[str, Any]]) -> None:
    """Do one thing, and to the model what it should do to the rows."""
    fresh = {"unread": True, "unseen": True, "archived": False}
    action = random.choice(
        [
            "notify",
            "notify",
            "broadcast",
            "key",
            "number",
            "recall",
            "up_to",
            "up_to",
            "mute",
            *_BY_IDS,
        ]
    )
    some = random.sample(sorted(model), k=min(len(model), random.randint(1, 4)))
    if action == "notify":
        notify(bob, "noise")
        model[notify(alice, "n", category=random.choice(["", "loud"])).pk] = fresh
    elif action == "broadcast":
        model[broadcast("b", category=random.choice(["", "loud"])).pk] = fresh
    elif action == "key":
        model[notify(alice, "k", key=random.choice("ab")).pk] = fresh
    elif action == "number":
        number()
    elif action == "mute":
        random.choice([preferences.mute, preferences.unmute])(alice, "loud")
    elif action in _BY_IDS:
        mark, then = _BY_IDS[action]
        mark(alice, ids=some)
        _set(model, some, **then)
    elif action == "recall":
        recall(Notification.objects.filter(pk__in=some[:1]))
        for pk in some[:1]:
            del model[pk]
    else:
        up_to = random.randint(0, get_head() + 3)
        covered = ids(Notification.objects.with_states(alice).filter(seq__lte=up_to))
        mark, then = _BY_IDS[random.choice(["read", "seen", "archive"])]
        mark(alice, up_to=up_to)
        _set(model, covered, **then)


def _set(model: dict[int, dict[str, Any]], pks: list[int], **then: bool) -> None:
    for pk in pks:
        model[pk] = {**model[pk], **then}


# --- what the user's pages hear ----------------------------------------------------------------------------------------------


def test_a_change_is_pending_until_it_is_numbered_and_then_says_what_it_was(alice: User) -> None:
    row = notify(alice, "Hello")
    head = number()
    inbox.mark_read(alice, ids=[row.pk], client="tab-1")
    assert Inbox.objects.get(pk=alice.pk).state_seq is None
    assert inbox.state(alice) == inbox.State(cursor=head, state_seq=None, unread=0, unseen=0)
    (batch,) = number_pending()
    assert (batch.first, batch.last) == (head + 1, head + 1)
    (entry,) = batch.entries
    assert entry.topic == f"user:{alice.pk}"
    assert b'"set":"read"' in entry.frame
    assert b'"client":"tab-1"' in entry.frame
    change = {"set": "read", "ids": [row.pk], "client": "tab-1", "after": 0}
    assert newest(alice) == change
    assert inbox.state(alice) == inbox.State(
        cursor=head + 1, state_seq=head + 1, unread=0, unseen=0
    )


def test_the_counts_of_an_update_are_those_at_its_number(alice: User) -> None:
    notify(alice, "One")
    inbox.mark_read(alice, up_to=number())
    before = get_head()
    number()
    notify(alice, "Numbered later, and counted when it comes")
    (entry, *_), _ = read_entries(before, get_head(), limit=10)
    assert b'"unread":0,"unseen":0' in entry.frame
    number()
    (entry, *_), _ = read_entries(before, get_head(), limit=10)
    assert b'"unread":0,"unseen":0' in entry.frame, "also when it is replayed"


def test_a_repeat_changes_nothing_and_says_nothing(alice: User) -> None:
    row = notify(alice, "Hello")
    head = number()
    marks: list[Callable[[], None]] = [
        lambda: inbox.mark_read(alice, ids=[row.pk, row.pk]),
        lambda: inbox.mark_read(alice, up_to=head),
        lambda: inbox.mark_unread(alice, ids=[row.pk]),
        lambda: inbox.mark_seen(alice, ids=[row.pk]),
        lambda: inbox.archive(alice, ids=[row.pk]),
        lambda: inbox.unarchive(alice, ids=[row.pk]),
        lambda: inbox.archive(alice, up_to=head),
        lambda: inbox.unarchive(alice, ids=[row.pk]),
    ]
    for mark in marks:
        mark()
        number()
        before = (list(Inbox.objects.values()), list(Receipt.objects.values()), inbox.counts(alice))
        mark()
        assert (
            list(Inbox.objects.values()),
            list(Receipt.objects.values()),
            inbox.counts(alice),
        ) == before


def test_a_rollback_leaves_neither_mark_nor_change(alice: User) -> None:
    row = notify(alice, "Hello")
    with transaction.atomic():
        inbox.mark_read(alice, ids=[row.pk])
        assert inbox.counts(alice) == (0, 0)
        transaction.set_rollback(True)
    assert inbox.counts(alice) == (1, 1)
    assert not Inbox.objects.exclude(changes=[]).exists()


@pytest.mark.django_db(transaction=True)
def test_a_change_is_numbered_when_the_callers_transaction_commits_and_not_before(
    alice: User,
) -> None:
    row = notify(alice, "Hello")
    head = get_head()
    assert head == 1
    with transaction.atomic():
        inbox.mark_read(alice, ids=[row.pk])
        assert get_head() == head
    assert inbox.state(alice) == inbox.State(cursor=2, state_seq=2, unread=0, unseen=0)


@pytest.mark.server
@pytest.mark.django_db(transaction=True)
def test_two_requests_of_one_user_mark_at_the_same_time_and_both_hold(alice: User) -> None:
    rows = ids(notify(alice, f"n{index}") for index in range(20))
    errors: list[BaseException] = []
    barrier = threading.Barrier(4)

    def work(mine: list[int]) -> None:
        try:
            barrier.wait(10)
            for pk in mine:
                inbox.mark_read(alice, ids=[pk])
                inbox.mark_read(alice, ids=[rows[0]])
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(rows[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert inbox.counts(alice) == (0, 0)
    assert Receipt.objects.count() == len(rows)
    announce()
    assert Inbox.objects.get().state_seq == get_head()


# --- arguments and twins -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [inbox.mark_read, inbox.mark_seen, inbox.archive])
@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({}, ValueError, "either ids or up_to"),
        ({"ids": [1], "up_to": 1}, ValueError, "either ids or up_to"),
        ({"ids": 1}, TypeError, "ids"),
        ({"ids": "12"}, TypeError, "ids"),
        ({"ids": ["1"]}, TypeError, "ids"),
        ({"ids": [True]}, TypeError, "ids"),
        ({"ids": [-1]}, ValueError, "ids"),
        ({"ids": [2**63]}, ValueError, "ids"),
        ({"up_to": "1"}, TypeError, "up_to"),
        ({"up_to": 1.0}, TypeError, "up_to"),
        ({"up_to": -1}, ValueError, "up_to"),
        ({"ids": [1], "client": None}, TypeError, "client"),
        ({"ids": [1], "client": "x" * 101}, ValueError, "client"),
        ({"ids": [1], "client": "a\0b"}, ValueError, "client"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_written(
    alice: User,
    verb: Callable[..., None],
    arguments: dict[str, Any],
    error: type[Exception],
    named: str,
) -> None:
    with pytest.raises(error, match=f"{named}\\b"):
        verb(alice, **arguments)
    assert not Inbox.objects.exists()


def test_only_a_saved_user_has_marks() -> None:
    with pytest.raises(TypeError, match=r"^user must be a User, not AnonymousUser\."):
        inbox.mark_read(AnonymousUser(), ids=[1])
    with pytest.raises(ValueError, match=r"^user must "):
        inbox.mark_read(User(username="new"), ids=[1])


def test_async_twins_run_the_same_body(alice: User) -> None:
    async def live() -> list[Any]:
        first, second = await sse_notify.anotify(alice, "1"), await sse_notify.anotify(alice, "2")
        seen: list[Any] = [await sse_notify.aunread_count(alice)]
        await sse_notify.amark_read(alice, ids=[first.pk])
        await sse_notify.amark_seen(alice, ids=[second.pk])
        seen.append(await sync_to_async(inbox.counts)(alice))
        await sse_notify.amark_unread(alice, ids=[first.pk])
        seen.append(await sse_notify.aunread_count(alice))
        await sse_notify.aarchive(alice, ids=[first.pk, second.pk])
        seen.append(await sse_notify.aunseen_count(alice))
        seen.append(await sse_notify.aunread_count(alice))
        await sse_notify.aunarchive(alice, ids=[second.pk])
        seen.append(await sse_notify.aunread_count(alice))
        seen.append(await sse_notify.arecall([first, second]))
        return [*seen, await sse_notify.aunread_count(alice)]

    assert async_to_sync(live)() == [2, (1, 0), 2, 0, 0, 1, 2, 0]
    assert inbox.amark_read.__name__ == "amark_read"
    assert "mark_read" in (inbox.amark_read.__doc__ or "")


@pytest.mark.parametrize("verb", ["mark_read", "mark_seen", "archive"])
def test_a_user_who_was_read_from_a_replica_can_mark(verb: str, alice: User) -> None:
    row = notify(alice, "one")
    prefetch_related_objects([alice], "groups")
    alice._state.db = "replica"
    getattr(inbox, verb)(alice, [row.pk])
    assert Receipt.objects.filter(notification=row, user_id=alice.pk).exists()
