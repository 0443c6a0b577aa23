"""The row of long work: cancelled by its user, stalled, taken over by a later run, gone."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from time import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sse_notify import (
    Cancelled,
    Progress,
    notify,
    recall,
)
from sse_notify.models import Notification, Receipt
from sse_notify.progress import store
from tests.support import locks
from tests.unit.progress.conftest import Clock, age, everything, press_cancel, reads, row, said

pytestmark = pytest.mark.django_db


@pytest.mark.server
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
            while following.is_alive() and not locks.is_waited_for():
                pass
        return execute(sql, *args)

    with connection.execute_wrapper(meanwhile):
        store.cancel(alice, [row().pk])
    following.join()
    clock.now += 1
    assert not second.cancelled
    second.finish()


def test_cancel_on_the_page_ends_work_that_checks(
    alice: User, client: Client, clock: Clock
) -> None:
    after = []
    with Progress(alice, "Import", 10, clock=clock) as progress:
        row()
        progress.check()
        answer = press_cancel(client, progress.id).json()
        assert (answer["unread"], answer["unseen"]) == (1, 1)
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


@pytest.mark.parametrize(("interval", "expected"), [(None, 1.0), (3.0, 3.0), (0.2, 1.0)])
def test_without_a_layer_pages_ask_for_progress_at_the_pace_of_the_poll(
    alice: User,
    client: Client,
    clock: Clock,
    settings: Any,
    interval: float | None,
    expected: float,
) -> None:
    """In another process than the worker's nothing is told live. What an answer says makes the page ask again."""
    settings.SSE_NOTIFY = {"POLL_INTERVAL": interval}
    with Progress(alice, "Import", 10, clock=clock, stalls_after=600) as progress:
        for done in range(3):
            (item,) = client.get(reverse("sse_notify:items")).json()["items"]
            told = item["progress"]
            assert (told["done"], told["stalls_in"]) == (done, expected)
            clock.now += 0.5
            progress.advance()


def test_they_ask_no_later_than_the_work_may_have_stalled(alice: User, settings: Any) -> None:
    settings.SSE_NOTIFY = {"POLL_INTERVAL": 3600.0}
    with Progress(alice, "Import", 10, stalls_after=600):
        assert 500 < said()["stalls_in"] <= 600


def test_with_a_layer_they_are_told_and_ask_only_a_worker_that_is_silent(
    alice: User, clock: Clock, settings: Any, redis_url: str
) -> None:
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [redis_url]}}}
    with Progress(alice, "Import", 10, clock=clock, stalls_after=600):
        assert 500 < said()["stalls_in"] <= 600


def test_a_run_that_an_older_version_began_is_asked_after_as_before(alice: User) -> None:
    run = {"id": "0" * 32, "heard_at": time(), "stalls_after": 600.0, "cancellable": True}
    state = {"state": "running", "done": 4, "total": 10, "run": run}
    notify(alice, "Work", key="work")
    Notification.objects.update(progress_state=state)
    assert 500 < said()["stalls_in"] <= 600


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
        assert item["progress"]["state"] == "stalled"
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


def test_work_that_only_looks_finds_that_a_later_run_has_taken_over(
    alice: User, clock: Clock
) -> None:
    with Progress(alice, "First", key="import", cancellable=False, clock=clock) as first:
        assert not first.cancelled
        with Progress(alice, "Second", key="import", clock=clock):
            clock.now += 0.5
            with CaptureQueriesContext(connection) as queries, pytest.raises(Cancelled):
                first.check()
            assert len(reads(queries)) == 1


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


@pytest.mark.parametrize("name", ["1" * 32, "12e" + "0" * 28 + "1", "1e" + "5" * 30])
def test_a_run_whose_random_name_looks_like_a_number_keeps_its_row(
    alice: User, clock: Clock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """On SQLite, a text inside of JSON comes back without its quotes."""
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(name))
    with Progress(alice, "Import", 2, key="import", clock=clock) as progress:
        clock.now += 1
        progress.advance()
        progress.check()
    assert said()["state"] == "done"
