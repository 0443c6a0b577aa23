"""The row of each process with streams; several real processes are in ``tests/servers/test_presence.py``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from io import StringIO
from itertools import islice, product
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.test import Client, RequestFactory, TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from prometheus_client.parser import text_string_to_metric_families as parse

from sse_notify import anotify, metrics
from sse_notify.bus import signing
from sse_notify.concurrency import threadpool
from sse_notify.models import Heartbeat
from sse_notify.monitoring import live, presence, processes
from sse_notify.monitoring.processes import HubStatus
from sse_notify.sse.format import dumps
from sse_notify.streaming import hub
from sse_notify.testing import open_stream


def elsewhere(name: str, *, age: float = 0, more: dict[str, Any] | None = None) -> HubStatus:
    """Write the row of another process, as it would have ``age`` seconds ago."""
    status = replace(processes.here(7), id=name, host=name, pid=1, streams=2, users=1, cursor=5)
    figures = {**asdict(status), **(more or {})}
    Heartbeat.objects.create(id=name, at=Now() - timedelta(seconds=age), figures=figures)
    return status


async def on_the_hubs_thread(query: Any) -> Any:
    """Return what ``query`` returns, between two heartbeats."""
    return await threadpool.hub(query)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "JOBS_AFTER", 0.01)
    monkeypatch.setattr(processes, "INTERVAL", 0.02)


def rows() -> list[Heartbeat]:
    return list(Heartbeat.objects.order_by("pk"))


# --- writing --------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
async def test_the_row_follows_the_streams_and_goes_with_the_last_one(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MISSED", 1e6)

    def figures() -> dict[str, Any]:
        found: dict[str, Any] = rows()[0].figures if rows() else {"streams": 0}
        return found

    async with asyncio.timeout(20):
        async with open_stream(alice) as stream:
            async with open_stream(alice), open_stream(bob):
                await anotify(alice, "Hello")
                await stream.next("notification")
                while (found := await on_the_hubs_thread(figures))["streams"] != 3:
                    pass
                assert (found["users"], found["anonymous"]) == (2, 0)
                # A row's head is read before its cursor, and may be older or, before the hub has
                # dispatched it, newer.
                while [found["head"], found["cursor"]] != [1, 1]:
                    found = await on_the_hubs_thread(figures)
                assert found["draining"] is False
                while not (await on_the_hubs_thread(figures))["rate"]:
                    await anotify(alice, "Hello")
            while (await on_the_hubs_thread(figures))["streams"] != 1:
                pass
            assert [row.pk for row in await on_the_hubs_thread(rows)] == [signing.origin()]
        while await on_the_hubs_thread(rows):
            pass
        # And again, by the next stream.
        async with open_stream(bob):
            while not await on_the_hubs_thread(rows):
                pass
        while await on_the_hubs_thread(rows):
            pass


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_stream_that_comes_and_goes_within_a_second_costs_no_query(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("nothing is written")

    monkeypatch.setattr(processes, "write", refuse)
    monkeypatch.setattr(processes, "_rows", refuse)
    monkeypatch.setattr(hub, "JOBS_AFTER", 3600)
    before = asyncio.all_tasks()
    async with open_stream(alice):
        pass
    async with asyncio.timeout(20):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0)


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
async def test_a_database_that_is_away_is_one_incident_and_the_next_heartbeat_is_written(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = processes.write
    failed = 0

    def fail(rate: float | None) -> None:
        nonlocal failed
        failed += 1
        if failed <= 3:
            raise OperationalError("away")
        write(rate)

    monkeypatch.setattr(processes, "write", fail)
    async with asyncio.timeout(20), open_stream(alice):
        while not await on_the_hubs_thread(rows):
            pass
        await anotify(alice, "Hello")
    said = [record.getMessage() for record in caplog.records if "heartbeat" in record.getMessage()]
    assert [line.split(" error")[0].split(" seconds")[0] for line in said] == [
        "incident=heartbeat state=failed",
        "incident=heartbeat state=healed failures=3",
    ]


@pytest.mark.django_db
def test_a_heartbeat_is_one_update_and_the_first_one_forgets_the_dead() -> None:
    elsewhere("killed", age=processes.MISSED * processes.INTERVAL + 1)
    elsewhere("alive")
    processes.write(None)
    assert {row.pk for row in rows()} == {"alive", signing.origin()}
    with CaptureQueriesContext(connection) as found:
        processes.write(1.5)
    assert [query["sql"].split()[0] for query in found] == ["SELECT", "UPDATE"]


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_rows_of_other_processes_are_read_and_those_of_dead_ones_are_not() -> None:
    alive = elsewhere("b-alive", age=processes.MISSED * processes.INTERVAL - 5)
    newer = elsewhere("a-newer", more={"what a newer version writes": 1})
    elsewhere("killed", age=processes.MISSED * processes.INTERVAL + 1)
    with CaptureQueriesContext(connection) as found:
        read = processes.read(head=9)
    assert [(status.id, status.lag) for status in read] == [("a-newer", 2), ("b-alive", 2)]
    assert abs(read[0].at - newer.at) < timedelta(seconds=0.001), "JSON keeps milliseconds"
    assert replace(read[1], at=alive.at, started=alive.started) == alive
    assert len(found) == 1
    assert processes.read(head=9, everywhere=False) == []


DIGITS = "1" + "0" * 5000
ODD: list[Any] = [None, 7, "x", [], [7], {}, True, -1, 10**400, {"x": 7}, {"x": {"x": 7}}, [None]]


def figures_of_other_versions(known: dict[str, Any]) -> Iterator[Any]:
    """Yield figures as an older, a newer or a damaged version may have written them."""
    yield from ODD
    for name in known:
        yield {field: value for field, value in known.items() if field != name}
        yield from ({**known, name: odd} for odd in ODD)
    for name, odd in product(known["counters"], ODD):
        yield {**known, "counters": {**known["counters"], name: odd}}
    for name, odd in product(("started", "at"), ("0001-01-01", "2026-13-01", DIGITS)):
        yield {**known, name: odd}


def write_figures(name: str, text: str) -> None:
    """Write a row's figures as SQL does."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sse_notify_heartbeat SET figures = %s WHERE id = %s", [text, name])


@pytest.mark.django_db
@pytest.mark.parametrize("part", range(8))
def test_of_a_row_that_another_version_wrote_each_reader_shows_what_it_can(part: int) -> None:
    browser = Client()
    browser.force_login(User.objects.create_superuser("carol"))
    elsewhere("there")
    known = Heartbeat.objects.get().figures
    for figures in islice(figures_of_other_versions(known), part, None, 8):
        write_figures("there", json.dumps(figures))
        [status] = processes.read(7)
        if isinstance(figures, dict):
            for name in ("host", "pid", "streams", "users", "cursor", "draining"):
                is_whole = repr(figures.get(name)) == repr(known[name])
                assert not is_whole or getattr(status, name) == known[name]
        for options in ([], ["--json"]):
            call_command("sse_status", *options, timeout=0.01, stdout=StringIO())
        page = browser.get(reverse("admin:sse_notify_notification_live"))
        assert 'data-key="there"' in page.content.decode()
        answer = metrics.metrics(RequestFactory().get("/metrics/")).content.decode()
        assert "sse_notify_streams" in {family.name for family in parse(answer)}
        assert dumps(live.report(presence.look(0.01)))


@pytest.mark.django_db
@pytest.mark.parametrize("text", [DIGITS, f'{{"streams": {DIGITS}}}', "[" * 500 + "]" * 500])
def test_a_row_that_cannot_be_read_hides_no_other(text: str) -> None:
    elsewhere("a")
    elsewhere("b")
    write_figures("b", text)
    assert {status.id for status in processes.read(7)} == {"a", "b"}


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_this_process_is_read_as_it_is_now_with_the_rate_of_its_last_heartbeat(
    alice: User,
) -> None:
    async with open_stream(alice):
        await on_the_hubs_thread(lambda: processes.write(2.5))
        async with open_stream(alice):
            [now] = await on_the_hubs_thread(lambda: processes.read(head=4))
            assert (now.streams, now.users, now.head, now.rate) == (2, 1, 4, 2.5)
    # Its row is of no account once it has no streams.
    assert await on_the_hubs_thread(lambda: processes.read(head=4)) == []


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_two_event_loops_of_a_process_are_counted_together(alice: User, bob: User) -> None:
    async def in_another_loop() -> HubStatus:
        async with open_stream(bob), open_stream(alice):
            return processes.here(head=0)

    async with open_stream(alice):
        status = await asyncio.to_thread(asyncio.run, in_another_loop())
    assert (status.streams, status.users, status.anonymous) == (3, 2, 0)


@pytest.mark.usefixtures("quick")
class InATestCase(TestCase):
    """Inside a transaction that no other thread sees into."""

    async def test_the_row_is_part_of_the_tests_transaction(self) -> None:
        user = await sync_to_async(User.objects.create_user)("alice")
        async with asyncio.timeout(20):
            async with open_stream(user):
                while not await sync_to_async(rows)():
                    pass
            while await sync_to_async(rows)():
                pass
