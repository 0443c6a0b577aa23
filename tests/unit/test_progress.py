"""Long work tells its user how far it is: seldom enough, durably at both ends, and hears when it is to end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.db import OperationalError, connection, transaction
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from sse_notify import (
    Cancelled,
    Progress,
    ProgressFailed,
    archive,
    fanout,
    log,
    mark_read,
    notify,
    recall,
    unread_count,
)
from sse_notify.log import Reader
from sse_notify.messages import Ephemeral
from sse_notify.models import Notification, Receipt
from sse_notify.parsing import parse
from sse_notify.progress import store
from sse_notify.progress.estimate import Gauge
from sse_notify.topics import topics_of, user_topic

try:
    from django.tasks import task
except ImportError:  # before Django 6
    from django_tasks import task  # type: ignore[no-redef]

pytestmark = pytest.mark.django_db


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is told to open pages, as (topic, data)."""
    heard: list[tuple[str, dict[str, Any]]] = []
    ring = fanout.ring

    def record(message: Any) -> int:
        if isinstance(message, Ephemeral):
            (event,) = parse(message.frame)
            assert (event.event, event.id) == ("progress", None)
            heard.append((message.topic, event.data))
        return ring(message)

    monkeypatch.setattr(fanout, "ring", record)
    return heard


def row() -> Notification:
    """Return the only notification, numbered."""
    fanout.announce()
    return Notification.objects.get()


def said() -> dict[str, Any]:
    """Return what clients get of the only notification's progress."""
    found = row().payload()["data"]["progress"]
    assert isinstance(found, dict)
    return found


def age(seconds: float) -> None:
    """Have the worker been silent for so long."""
    found = Notification.objects.get()
    assert found.progress_state is not None
    found.progress_state["run"]["heard_at"] -= seconds
    found.save(update_fields=["progress_state"])


def everything() -> list[Any]:
    rows: Any = Notification.objects.order_by("pk")
    return list(rows.values())


def press_cancel(client: Client, pk: int | None) -> Any:
    return client.post(reverse("sse_notify:cancel"), {"ids": [pk]}, content_type="application/json")


def writes(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries.captured_queries if query["sql"].startswith("UPDATE")]


# --- one notification, from start to end -----------------------------------------------------------------------------------------


def test_work_is_one_notification_that_ends_unread_however_it_was_read(
    alice: User, clock: Clock
) -> None:
    with Progress(alice, "Export", 4, key="export", data={"order": 7}, clock=clock) as progress:
        begun = row()
        assert (begun.pk, begun.level, begun.silent, begun.key) == (
            progress.id,
            "info",
            True,
            "export",
        )
        assert begun.payload()["data"].keys() == {"order", "progress"}
        numbers = {"done": 0, "total": 4, "percent": 0.0, "stage": "", "message": "", "eta": None}
        told = said()
        assert 0 < told.pop("stalls_in") <= 30
        assert told == {"state": "running", **numbers, "cancellable": True}
        mark_read(alice, ids=[begun.pk])
        archive(alice, ids=[begun.pk])
        assert unread_count(alice) == 0
        clock.now += 1
        progress.update(3, stage="Writing", message="row 3")
        progress.finish("4 rows", url="/exports/7/")
    ended = row()
    numbers = {
        "done": 3,
        "total": 4,
        "percent": 100.0,
        "stage": "Writing",
        "message": "4 rows",
        "eta": None,
    }
    assert said() == {"state": "done", **numbers}
    assert (ended.pk, ended.level, ended.silent, ended.url) == (
        begun.pk,
        "success",
        False,
        "/exports/7/",
    )
    assert (ended.seq or 0) > (begun.seq or 0)
    assert (ended.title, unread_count(alice)) == ("Export", 1)
    assert ended.payload()["data"]["order"] == 7


def test_the_end_comes_once_whoever_says_so(alice: User) -> None:
    with Progress(alice, "Export") as progress:
        progress.fail("No space")
        first = row()
        progress.finish("Done after all")
        progress.update(5, message="still there")
        progress.advance()
        assert not progress.cancelled
    assert (row().seq, said()["state"], said()["message"], row().level) == (
        first.seq,
        "failed",
        "No space",
        "error",
    )


def test_who_was_away_gets_the_end_by_replay_and_who_loads_the_page_how_far_it_is(
    alice: User, clock: Clock, client: Client
) -> None:
    with Progress(alice, "Import", 10, clock=clock) as progress:
        cursor = row().seq or 0
        clock.now += 0.5
        progress.update(4)
        (item,) = client.get(reverse("sse_notify:items")).json()["items"]
        assert item["data"]["progress"]["percent"] == 40
        page = client.get(reverse("sse_notify:list")).content.decode()
        assert 'value="40.0" max="100"' in page
    row()
    entries, _complete = log.read(
        cursor, log.head(), reader=Reader(topics=topics_of(alice), user_id=alice.pk), limit=10
    )
    (event,) = parse(entries[0].frame)
    assert (len(entries), event.data["data"]["progress"]["state"]) == (1, "done")


# --- seldom enough ---------------------------------------------------------------------------------------------------------------


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
        assert len(queries) <= 20  # it asks twice a second
        clock.now += 0.1
        progress.check()
        assert (said()["state"], len(live)) == ("running", 1)


# --- how it ends -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (ValueError("password=hunter2"), "failed", "Something went wrong."),
        (ProgressFailed("Row 7 has no\0 date"), "failed", "Row 7 has no date"),
        (ProgressFailed(), "failed", "Something went wrong."),
        (ProgressFailed("x" * 2000), "failed", "x" * 1000),
        (KeyboardInterrupt(), "failed", "Something went wrong."),
        (asyncio.CancelledError(), "cancelled", "row 3"),
    ],
    ids=["exception", "told", "untold", "long", "interrupt", "task"],
)
def test_an_exception_ends_it_without_telling_internals_and_goes_on(
    alice: User, error: BaseException, state: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> None:
        with Progress(alice, "Import") as progress:
            progress.update(message="row 3")
            raise error

    with pytest.raises(type(error)) as raised:
        work()
    assert raised.value is error
    assert (said()["state"], said()["message"], row().level) == (
        state,
        message,
        "error" if state == "failed" else "warning",
    )
    assert "hunter2" not in json.dumps(row().payload())
    assert [
        record.exc_info[1]
        for record in caplog.records
        if record.name == "sse_notify" and record.exc_info
    ] == ([error] if type(error) is ValueError else [])


def test_the_text_of_a_failure_is_in_the_language_that_is_active(alice: User) -> None:
    with translation.override("de"), suppress(ValueError), Progress(alice, "Import"):
        raise ValueError
    assert said()["message"] not in ("", "Something went wrong.")


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
            assert Notification.objects.get().payload()["data"]["progress"]["done"] == 1
        transaction.set_rollback(True)
    assert not Notification.objects.exists()
    assert [data["done"] for _, data in live] == [1]  # what is live goes out at once


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
    """Have PostgreSQL end this thread's connection, as a restart or a proxy does."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    other.close()


on_postgres = pytest.mark.skipif(
    not os.environ.get("DATABASE_URL", "").startswith("postgres"),
    reason="what PostgreSQL alone does: the tests run there as well",
)


@on_postgres
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


# --- cancel ----------------------------------------------------------------------------------------------------------------------


@on_postgres
@pytest.mark.django_db(transaction=True)
def test_the_wish_to_end_one_run_is_never_the_nexts(alice: User, clock: Clock) -> None:
    first = Progress(alice, "Import", key="import", clock=clock)
    first.__enter__()
    second = Progress(alice, "Import", key="import", clock=clock)

    def go_on() -> None:
        first.finish()
        second.__enter__()
        connection.close()

    following = threading.Thread(target=go_on)

    def meanwhile(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if sql.startswith("INSERT") and not following.ident:
            following.start()
            while following.is_alive() and not waiting_for_a_lock():
                pass
        return execute(sql, *args)

    with connection.execute_wrapper(meanwhile):
        store.cancel(alice, [row().pk])
    following.join()
    clock.now += 1
    assert not second.cancelled
    second.finish()


def waiting_for_a_lock() -> bool:
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (waiting,) = cursor.fetchone()
    other.close()
    return bool(waiting)


def test_cancel_on_the_page_ends_work_that_checks(
    alice: User, client: Client, clock: Clock
) -> None:
    after = []
    with Progress(alice, "Import", 10, clock=clock) as progress:
        row()
        progress.check()
        assert press_cancel(client, progress.id).json() == {"unread": 1, "unseen": 1}
        progress.check()  # it was looked at just now
        clock.now += 0.5
        progress.update(4)
        with pytest.raises(Cancelled):
            progress.check()
        progress.check()
        after.append("not reached")
    assert (after, progress.cancelled, said()["state"], said()["percent"], row().level) == (
        [],
        True,
        "cancelled",
        40,
        "warning",
    )
    assert "stalls_in" not in said()
    assert "cancellable" not in said()


def test_work_that_looks_by_itself_may_end_as_it_likes(
    alice: User, client: Client, clock: Clock
) -> None:
    with Progress(alice, "Import", clock=clock) as progress:
        press_cancel(client, progress.id)
        clock.now += 0.5
        assert progress.cancelled
        with CaptureQueriesContext(connection) as queries:
            assert progress.cancelled
        assert len(queries) == 0
    assert said()["state"] == "done"


def test_begun_again_under_its_key_it_is_not_cancelled_any_more(
    alice: User, client: Client, clock: Clock
) -> None:
    for state, percent in (("cancelled", 50.0), ("done", 100.0)):
        with Progress(alice, "Import", 2, key="import", clock=clock) as progress:
            assert (said()["state"], said()["done"]) == ("running", 0)
            clock.now += 0.5
            progress.update(1)
            if state == "cancelled":
                press_cancel(client, progress.id)
            clock.now += 0.5
            progress.check()
        assert (said()["state"], said()["percent"]) == (state, percent)


def test_only_the_owner_cancels_with_a_token_and_by_post(
    alice: User, bob: User, client: Client, clock: Clock
) -> None:
    strict, bobs = Client(enforce_csrf_checks=True), Client()
    strict.force_login(alice)
    bobs.force_login(bob)
    with Progress(alice, "Import", clock=clock) as progress:
        assert press_cancel(bobs, progress.id).status_code == 200
        assert press_cancel(Client(), progress.id).status_code == 401
        assert press_cancel(strict, progress.id).status_code == 403
        assert client.get(reverse("sse_notify:cancel")).status_code == 405
        assert client.post(reverse("sse_notify:cancel"), {"up_to": 99}).status_code == 400
        assert press_cancel(client, None).status_code == 400
        clock.now += 0.5
        assert not progress.cancelled
        press_cancel(client, progress.id)
        clock.now += 0.5
        assert progress.cancelled


def test_the_button_is_on_the_page_while_it_can_be_pressed_and_a_browser_without_script_comes_back(
    alice: User, client: Client, clock: Clock
) -> None:
    def is_shown() -> bool:
        page = client.get(reverse("sse_notify:list")).content.decode()
        (form,) = [
            part.split(">")[0] for part in page.split("<form ") if 'data-ssen="cancel"' in part
        ]
        return "hidden" not in form

    here = reverse("sse_notify:list")
    with Progress(alice, "Import", clock=clock) as progress:
        assert is_shown()
        browsers = {"accept": "text/html,*/*;q=0.8"}
        answer = client.post(
            reverse("sse_notify:cancel"), {"ids": progress.id, "next": here}, headers=browsers
        )
        assert (answer.status_code, answer["Location"]) == (302, here)
        scripts = client.post(
            reverse("sse_notify:cancel"), {"ids": progress.id}, headers={"accept": "*/*"}
        )
        assert scripts.json()["unread"] == 1
        age(60)
        assert is_shown()
        clock.now += 0.5
        assert progress.cancelled
    assert not is_shown()


def test_what_cannot_be_cancelled_or_is_no_work_is_left_alone(
    alice: User, client: Client, clock: Clock
) -> None:
    other = notify(
        alice, "Not ours", data={"progress": {"state": "running", "percent": 40, "run": "mine"}}
    )
    before = everything()
    with Progress(alice, "Import", clock=clock, cancellable=False) as progress:
        for pk in (other.pk, progress.id):
            press_cancel(client, pk)
        clock.now += 1
        assert not progress.cancelled
        assert not Receipt.objects.exists()
    assert everything()[0] == before[0]
    page = client.get(reverse("sse_notify:list")).content.decode()
    assert all(
        "hidden" in part.split(">")[0]
        for part in page.split("<form ")
        if 'data-ssen="cancel"' in part
    )


def test_a_check_of_outer_work_ends_inner_work_and_leaves_both_blocks(
    alice: User, client: Client, clock: Clock
) -> None:
    reached = []
    with Progress(alice, "Outer", key="outer", clock=clock) as outer:
        with Progress(alice, "Inner", key="inner", clock=clock):
            press_cancel(client, outer.id)
            clock.now += 0.5
            outer.check()
        reached.append("between")
    states = dict(Notification.objects.values_list("key", "progress_state__state"))
    assert (reached, states) == ([], {"outer": "cancelled", "inner": "cancelled"})


# --- stalled, taken over, gone ---------------------------------------------------------------------------------------------------


def test_a_worker_that_says_nothing_is_stalled_until_it_speaks_again(
    alice: User, client: Client, clock: Clock
) -> None:
    with Progress(alice, "Import", 10, clock=clock, stalls_after=600) as progress:
        clock.now += 0.5
        progress.update(5)
        age(500)
        assert (said()["state"], 0 < said()["stalls_in"] <= 100) == ("running", True)
        age(100)
        assert (said()["state"], said()["stalls_in"], said()["percent"]) == ("stalled", None, 50)
        (item,) = client.get(reverse("sse_notify:items")).json()["items"]
        assert item["data"]["progress"]["state"] == "stalled"
        assert "Stalled · 50%" in client.get(reverse("sse_notify:list")).content.decode()
        clock.now += 0.5
        progress.update(6)
        assert (said()["state"], said()["done"]) == ("running", 6)


def test_stalled_work_is_cancelled_at_once_and_a_worker_that_wakes_up_is_told(
    alice: User, client: Client, clock: Clock, live: list[tuple[str, dict[str, Any]]]
) -> None:
    with Progress(alice, "Import", 10, clock=clock) as progress:
        before = row().seq or 0
        age(60)
        press_cancel(client, progress.id)
        ended = row()
        assert (said()["state"], ended.level, (ended.seq or 0) > before) == (
            "cancelled",
            "warning",
            True,
        )
        clock.now += 0.5
        progress.update(5)
        assert progress.cancelled
        live.clear()
        clock.now += 5
        progress.update(6)
    assert (row().seq, said()["state"], said()["done"], live) == (ended.seq, "cancelled", 0, [])


def test_a_later_run_under_the_key_takes_over_and_the_former_is_asked_to_end(
    alice: User, clock: Clock
) -> None:
    with (
        Progress(alice, "First", key="import", clock=clock) as first,
        Progress(alice, "Second", key="import", clock=clock) as second,
    ):
        clock.now += 0.5
        first.update(message="from the first")
        assert (first.cancelled, second.cancelled) == (True, False)
        first.fail("of the first")
        second.update(message="from the second")
        assert (row().title, said()["state"], said()["message"]) == (
            "Second",
            "running",
            "from the second",
        )
    assert (row().title, said()["state"], row().count) == ("Second", "done", 3)


@pytest.mark.parametrize("gone", ["recalled", "deleted", "notified"])
def test_work_goes_on_without_its_row(
    alice: User, clock: Clock, gone: str, live: list[tuple[str, dict[str, Any]]]
) -> None:
    with Progress(alice, "Import", key="import", clock=clock) as progress:
        if gone == "notified":
            notify(alice, "Something else", key="import")
        elif gone == "recalled":
            recall(row())
        else:
            row().delete()
        before = everything()
        for _ in range(3):
            clock.now += 0.5
            progress.advance()
        assert progress.cancelled is (gone == "notified")  # somebody else has the key now
        assert len(live) <= 1
    assert everything() == before


# --- the numbers -----------------------------------------------------------------------------------------------------------------


def test_the_eta_is_unknown_at_first_and_then_what_the_rate_says() -> None:
    gauge = Gauge(100, 0)
    assert (gauge.eta(0), gauge.eta(0.4)) == (None, None)
    for second in range(1, 31):
        gauge.done = 2 * second
        assert gauge.eta(second) == 50 - second
    assert Gauge(None, 0).eta(5) is None


def test_the_eta_of_work_that_goes_on_where_it_was_interrupted_counts_what_is_done_now() -> None:
    resumed = Gauge(1000, 0)
    resumed.take(0.1, done=500)
    resumed.take(10, done=510)
    assert resumed.eta(10) == 490
    slow = Gauge(1000, 0)
    slow.take(10, done=500)
    assert slow.eta(10) == 10


def test_the_eta_follows_a_rate_that_changes_and_grows_while_nothing_moves() -> None:
    gauge = Gauge(1000, 0)
    etas = []
    for second in range(1, 11):
        gauge.done = 10 * second
        etas.append(gauge.eta(second))
    waiting = [gauge.eta(second) or 0 for second in range(11, 21)]
    assert waiting == sorted(waiting)
    assert waiting[-1] > 1.5 * (etas[-1] or 0)
    last: int | None = None
    for second in range(21, 121):
        gauge.done = 100 + 5 * (second - 20)
        last = gauge.eta(second)
    assert last is not None
    assert last == pytest.approx(400 / 5, rel=0.05)
    gauge.done = 0  # begins anew
    assert gauge.eta(122) is None
    gauge.done = 5
    assert gauge.eta(123) == 199


@given(
    total=st.none() | st.floats(0, 1e6),
    steps=st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 1e6)), max_size=20),
)
def test_whatever_is_reported_the_numbers_make_sense(
    total: float | None, steps: list[tuple[float, float]]
) -> None:
    now = 0.0
    measured = Gauge(total, now)
    for seconds, done in steps:
        now += seconds
        measured.done = done
        told = measured.read(now)
        assert (told["percent"] is None) == (total is None)
        assert told["percent"] is None or 0 <= told["percent"] <= 100
        assert told["percent"] != 100 or done >= (total or 0)
        assert told["eta"] is None or (isinstance(told["eta"], int) and told["eta"] >= 0)
        json.dumps(told, allow_nan=False)


# --- threads, async code, bad input -----------------------------------------------------------------------------------------------


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


@task
def count_rows(user_id: int, rows: int) -> int:
    with Progress(User.objects.get(pk=user_id), "Import", rows, key="import") as progress:
        for _ in range(rows):
            progress.advance()
    return rows


@pytest.mark.django_db(transaction=True)
def test_a_task_of_djangos_own_framework_reports(alice: User) -> None:
    assert (count_rows.enqueue(alice.pk, 3).return_value, said()["state"], said()["done"]) == (
        3,
        "done",
        3,
    )


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_async_work_has_twins_for_everything(clock: Clock) -> None:
    alice = await User.objects.acreate(username="alice")

    async def told() -> dict[str, Any]:
        found = (await Notification.objects.aget()).payload()["data"]["progress"]
        assert isinstance(found, dict)
        return found

    async with Progress(alice, "Import", 10, key="import", clock=clock) as progress:
        calls: list[Callable[[], None]] = [
            progress.update,
            progress.advance,
            progress.check,
            partial(progress.fail, "x"),
        ]
        for call in calls:
            with pytest.raises(SynchronousOnlyOperation, match="await progress"):
                call()
        clock.now += 0.5
        await progress.aupdate(4, stage="Reading")
        assert ((await told())["done"], (await told())["stage"]) == (4, "Reading")
        clock.now += 0.5
        await progress.aadvance(2)
        assert ((await told())["done"], progress.cancelled) == (6, False)
        client = Client()
        await client.aforce_login(alice)
        await sync_to_async(press_cancel)(client, progress.id)
        clock.now += 0.5
        await progress.acheck()
    assert ((await told())["state"], progress.cancelled) == ("cancelled", True)
    assert not await Notification.objects.filter(
        seq=None
    ).aexists()  # numbered after the commit, and so on its way
    for verb, state in (("afinish", "done"), ("afail", "failed")):
        async with Progress(alice, "Import", key="import", clock=clock) as progress:
            await getattr(progress, verb)("so")
        assert ((await told())["state"], (await told())["message"]) == (state, "so")
    task = asyncio.create_task(forever(alice))
    while (await told())["state"] != "running":
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await told())["state"] == "cancelled"


async def forever(alice: User) -> None:
    async with Progress(alice, "Import", key="import"):
        await asyncio.Event().wait()


BAD: list[tuple[str, type[Exception], Callable[[Any], Any]]] = [
    ("user", TypeError, lambda alice: Progress(None, "x")),  # type: ignore[arg-type]
    ("user", ValueError, lambda alice: Progress(User(username="new"), "x")),
    ("title", ValueError, lambda alice: Progress(alice, "")),
    ("total", ValueError, lambda alice: Progress(alice, "x", -1)),
    ("total", ValueError, lambda alice: Progress(alice, "x", float("nan"))),
    ("total", TypeError, lambda alice: Progress(alice, "x", "10")),  # type: ignore[arg-type]
    ("stalls_after", ValueError, lambda alice: Progress(alice, "x", stalls_after=0.5)),
    ("stalls_after", TypeError, lambda alice: Progress(alice, "x", stalls_after=None)),  # type: ignore[arg-type]
    ("key", ValueError, lambda alice: Progress(alice, "x", key="k" * 201)),
    ("url", ValueError, lambda alice: Progress(alice, "x", url="javascript:alert(1)")),
    ("data", TypeError, lambda alice: Progress(alice, "x", data=[1])),  # type: ignore[arg-type]
    ("data", ValueError, lambda alice: Progress(alice, "x", data={"progress": {}})),
    ("data", ValueError, lambda alice: Progress(alice, "x", data={"x": "y" * 60_000})),
]


@pytest.mark.parametrize(("name", "kind", "make"), BAD)
def test_a_wrong_argument_is_named_and_nothing_is_written(
    alice: User, name: str, kind: type[Exception], make: Callable[[Any], Any]
) -> None:
    with pytest.raises(kind, match=f"^{name}: "):
        make(alice)
    assert not Notification.objects.exists()


def test_a_wrong_report_is_named_and_nothing_of_it_is_said(alice: User, clock: Clock) -> None:
    bad: list[tuple[str, type[Exception], Callable[[Any], Any]]] = [
        ("done", ValueError, lambda p: p.update(-1)),
        ("done", TypeError, lambda p: p.update("5")),
        ("done", TypeError, lambda p: p.update(True)),
        ("done", ValueError, lambda p: p.update(10**400)),
        ("stage", ValueError, lambda p: p.update(5, stage="s" * 256)),
        ("message", ValueError, lambda p: p.update(5, message="\0")),
        ("message", ValueError, lambda p: p.update(5, message="\ud800")),
        ("message", TypeError, lambda p: p.update(5, message=7)),
        ("n", ValueError, lambda p: p.advance(-1)),
        ("n", TypeError, lambda p: p.advance("")),
        ("total", ValueError, lambda p: setattr(p, "total", -5)),
        ("url", ValueError, lambda p: p.finish(url="javascript:alert(1)")),
        ("message", ValueError, lambda p: p.fail("m" * 1001)),
    ]
    with Progress(alice, "Import", 10, clock=clock) as progress:
        for name, kind, call in bad:
            clock.now += 0.5
            with pytest.raises(kind, match=f"^{name}: "):
                call(progress)
        progress.check()
        assert (said()["state"], said()["done"], said()["total"]) == ("running", 0, 10)


def test_outside_of_the_block_and_in_a_second_one_it_says_so(alice: User) -> None:
    progress = Progress(alice, "Import")
    assert progress.id is None
    calls: list[Callable[[], None]] = [
        progress.advance,
        progress.update,
        progress.finish,
        lambda: progress.fail("x"),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="with progress"):
            call()
    assert not progress.cancelled
    progress.total = 5
    with progress:
        assert said()["total"] == 5
    with pytest.raises(RuntimeError, match="one run"), progress:
        pass


def test_the_longest_texts_fit_an_event_that_was_small_enough_at_the_start(
    alice: User, clock: Clock
) -> None:
    with (
        override_settings(SSE_NOTIFY={"EVENT_MAX_BYTES": 9000}),
        Progress(alice, "Import", clock=clock) as progress,
    ):
        clock.now += 0.5
        progress.update(0.1, stage="\x02" * 255, message="\x02" * 1000)
        progress.total = 2**53
        assert len(json.dumps(row().payload())) < 9000


def test_a_total_that_is_nothing_is_done_and_one_that_is_found_later_is_told(
    alice: User, clock: Clock
) -> None:
    with Progress(alice, gettext_lazy("Import"), clock=clock) as progress:
        assert said()["percent"] is None
        progress.total = 0
        clock.now += 0.5
        progress.check()
        assert said()["percent"] == 100
        progress.total = 3
        clock.now += 0.5
        progress.advance(2)
        assert said()["percent"] == 66.6
    assert (said()["percent"], row().created_at > timezone.now() - timedelta(minutes=1)) == (
        100,
        True,
    )
