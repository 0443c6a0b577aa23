"""SQLite as Django has it by default: a transaction that reads before it writes fails at once while another writes, so ours never do.

The tests' own database begins its transactions as writers, which hides it.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client
from django.urls import reverse

from sse_notify import STAFF, Progress, broadcast, notify, recall
from sse_notify.inbox import marks
from sse_notify.inbox.preferences import choose, mute, unmute
from sse_notify.models import Notification
from sse_notify.notifications import send
from sse_notify.progress.store import cancel
from sse_notify.retention import prune
from tests.support import GUARD
from tests.unit.admin.test_compose import BROADCAST, MESSAGE, Visit, select


@contextmanager
def plain(file: Path) -> Iterator[None]:
    """Have ``file`` as the project's database, with no options."""
    usual = connections.settings["default"], connections["default"]
    configured = connections.configure_settings(
        {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}}
    )
    connections.settings["default"] = configured["default"]
    del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"], connections["default"] = usual


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Path:
    file = tmp_path_factory.mktemp("tables") / "tables.sqlite3"
    with django_db_blocker.unblock(), plain(file):
        call_command("migrate", verbosity=0)
    return file


@pytest.fixture
def file(tables: Path, tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    """A database of the test's own."""
    file = tmp_path / "plain.sqlite3"
    shutil.copy(tables, file)
    with django_db_blocker.unblock(), plain(file):
        yield file


@pytest.fixture
def alice(file: Path) -> User:
    return User.objects.create_user("alice", is_staff=True)


class Writer:
    """Another process in the midst of a write, which it commits once the first statement that writes is tried here."""

    def __init__(self, file: Path) -> None:
        self._tried = threading.Event()
        self._other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._other.execute("BEGIN IMMEDIATE")
        self._other.execute("UPDATE auth_user SET first_name = 'Alice'")
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        assert self._tried.wait(GUARD)
        self._other.execute("COMMIT")
        self._other.close()

    def _watch(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE")):
            self._tried.set()
        return execute(sql, params, many, context)

    def __enter__(self) -> None:
        self._thread.start()
        self._watching = connection.execute_wrapper(self._watch)
        self._watching.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._watching.__exit__(*error)
        self._tried.set()
        self._thread.join(GUARD)


def run_and_cancel(user: User) -> None:
    with Progress(user, "Import", key="again"):
        pass
    cancel(user, [row.pk for row in Notification.objects.all()])


VERBS: dict[str, Callable[[User], Any]] = {
    "notify": lambda user: notify(user, "One"),
    "notify, with a key that is there": lambda user: notify(user, "One", key="again"),
    "notify, with a key that is new": lambda user: notify(user, "One", key="new"),
    "notify, with an idempotency key": lambda user: notify(user, "One", idempotency_key="new"),
    "notify, many": lambda user: notify(User.objects.all(), "One"),
    "broadcast": lambda user: broadcast("One", audience=STAFF, exclude=[user], key="new"),
    "several users": lambda user: send.send("One", users=User.objects.all()),
    "several groups": lambda user: send.send(
        "One", groups=list(Group.objects.all()), users=[user], staff=True
    ),
    "recall": lambda user: recall(Notification.objects.all()),
    "mute": lambda user: mute(user, "orders"),
    "unmute": lambda user: unmute(user, "news"),
    "choose": lambda user: choose(user, ["news"], ["orders", "news"]),
    "read by ids": lambda user: marks.mark_read(
        user, ids=[row.pk for row in Notification.objects.all()]
    ),
    "read up to": lambda user: marks.mark_read(user, up_to=100),
    "unread": lambda user: marks.mark_unread(
        user, ids=[row.pk for row in Notification.objects.all()]
    ),
    "archive": lambda user: marks.archive(user, up_to=100),
    "unarchive": lambda user: marks.unarchive(
        user, ids=[row.pk for row in Notification.objects.all()]
    ),
    "progress": run_and_cancel,
    "prune": lambda user: prune(0),
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_writes_waits_for_another_writer(file: Path, alice: User, verb: str) -> None:
    Group.objects.create(name="staff").user_set.add(alice)
    notify(alice, "One", key="again")
    mute(alice, "news")
    with Writer(file):
        VERBS[verb](alice)
    assert User.objects.get().first_name == "Alice"


def test_the_admin_waits_as_well(file: Path) -> None:
    admin = User.objects.create_superuser("admin")
    row = notify(admin, "One")
    client = Client()
    client.force_login(admin)
    recalling = select(client, "recall_selected", row)
    composing = Visit(client, reverse(BROADCAST)).go(
        "_confirm", **{**MESSAGE, "audience": "user", "names": "admin"}
    )
    with Writer(file):
        recalling.go("_recall")
    with Writer(file):
        composing.go("_send")
    assert [found.recalled_at is None for found in Notification.objects.order_by("pk")] == [
        False,
        True,
    ]
