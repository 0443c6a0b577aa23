"""The tables change by migrations alone, and a database of the first one keeps what it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from sse_notify import (
    archive,
    mark_read,
    muted_categories,
    notify,
    unread_count,
    unseen_count,
)
from sse_notify.bus.messages import Entry
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import Position, get_position, number_pending
from sse_notify.models import Inbox, LogHead, Notification, Receipt
from sse_notify.progress.store import cancel
from tests.support.readers import reader_of

APP = "sse_notify"
FIRST = "0001_initial"

NOW = timezone.now()
# What the first version wrote: title, number (None: committed, and its process died), topic, and more.
ROWS: list[tuple[str, int | None, str, dict[str, Any]]] = [
    ("archived by the watermark", 1, "user", {}),
    ("unread again", 2, "user", {"level": "warning", "data": {"order": 7}}),
    ("archived by hand", 3, "everyone", {}),
    ("for the staff", 4, "staff", {}),
    ("read by hand", 5, "group", {}),
    ("keyed", 6, "user", {"key": "build", "count": 3}),
    ("without her", 7, "everyone", {}),
    ("expired", 8, "everyone", {"expires_at": NOW - timedelta(days=1)}),
    ("before she joined", 9, "everyone", {"created_at": NOW - timedelta(days=400)}),
    ("pending", None, "user", {"idempotency_key": "once"}),
]


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_exact_texts_change_no_table_but_those_of_mysql(capsys: pytest.CaptureFixture[str]) -> None:
    """SQLite would copy the table for each column."""
    for backwards in (False, True):
        call_command("sqlmigrate", APP, "0011", backwards=backwards)
        lines = capsys.readouterr().out.splitlines()
        statements = [
            line for line in lines if line and not line.startswith(("--", "BEGIN", "COMMIT"))
        ]
        assert bool(statements) == (connection.vendor == "mysql")


@pytest.fixture
def at_the_first_migration(transactional_db: None) -> Iterator[Any]:
    """The apps as they were at the first migration, and a database of that time; afterwards it is the newest again."""
    call_command("migrate", APP, FIRST, verbosity=0)
    yield MigrationExecutor(connection).loader.project_state((APP, FIRST)).apps
    call_command("migrate", verbosity=0)


def fill(apps: Any, user: User, team: Group) -> None:
    """Write what the first version would have left: rows in every state, a user's inbox, a log whose numbering was cut short."""
    old = {
        name: apps.get_model(APP, name).objects
        for name in ("Notification", "Receipt", "Exclusion", "Inbox", "LogHead")
    }
    topics = {
        "user": f"user:{user.pk}",
        "group": f"group:{team.pk}",
        "staff": "staff",
        "everyone": "everyone",
    }
    for title, seq, audience, more in ROWS:
        whom = (
            {"recipient_id": user.pk}
            if audience == "user"
            else {"group_id": team.pk}
            if audience == "group"
            else {}
        )
        old["Notification"].create(
            title=title, seq=seq, audience=audience, topic=topics[audience], **whom, **more
        )

    def row(title: str) -> int:
        pk: int = old["Notification"].get(title=title).pk
        return pk

    old["Exclusion"].create(notification_id=row("without her"), user_id=user.pk)
    old["Receipt"].create(
        notification_id=row("unread again"), user_id=user.pk, seen_at=NOW, unread_at=NOW
    )
    old["Receipt"].create(notification_id=row("archived by hand"), user_id=user.pk, archived_at=NOW)
    old["Receipt"].create(
        notification_id=row("read by hand"), user_id=user.pk, seen_at=NOW, read_at=NOW
    )
    told = [
        {"set": "read", "ids": [row("read by hand")], "client": "a tab"}
    ]  # changes had no number of their own
    marks = {"read_up_to": 2, "seen_up_to": 3, "archived_up_to": 1}
    old["Inbox"].create(user_id=user.pk, state_seq=10, changes=told, **marks)
    old["LogHead"].update_or_create({"seq": 10, "floor": 1}, pk=1)


def test_a_database_of_the_first_migration_keeps_its_inboxes_and_its_log(
    at_the_first_migration: Any,
) -> None:
    user = User.objects.create_user("alice", date_joined=NOW - timedelta(days=30))
    team = Group.objects.create(name="team")
    user.groups.add(team)
    fill(at_the_first_migration, user, team)

    call_command("migrate", APP, verbosity=0)

    newest = MigrationLoader(connection).graph.leaf_nodes(APP)
    assert newest[0] in MigrationExecutor(connection).loader.applied_migrations
    assert Permission.objects.filter(
        content_type__app_label=APP, codename="broadcast_notification"
    ).exists()
    assert Notification.objects.count() == len(ROWS)
    inbox = Notification.objects.visible_to(user)
    assert {row.title: (row.is_unread, row.is_unseen) for row in inbox} == {
        "unread again": (True, False),
        "read by hand": (False, False),
        "keyed": (True, True),
        "pending": (True, True),
    }
    assert {row.title for row in inbox.archived()} == {
        "archived by the watermark",
        "archived by hand",
    }
    assert (unread_count(user), unseen_count(user)) == (3, 2)
    kept = Notification.objects.get(title="unread again")
    assert (kept.data, kept.level, kept.recalled_at) == ({"order": 7}, "warning", None)

    # Somebody who was away since the first number gets what was missed, in order, and the change of the inbox at its place.
    assert get_position() == Position(10, 1)
    entries, complete = read_entries(1, 10, reader=reader_of(user), limit=100)
    assert complete == 10
    assert [said(entry) for entry in entries] == [
        (2, "unread again"),
        (3, "archived by hand"),
        (5, "read by hand"),
        (6, "keyed"),
        (10, "read"),
    ]

    # The log goes on where it was cut short, and the verbs go on with the rows as they are.
    (batch,) = number_pending()
    assert [said(entry) for entry in batch.entries] == [(11, "pending")]
    pk = Notification.objects.get(title="pending").pk
    assert notify(user, "pending", idempotency_key="once").pk == pk
    assert notify(user, "keyed", key="build").count == 4
    mark_read(user, ids=[pk])
    archive(user, up_to=5)
    assert [row.title for row in Notification.objects.visible_to(user).unread()] == ["keyed"]
    assert Inbox.objects.get(user=user).changes[-1]["set"] == "archived"


def test_the_head_of_the_log_is_there_before_the_first_notification(
    at_the_first_migration: Any,
) -> None:
    """Who numbers first locks a row that is there; transactions that all insert it fail at higher isolation levels."""
    at_the_first_migration.get_model(APP, "LogHead").objects.all().delete()
    call_command("migrate", APP, verbosity=0)
    assert list(LogHead.objects.values_list("pk", "seq", "floor")) == [(1, 0, 0)]


def said(entry: Entry) -> tuple[int, str]:
    """Return the number of an entry, and what it says: a title, or what was set."""
    data = json.loads(entry.frame.split(b"data: ", 1)[1].split(b"\n", 1)[0])
    return entry.seq, data.get("title") or data["set"]


# Heard of later than now, so that it has not stalled when a test comes to it.
HEARD_AT = (NOW + timedelta(days=1)).timestamp()
WORK_RUN = {"id": "0" * 32, "heard_at": HEARD_AT, "stalls_after": 30.0, "cancellable": True}
NUMBERS = {"done": 4, "total": 10, "percent": 40.0, "stage": "Reading", "message": "", "eta": None}
RUNNING = {"state": "running", **NUMBERS, "run": WORK_RUN}
# Up to 0006 the state of long work was in the row's data. Key, data, and whether it is long work.
DATA: list[tuple[str | None, Any, bool]] = [
    ("runs", {"order": 7, "progress": RUNNING}, True),
    ("done", {"progress": {"state": "done", **NUMBERS}}, True),
    ("cancelled", {"progress": {"state": "cancelled", **NUMBERS, "total": None}}, True),
    ("a project's, of another kind", {"progress": {"run": "first"}}, False),
    ("a project's, like ours", {"progress": {"state": "done", "percent": 40}}, False),
    ("a project's, with more", {"progress": {"state": "done", **NUMBERS, "more": 1}}, False),
    ("a project's, in a state of its own", {"progress": {"state": "paused", **NUMBERS}}, False),
    ("no object", {"progress": 40}, False),
    ("a list", ["progress"], False),
    ("nothing", None, False),
    (None, {"progress": RUNNING}, False),  # long work always has a key
]


@pytest.fixture
def before_long_work_had_a_column(transactional_db: None) -> Iterator[Any]:
    """The apps as they were at 0006; afterwards the database is the newest again."""
    before = (APP, "0006_recipient_index")
    call_command("migrate", *before, verbosity=0)
    yield MigrationExecutor(connection).loader.project_state(before).apps
    call_command("migrate", verbosity=0)


def rows_of(apps: Any) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of the tables in which users' acts are kept, by model."""
    names = ("Receipt", "Mute", "Exclusion", "Inbox", "LogHead")
    return {name: list(apps.get_model(APP, name).objects.order_by("pk").values()) for name in names}


def test_a_database_that_knew_archives_mutes_and_cancelled_work_keeps_all_of_it(
    before_long_work_had_a_column: Any,
) -> None:
    """Two inboxes with several numbered changes each, one of them with one that waits for its number."""
    apps_then = before_long_work_had_a_column
    user, other = (
        User.objects.create_user(name, date_joined=NOW - timedelta(days=30))
        for name in ("alice", "bob")
    )
    old = {model.__name__: model.objects for model in apps_then.get_app_config(APP).get_models()}
    mine = {"audience": "user", "topic": f"user:{user.pk}", "recipient_id": user.pk}
    titles: list[tuple[str, dict[str, Any]]] = [
        ("read below", {}),
        ("unread again", {}),
        ("back from the archive", {}),
        ("archived", {}),
        ("of a muted category", {"category": "news"}),
        ("recalled", {"recalled_at": NOW}),
        ("runs", {"key": "work", "data": {"order": 7, "progress": RUNNING}}),
        ("new", {"actions": [{"label": "Open", "url": "/"}]}),
    ]
    pks: dict[str, int] = {
        title: old["Notification"].create(title=title, seq=seq, **mine, **more).pk
        for seq, (title, more) in enumerate(titles, start=1)
    }
    stamps = {
        "unread again": {"seen_at": NOW, "unread_at": NOW},
        "back from the archive": {"seen_at": NOW, "read_at": NOW, "unarchived_at": NOW},
        "archived": {"seen_at": NOW, "read_at": NOW, "archived_at": NOW},
        "runs": {"cancel_asked_at": NOW},
    }
    for title, at in stamps.items():
        old["Receipt"].create(user_id=user.pk, notification_id=pks[title], **at)
    for category in ("news", "offers"):
        old["Mute"].create(user_id=user.pk, category=category)
    unarchived = {
        "set": "unarchived",
        "ids": [pks["back from the archive"]],
        "client": "",
        "seq": 11,
    }
    seen = {"set": "seen", "up_to": 3, "client": "a tab", "seq": 12}
    marks = {"read_up_to": 3, "seen_up_to": 3, "archived_up_to": 3}
    old["Inbox"].create(user_id=user.pk, state_seq=12, changes=[unarchived, seen], **marks)
    waits = {"set": "read", "up_to": 8, "client": ""}
    old["Inbox"].create(
        user_id=other.pk, changes=[{"set": "lost", "seq": 9}, {**seen, "seq": 10}, waits]
    )
    old["LogHead"].update_or_create({"seq": 12, "floor": 1}, pk=1)
    before = rows_of(apps_then)

    call_command("migrate", APP, verbosity=0)

    assert rows_of(apps) == before
    visible = Notification.objects.visible_to(user)
    assert {row.title: (row.is_unread, row.is_unseen, row.is_muted) for row in visible} == {
        "back from the archive": (False, False, False),
        "of a muted category": (False, False, True),
        "runs": (True, True, False),
        "new": (True, True, False),
    }
    archived = {row.title: row.is_unread for row in visible.archived()}
    assert archived == {"read below": False, "unread again": True, "archived": False}
    assert (unread_count(user), unseen_count(user)) == (2, 2)
    assert muted_categories(user) == ["news", "offers"]
    assert Notification.objects.get(title="new").actions == [{"label": "Open", "url": "/"}]

    # Pages that were open during the upgrade: one has heard all but the newest change, one less.
    reader = reader_of(user)
    assert [said(entry)[1] for entry in read_entries(11, 12, reader=reader, limit=9)[0]] == ["seen"]
    (entry,) = read_entries(8, 12, reader=reader, limit=9)[0]
    assert (entry.seq, b"event: reset" in entry.frame) == (12, True)
    (batch,) = number_pending()
    assert [said(entry) for entry in batch.entries] == [(13, "read")]
    entries, _ = read_entries(8, 13, limit=9)
    assert [(each.seq, each.topic) for each in entries] == [
        (12, f"user:{user.pk}"),
        (13, f"user:{other.pk}"),
    ]
    mark_read(user, up_to=13)
    assert unread_count(user) == 0
    assert Inbox.objects.get(user=user).changes[-1] == {
        "set": "read", "up_to": 13, "client": "", "after": 12,
    }  # fmt: skip


def test_long_work_moves_out_of_the_projects_data_and_back(
    before_long_work_had_a_column: Any,
) -> None:
    user = User.objects.create_user("alice")
    old = before_long_work_had_a_column.get_model(APP, "Notification").objects
    columns = {"title": "Work", "topic": f"user:{user.pk}", "recipient_id": user.pk}
    for key, data, _ in DATA:
        old.create(key=key, data=data, **columns)

    call_command("migrate", APP, verbosity=0)

    for (key, data, is_work), row in zip(DATA, Notification.objects.order_by("pk"), strict=True):
        assert row.key == key
        if not is_work:
            assert (row.data, row.progress, row.payload()["data"]) == (data, None, data)
            continue
        own = {name: value for name, value in data.items() if name != "progress"}
        assert (row.data, row.progress_state) == (own, data["progress"])
        told = row.payload()["progress"]
        assert row.payload()["data"] == own
        assert told.items() >= {**NUMBERS, "total": told["total"]}.items()
    cancel(user, [Notification.objects.get(key="runs").pk])
    assert [receipt.notification.key for receipt in Receipt.objects.all()] == ["runs"]

    call_command("migrate", APP, "0006", verbosity=0)

    assert list(old.order_by("pk").values_list("key", "data")) == [row[:2] for row in DATA]
