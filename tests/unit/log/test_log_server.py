"""What only a database with several writers at once can show: commits in another order than inserts, and open transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from sse_notify import archive, mark_read, mark_seen, mute, notify, recall, unmute
from sse_notify.log import reader as log_reader
from sse_notify.log.reader import Reader, count_missed, read_entries
from sse_notify.log.sequence import get_head, has_pending, number_pending
from sse_notify.models import Inbox, LogHead, Notification
from sse_notify.progress import store
from sse_notify.progress.context import Progress
from sse_notify.topics import topics_of
from tests.support import locks

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]


def numbers(user: User) -> dict[str, int | None]:
    rows = Notification.objects.filter(recipient=user).order_by("pk")
    return dict(rows.values_list("title", "seq"))


class OpenTransaction:
    """A transaction in a thread of its own that runs what it is told to and stays open until it is told to commit."""

    def __init__(self) -> None:
        self._work: Queue[Callable[[], Any] | None] = Queue()
        self._results: Queue[Any] = Queue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def do(self, work: Callable[[], Any]) -> Any:
        self.begin(work)
        return self.result()

    def begin(self, work: Callable[[], Any]) -> None:
        self._work.put(work)

    def commit(self) -> None:
        self._work.put(None)
        self.result()
        self._thread.join()

    def result(self) -> Any:
        result = self._results.get(timeout=20)
        if isinstance(result, BaseException):
            raise result
        return result

    def _run(self) -> None:
        try:
            with transaction.atomic():
                while (work := self._work.get(timeout=20)) is not None:
                    self._results.put(work())
            self._results.put(None)
        except BaseException as error:
            self._results.put(error)
        finally:
            connection.close()


@pytest.fixture
def other() -> Iterator[OpenTransaction]:
    opened = OpenTransaction()
    yield opened
    if opened._thread.is_alive():
        opened.commit()


def reader_of(user: User) -> Reader:
    return Reader(topics=topics_of(user), user_id=user.pk, since=user.date_joined)


def test_a_lower_id_that_commits_later_is_not_skipped(alice: User, other: OpenTransaction) -> None:
    """The trap of auto-increment cursors: a reader that resumes between two commits in opposite order."""
    first = other.do(lambda: notify(alice, "First inserted, last committed"))
    second = notify(alice, "Second inserted, first committed")
    assert second.pk > first.pk
    entries, cursor = read_entries(0, get_head(), reader=reader_of(alice), limit=10)
    assert [b"first committed" in entry.frame for entry in entries] == [True]
    other.commit()
    entries, _ = read_entries(cursor, get_head(), reader=reader_of(alice), limit=10)
    assert [b"last committed" in entry.frame for entry in entries] == [True]
    assert list(Notification.objects.order_by("seq").values_list("pk", flat=True)) == [
        second.pk,
        first.pk,
    ]


def test_an_open_transaction_delays_nobody(alice: User, other: OpenTransaction) -> None:
    other.do(lambda: notify(alice, "Open"))
    locks.limit_waits(seconds=3)
    notify(alice, "Not delayed")
    assert get_head() == 1


def test_a_row_that_is_being_updated_does_not_hold_the_log(
    alice: User, other: OpenTransaction
) -> None:
    """A pending row under a key, held by an open transaction: the others are numbered, it is numbered after that one's commit."""
    Notification.objects.create(recipient=alice, topic=f"user:{alice.pk}", title="Pending", key="k")
    other.do(lambda: notify(alice, "Updated", key="k"))
    locks.limit_waits(seconds=3)
    free = notify(alice, "Free")
    free.refresh_from_db()
    assert free.seq == 1
    other.commit()
    assert list(Notification.objects.order_by("seq").values_list("title", "seq", "count")) == [
        ("Free", 1, 1),
        ("Updated", 2, 2),
    ]


def test_two_publishers_that_race_for_a_key_make_one_row(
    alice: User, other: OpenTransaction
) -> None:
    other.do(lambda: notify(alice, "One", key="k"))
    rows: list[Notification] = []

    def race() -> None:
        rows.append(notify(alice, "Two", key="k"))
        connection.close()

    thread = threading.Thread(target=race)
    thread.start()  # blocks on the unique constraint until the other commits
    other.commit()
    thread.join(20)
    assert Notification.objects.count() == 1
    (row,) = rows
    row.refresh_from_db()
    assert (row.title, row.count) == ("Two", 2)


def test_a_user_is_deleted_while_their_notifications_are_sent_again(
    alice: User, other: OpenTransaction
) -> None:
    """Django deletes the receipts first, a repeat updates the notification first: they deadlocked."""
    first, last = (notify(alice, "Once", key=key) for key in "12")
    mark_read(alice, ids=[last.pk])
    mark_read(alice, ids=[first.pk])
    other.do(lambda: notify(alice, "Again", key="1"))
    deletion = Elsewhere(lambda: User.objects.get().delete())
    deletion.until_it_waits_for_a_lock()
    other.do(lambda: notify(alice, "Again", key="2"))
    other.commit()
    deletion.outcome()
    assert not Notification.objects.exists()


def test_a_user_is_deleted_while_they_mark(alice: User, other: OpenTransaction) -> None:
    first, last = (notify(alice, "One"), notify(alice, "Two"))
    mark_read(alice, ids=[last.pk])
    mark_read(alice, ids=[first.pk])
    other.do(lambda: mark_seen(alice, ids=[]))  # it holds the inbox
    deletion = Elsewhere(lambda: User.objects.get().delete())
    deletion.until_it_waits_for_a_lock()
    other.do(lambda: archive(alice, ids=[first.pk, last.pk]))
    other.commit()
    deletion.outcome()
    assert not Notification.objects.exists()


# --- who holds a lock announces --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes_nothing",
    [
        lambda user: mark_read(user, up_to=1),
        lambda user: mark_seen(user, ids=[1_000_000]),
        lambda user: archive(user, ids=[]),
        lambda user: mute(user, "news"),
        lambda user: unmute(user, "news"),
    ],
    ids=["up_to", "ids", "no ids", "mute", "unmute"],
)
def test_who_leaves_the_inbox_as_it_is_announces_the_mark_that_was_kept_from_being_numbered(
    alice: User, other: OpenTransaction, changes_nothing: Callable[[User], None]
) -> None:
    notify(alice, "One")
    with transaction.atomic():
        # After the commit of the mark below, before its announcement.
        transaction.on_commit(lambda: other.do(lambda: changes_nothing(alice)))
        mark_read(alice, up_to=1)
    assert Inbox.objects.get().state_seq is None, "the numbering waits for nobody"
    other.commit()
    assert Inbox.objects.get().state_seq == get_head() == 2


FOR_NOTHING: dict[str, Callable[[User, Progress], Any]] = {
    "recall": lambda user, work: recall(Notification.objects.all()),
    "cancel": lambda user, work: store.cancel(user, [work.id or 0]),
    "report": lambda user, work: work.update(1),
    "end": lambda user, work: work.__exit__(None, None, None),
}


@pytest.mark.parametrize("change", ["recall", "repeat"])
@pytest.mark.parametrize("act", FOR_NOTHING)
def test_who_locks_a_row_for_nothing_announces_what_was_kept_from_being_numbered(
    alice: User, other: OpenTransaction, act: str, change: str
) -> None:
    """It waits for the row's change, and holds the row from then on."""
    work = Progress(alice, "First", key="work", clock=(1000.0 * n for n in range(100)).__next__)
    work.__enter__()
    with transaction.atomic():
        transaction.on_commit(other.result)  # before the announcement
        if change == "recall":
            recall(Notification.objects.all())
        else:
            notify(alice, "Second", key="work")
        other.begin(lambda: FOR_NOTHING[act](alice, work))
        while not locks.is_waited_for():
            pass
    other.commit()
    assert not has_pending()


@pytest.mark.parametrize("again", [False, True], ids=["new", "repeat"])
def test_a_report_that_holds_a_row_before_it_is_numbered_announces_it(
    alice: User, other: OpenTransaction, again: bool
) -> None:
    """A thread of the work reports inside a transaction, right after the commit of the beginning."""
    if again:
        notify(alice, "Before", key="work")
    work = Progress(alice, "First", key="work", clock=(1000.0 * n for n in range(100)).__next__)
    with transaction.atomic():
        # After the commit, before the announcement.
        transaction.on_commit(lambda: other.do(lambda: work.update(1)))
        work.__enter__()
    assert has_pending(), "the numbering waits for nobody"
    other.commit()
    assert not has_pending()


# --- isolation levels ------------------------------------------------------------------------------------------------------------


HIGHER = ["REPEATABLE READ", "SERIALIZABLE"]


@pytest.fixture(params=HIGHER)
def isolated(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every new connection has the project's isolation level, which is not Django's default."""
    with locks.isolation_level(request.param):
        yield


class Elsewhere(threading.Thread):
    """Work in a thread with a connection of its own; ``outcome()`` returns or raises what came of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work = work
        self._outcomes: Queue[Any] = Queue()
        self.start()

    def run(self) -> None:
        try:
            self._outcomes.put(self._work())
        except BaseException as error:
            self._outcomes.put(error)
        finally:
            connection.close()

    def until_it_waits_for_a_lock(self) -> None:
        while self.is_alive() and not locks.is_waited_for():
            pass

    def outcome(self) -> Any:
        outcome = self._outcomes.get(timeout=20)
        self.join()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


RACES: dict[str, Callable[[User, Notification], Any]] = {
    "numbering": lambda user, row: list(number_pending()),
    "idempotency key": lambda user, row: notify(user, "Raced", idempotency_key="once").pk,
    "key": lambda user, row: notify(user, "Raced", key="k").pk,
    "the key of a row": lambda user, row: notify(user, "Raced", key="work").pk,
    "mark by up_to": lambda user, row: mark_read(user, up_to=1),
    "mark by ids": lambda user, row: archive(user, ids=[row.pk]),
    "recall": lambda user, row: recall([row]),
    "cancel": lambda user, row: store.cancel(user, [row.pk]),
}


@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize("race", RACES)
def test_at_a_higher_isolation_level_a_race_ends_as_at_the_default(
    alice: User, other: OpenTransaction, race: str, caplog: pytest.LogCaptureFixture
) -> None:
    work = Progress(alice, "Work", key="work")
    work.__enter__()
    act, row = RACES[race], Notification.objects.get()
    if race == "numbering":
        Notification.objects.create(topic="everyone", title="Pending")
    first = other.do(lambda: act(alice, row))
    second = Elsewhere(lambda: act(alice, row))
    second.until_it_waits_for_a_lock()
    other.commit()
    if race in ("recall", "numbering"):
        assert (bool(first), bool(second.outcome())) == (True, False), "once"
    else:
        assert second.outcome() == first, "the same row"
    assert not has_pending()
    assert caplog.records == []


def test_a_locked_row_with_an_impossible_number_delays_nobody(
    alice: User, other: OpenTransaction
) -> None:
    topic = f"user:{alice.pk}"
    for seq in (2**63 - 1, 2**63 - 2):
        Notification.objects.create(topic=topic, recipient=alice, title=str(2**63 - seq), seq=seq)
    other.do(lambda: Notification.objects.select_for_update().get(title="1"))
    notify(alice, "New")
    assert numbers(alice) == {"2": 1, "New": 2, "1": 2**63 - 1}
    other.commit()
    notify(alice, "Newer")
    assert numbers(alice) == {"2": 1, "New": 2, "1": 3, "Newer": 4}


@pytest.mark.usefixtures("isolated")
def test_at_a_higher_isolation_level_a_recipient_may_be_saved_meanwhile(
    alice: User, other: OpenTransaction, caplog: pytest.LogCaptureFixture
) -> None:
    locked = User.objects.select_for_update().filter(pk=alice.pk)
    other.do(lambda: locked.get().save())
    second = Elsewhere(lambda: notify(alice, "One"))  # its foreign key waits
    second.until_it_waits_for_a_lock()
    other.commit()
    second.outcome()
    assert get_head() == 1
    assert caplog.records == []


@pytest.mark.usefixtures("isolated")
def test_at_a_higher_isolation_level_many_publishers_number_a_new_log_without_a_failure(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    LogHead.objects.all().delete()
    together = threading.Barrier(6)

    def publish() -> None:
        connection.ensure_connection()
        together.wait(20)
        for number in range(5):
            notify(alice, str(number))

    for each in [Elsewhere(publish) for _ in range(6)]:
        each.outcome()
    numbers = Notification.objects.order_by("seq").values_list("seq", flat=True)
    assert list(numbers) == list(range(1, 31))
    assert caplog.records == []


@pytest.mark.postgres
def test_reading_uses_the_index(alice: User) -> None:
    """O(missed): the plan walks one index from the cursor on and sorts nothing but what it found."""
    users = [User(username=f"u{i}") for i in range(200)]
    User.objects.bulk_create(users)
    notify(User.objects.filter(username__startswith="u"), "Noise")
    for i in range(50):
        notify(User.objects.filter(username__startswith="u"), f"Noise {i}")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sse_notify_notification")
    rows = (
        log_reader.readable(reader_of(alice), "default")
        .filter(seq__gt=10_100, seq__lte=get_head())
        .order_by("seq")[:200]
    )
    plan = rows.explain()
    assert "Index" in plan
    assert "Seq Scan on sse_notify_notification" not in plan, plan


@pytest.mark.parametrize("topics", [1, 2, 3])
def test_a_long_replay_is_read_topic_by_topic_and_stays_complete_and_in_order(
    alice: User, topics: int
) -> None:
    """Each page costs what it returns: no page sorts what follows it."""
    staff = User.objects.create_user("staff", is_staff=True)
    Notification.objects.bulk_create(
        Notification(
            seq=seq,
            topic=["everyone", f"user:{alice.pk}", "staff", f"user:{staff.pk}"][seq % 4],
            title=str(seq),
        )
        for seq in range(1, 401)
    )
    reader = Reader(
        topics=("everyone", f"user:{alice.pk}", "staff")[:topics],
        user_id=alice.pk,
        since=alice.date_joined,
    )
    wanted = [seq for seq in range(1, 401) if seq % 4 < topics]
    got: list[int] = []
    cursor = 0
    while cursor < 400:
        entries, complete = read_entries(cursor, 400, reader=reader, limit=7)
        assert complete > cursor
        assert all(cursor < entry.seq <= complete for entry in entries)
        got.extend(entry.seq for entry in entries)
        cursor = complete
    assert got == wanted
    assert count_missed(0, reader=reader, limit=1000) == len(wanted)
    assert count_missed(0, reader=reader, limit=31) == 31
    if connection.vendor != "postgresql":
        return
    # A topic's own first rows come from its index in order; merged, nothing is sorted that is not returned.
    with connection.cursor() as db:
        db.execute("ANALYZE sse_notify_notification")
        db.execute("SET enable_seqscan = off")  # four hundred rows fit a few pages
    rows = log_reader._by_topic(reader, "default", 7, seq__gt=0, seq__lte=400)
    assert "Sort  (" not in (plan := rows.explain()), plan
