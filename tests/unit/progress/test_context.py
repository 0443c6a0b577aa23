"""What a worker and its user see of ``Progress``: one notification, from its start to its end."""

from __future__ import annotations

import asyncio
import json
import sys
from bisect import bisect_left
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy

from sse_notify import Cancelled, Progress, ProgressFailed, archive, mark_read, unread_count
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import get_head
from sse_notify.models import Notification
from sse_notify.sse.format import encode_json, parse
from sse_notify.topics import topics_of

try:
    from django.tasks import task
except ImportError:  # before Django 6
    from django_tasks import task  # type: ignore[no-redef]

from tests.unit.progress.conftest import Clock, press_cancel, row, said

pytestmark = pytest.mark.django_db


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
        assert begun.payload()["data"] == {"order": 7}
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
    assert ended.payload()["data"] == {"order": 7}


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
        assert item["progress"]["percent"] == 40
        page = client.get(reverse("sse_notify:list")).content.decode()
        assert 'value="40.0" max="100"' in page
    row()
    entries, _complete = read_entries(
        cursor, get_head(), reader=Reader(topics=topics_of(alice), user_id=alice.pk), limit=10
    )
    (event,) = parse(entries[0].frame)
    assert (len(entries), event.data["progress"]["state"]) == (1, "done")


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


@pytest.mark.parametrize("state", ["running", "done", "failed"])
def test_a_lazy_text_is_told_in_the_language_that_is_active(
    alice: User, clock: Clock, state: str
) -> None:
    text: Any = gettext_lazy("Something went wrong.")
    with translation.override("de"), Progress(alice, "Import", clock=clock) as progress:
        clock.now += 0.5
        if state == "running":
            progress.update(stage=text, message=text)
        elif state == "done":
            progress.finish(text)
        else:
            progress.fail(text)
        assert (said()["state"], said()["message"]) == (state, str(text))
        assert said()["message"] != "Something went wrong."


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
        found = (await Notification.objects.aget()).payload()["progress"]
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


def grouped(*errors: BaseException) -> BaseExceptionGroup[Any]:
    """Return what a task group inside of a task group raises."""
    return BaseExceptionGroup("tasks", [BaseExceptionGroup("more tasks", errors)])


GENERAL = "Something went wrong."
GROUPS: dict[str, tuple[BaseException, str, str, bool, bool]] = {
    "cancelled": (grouped(Cancelled()), "cancelled", "", False, False),
    "twice": (grouped(Cancelled(), Cancelled()), "cancelled", "", False, False),
    "other work": (grouped(Cancelled(progress=object())), "cancelled", "", True, False),
    "reason": (grouped(ProgressFailed("Line 3")), "failed", "Line 3", True, False),
    "both": (grouped(Cancelled(), ProgressFailed("Line 3")), "failed", "Line 3", True, False),
    "error": (grouped(Cancelled(), KeyError("secret")), "failed", GENERAL, True, True),
    "errors": (grouped(ProgressFailed("x"), KeyError("secret")), "failed", GENERAL, True, True),
}


@pytest.mark.parametrize(
    ("error", "state", "message", "goes_on", "is_logged"), GROUPS.values(), ids=GROUPS
)
def test_a_group_of_exceptions_ends_it_as_those_in_it(
    alice: User, caplog: Any, error: Any, state: str, message: str, goes_on: bool, is_logged: bool
) -> None:
    with pytest.raises(BaseExceptionGroup) if goes_on else nullcontext():  # noqa: SIM117
        with Progress(alice, "Import"):
            raise error
    assert (said()["state"], said()["message"]) == (state, message)
    assert ("state=failed" in caplog.text) == is_logged


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_task_that_finds_its_work_cancelled_ends_it(clock: Clock) -> None:
    """A task group raises a group of exceptions, and cancels its other tasks."""
    alice = await User.objects.acreate(username="alice")
    client = Client()
    await client.aforce_login(alice)
    async with Progress(alice, "Import", clock=clock) as progress:
        await sync_to_async(press_cancel)(client, progress.id)
        clock.now += 0.5
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(progress.acheck())
            tasks.create_task(asyncio.Event().wait())
    assert (await sync_to_async(said)())["state"] == "cancelled"


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
    ("data", TypeError, lambda alice: Progress(alice, "x", data={"x": {1}})),
    ("data", ValueError, lambda alice: Progress(alice, "x", data={"x": "y" * 60_000})),
]


@pytest.mark.parametrize(("name", "kind", "make"), BAD)
def test_a_wrong_argument_is_named_and_nothing_is_written(
    alice: User, name: str, kind: type[Exception], make: Callable[[Any], Any]
) -> None:
    with pytest.raises(kind, match=f"^{name}:? "):
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
            with pytest.raises(kind, match=f"^{name}:? "):
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


def test_what_the_work_makes_of_its_own_objects_does_not_matter(alice: User) -> None:
    data: dict[str, Any] = {"order": 7}
    with Progress(alice, "Import", data=data) as progress:
        data["order"] = object()
        progress.finish(url="/done/")
    assert (row().data, row().url, said()["state"]) == ({"order": 7}, "/done/", "done")


def fits(alice: User, limit: int) -> bool:
    """Return whether work may begin with this limit."""
    with override_settings(SSE_NOTIFY={"EVENT_MAX_BYTES": limit}):
        try:
            Progress(alice, "Import", data={"order": 7})
        except ValueError:
            return False
    return True


def test_the_longest_texts_fit_an_event_that_was_small_enough_at_the_start(
    alice: User, clock: Clock
) -> None:
    limits = range(1, 10_000)
    limit = limits[bisect_left(limits, True, key=lambda limit: fits(alice, limit))]

    def measure() -> None:
        found = row()
        frame = encode_json(found.payload(), event=found.event, id=found.seq)
        assert len(frame) <= limit

    with override_settings(SSE_NOTIFY={"EVENT_MAX_BYTES": limit}):
        for verb in ("finish", "fail"):
            with Progress(alice, "Import", data={"order": 7}, clock=clock) as progress:
                measure()
                progress.total = 2**53
                clock.now += 0.5
                progress.update(sys.float_info.min, stage="\x02" * 255, message="\x02" * 1000)
                measure()
                with pytest.raises(ValueError, match=r"^\w+ must be smaller: "):
                    progress.finish(url="/" + "x" * 1000)
                assert said()["state"] == "running"
                getattr(progress, verb)("\x03" * 1000)
            measure()
            assert said()["message"] == "\x03" * 1000
            Notification.objects.all().delete()


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
        assert progress.total == 3
        clock.now += 0.5
        progress.advance(2)
        assert said()["percent"] == 66.6
    assert (said()["percent"], row().created_at > timezone.now() - timedelta(minutes=1)) == (
        100,
        True,
    )
