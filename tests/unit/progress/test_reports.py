"""When long work reports, and how it ends whatever the transaction and the database do."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from sse_notify import (
    Progress,
    mark_read,
    unread_count,
)
from sse_notify.models import Notification
from sse_notify.topics import user_topic
from tests.unit.progress.conftest import Clock, age, reads, row, said, writes

pytestmark = pytest.mark.django_db


def test_a_thousand_steps_in_two_seconds_are_twenty_live_updates_and_four_quiet_writes(
    alice: User, clock: Clock, live: list[tuple[str, dict[str, Any]]]
) -> None:
    with Progress(alice, "Import", 1000, key="import", clock=clock) as progress:
        before = row()
        mark_read(alice, ids=[before.pk])
        with CaptureQueriesContext(connection) as queries:
            for _ in range(1000):
                clock.now += 0.002
                progress.advance()
        assert 18 <= len(live) <= 20
        assert 3 <= len(writes(queries)) <= 4
        asked = [query for query in queries.captured_queries if query["sql"].startswith("SELECT")]
        assert len(asked) == len(writes(queries))  # each looks once whether it is to end
        after = row()
        assert (after.seq, after.count, unread_count(alice)) == (before.seq, 1, 0)
        assert said()["done"] >= 700
    assert {topic for topic, _ in live} == {user_topic(alice.pk)}
    told = [data for _topic, data in live]
    assert [data["done"] for data in told] == sorted(data["done"] for data in told)
    assert told[-1].keys() == said().keys() | {"id", "key", "cancellable", "stalls_in"}
    assert (told[-1]["id"], told[-1]["key"], told[-1]["state"]) == (before.pk, "import", "running")
    assert (said()["done"], unread_count(alice)) == (1000, 1)


def test_what_waits_goes_with_the_next_call_the_newest_alone(
    alice: User, clock: Clock, live: list[tuple[str, dict[str, Any]]]
) -> None:
    with Progress(alice, "Import", 10, clock=clock) as progress:
        for done in (1, 2, 3):
            progress.update(done, stage=f"stage {done}")
        assert live == []
        clock.now += 0.1
        progress.advance(2)
        assert [(data["done"], data["stage"]) for _, data in live] == [(5, "stage 3")]
        assert said()["done"] == 0
        clock.now += 0.4
        assert not progress.cancelled
        assert [data["done"] for _, data in live] == [5]
        assert said()["done"] == 5


def test_a_sign_of_life_goes_out_though_nothing_changes(
    alice: User, clock: Clock, live: list[tuple[str, dict[str, Any]]]
) -> None:
    with Progress(alice, "Import", clock=clock, stalls_after=30) as progress:
        age(40)
        with CaptureQueriesContext(connection) as queries:
            for _ in range(99):
                clock.now += 0.1
                assert not progress.cancelled
        assert (writes(queries), live) == ([], [])
        assert len(reads(queries)) <= 20  # it asks twice a second
        clock.now += 0.1
        progress.check()
        assert (said()["state"], len(live)) == ("running", 1)


def test_after_the_end_no_call_reaches_the_database_or_the_pages(
    alice: User, clock: Clock, live: list[tuple[str, dict[str, Any]]]
) -> None:
    with Progress(alice, "Import", 10, clock=clock) as progress:
        progress.finish()
        with CaptureQueriesContext(connection) as queries:
            for _ in range(5):
                clock.now += 60
                progress.advance()
                progress.total = 5
                progress.check()
                assert not progress.cancelled
        assert (len(queries), live) == (0, [])


@pytest.mark.django_db(transaction=True)
def test_an_end_that_cannot_be_rolled_back_is_written_once(alice: User) -> None:
    with CaptureQueriesContext(connection) as queries, Progress(alice, "Import") as progress:
        progress.finish()
    assert len([sql for sql in writes(queries) if "progress_state" in sql]) == 1


def test_an_end_that_comes_while_another_thread_reports_is_not_taken_for_a_wish_to_end(
    alice: User, clock: Clock
) -> None:
    began: list[str] = []

    def end_first(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("UPDATE") and not began:
            began.append(sql)
            progress.finish()
        return execute(sql, *args)

    with Progress(alice, "Import", clock=clock) as progress:
        clock.now += 0.5
        with connection.execute_wrapper(end_first):
            progress.advance()
        assert (said()["state"], progress.cancelled) == ("done", False)


def test_a_database_that_refuses_reports_does_not_end_the_work_and_heals(
    alice: User, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise OperationalError("database is locked")
        return execute(sql, *args)

    caplog.set_level(logging.WARNING, "sse_notify")
    with Progress(alice, "Import", 10, clock=clock) as progress:
        with connection.execute_wrapper(refuse):
            for _ in range(3):
                clock.now += 0.5
                progress.advance()
        assert said()["done"] == 0
        clock.now += 0.5
        progress.check()
        assert said()["done"] == 3
        incidents = [vars(record) for record in caplog.records if hasattr(record, "incident")]
        assert [(found["incident"], found["state"]) for found in incidents] == [
            ("progress", "failed"),
            ("progress", "healed"),
        ]
        with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
            progress.finish()
        assert said()["state"] == "running"
    assert said()["state"] == "done"


def test_an_error_of_the_work_is_not_hidden_by_one_of_the_database(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> None:
        with transaction.atomic(), Progress(alice, "Import"):
            transaction.set_rollback(True)  # what a statement that failed leaves
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert not Notification.objects.exists()
    assert "state=unwritten" in caplog.text


def test_a_rollback_around_it_leaves_nothing_and_reports_inside_break_nothing(
    alice: User, clock: Clock, live: list[tuple[str, dict[str, Any]]]
) -> None:
    with transaction.atomic():
        with Progress(alice, "Import", 10, clock=clock) as progress:
            clock.now += 1
            progress.advance()
            assert Notification.objects.get().payload()["progress"]["done"] == 1
        transaction.set_rollback(True)
    assert not Notification.objects.exists()
    assert [data["done"] for _, data in live] == [1]  # what is live goes out at once


@pytest.mark.parametrize("statement", ["UPDATE", "SELECT"])
@pytest.mark.parametrize("call", [Progress.advance, Progress.check], ids=["report", "look"])
def test_a_statement_that_fails_leaves_the_transaction_around_it_usable(
    alice: User, clock: Clock, statement: str, call: Any
) -> None:
    """A query that fails outside of a savepoint makes PostgreSQL refuse all that follow, with an error that does not say why."""

    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith(statement):
            return execute("SELECT nothing", None, *args[1:])
        return execute(sql, *args)

    with Progress(alice, "Import", clock=clock) as progress:
        with transaction.atomic():
            clock.now += 0.5
            with connection.execute_wrapper(fail):
                call(progress)
            assert Notification.objects.count() == 1
            User.objects.filter(pk=alice.pk).update(first_name="Alice")
        assert User.objects.get(pk=alice.pk).first_name == "Alice"


@pytest.mark.parametrize("how", ["failed", "done", "done, but", "done, and then"])
def test_an_end_that_was_rolled_back_is_said_at_the_end_of_the_block(alice: User, how: str) -> None:
    def work(progress: Progress) -> None:
        with transaction.atomic():
            if how == "failed":
                progress.fail("Line 3")
            else:
                progress.finish("200 rows", url="/rows/")
            if how != "done, and then":
                raise ZeroDivisionError
        raise ZeroDivisionError

    with suppress(ZeroDivisionError), Progress(alice, "Import") as progress:
        if how == "done":
            with suppress(ZeroDivisionError):  # the work knows what it does
                work(progress)
        else:
            work(progress)
    expected = {
        "failed": ("failed", "Line 3", ""),
        "done": ("done", "200 rows", "/rows/"),
        "done, but": ("failed", "Something went wrong.", ""),
        "done, and then": ("done", "200 rows", "/rows/"),
    }
    assert (said()["state"], said()["message"], row().url) == expected[how]
    assert row().count == 2, "the start and one end"


def cut() -> None:
    """Have the database end this thread's connection, as a restart or a proxy does."""
    other, opened = connection.copy(), connection.connection
    with other.cursor() as cursor, suppress(OperationalError):  # it may be cut already
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_terminate_backend(%s)", [opened.info.backend_pid])
        else:
            cursor.execute("KILL %s", [opened.thread_id()])
    other.close()


@pytest.mark.server
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_cut_is_opened_again_by_work_that_makes_no_queries_of_its_own(
    alice: User, clock: Clock
) -> None:
    with Progress(alice, "Import", 10, clock=clock) as progress:
        cut()
        clock.now += 0.5
        progress.advance()
        clock.now += 0.5
        progress.advance()
        assert said()["done"] == 2
        cut()
        assert not progress.cancelled
        cut()
        progress.finish()
    assert said()["state"] == "done"


def test_every_step_of_several_threads_counts(alice: User, clock: Clock) -> None:
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        for _ in range(5000):
            progress.advance()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Progress(alice, "Import", 20_000, clock=clock) as progress:
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before)
    assert said()["done"] == 20_000
