"""The commands' arguments and output, in this process; ``tests/servers/test_commands.py`` runs them as operators do."""

from __future__ import annotations

import io
import json
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command, load_command_class
from django.core.management.base import CommandError
from django.db import transaction
from django.test import RequestFactory, override_settings
from django.urls import reverse
from django.utils import timezone

from sse_notify import mark_read, notify, retention
from sse_notify.access.links import Link, hide, link_of
from sse_notify.management import commands
from sse_notify.models import Exclusion, Inbox, LogHead, Notification
from sse_notify.notifications import send

pytestmark = pytest.mark.django_db(transaction=True)

COMMANDS = sorted(path.stem for path in Path(commands.__file__).parent.glob("[a-z]*.py"))


def run(command: str, *args: str) -> str:
    out = io.StringIO()
    call_command(command, *args, stdout=out, stderr=out)
    return out.getvalue()


def rows() -> list[tuple[str, str]]:
    return list(Notification.objects.order_by("pk").values_list("topic", "title"))


@pytest.mark.parametrize("name", COMMANDS)
def test_its_help_names_every_option_and_the_exit_codes(name: str) -> None:
    parser = load_command_class("sse_notify", name).create_parser("manage.py", name)
    text = " ".join(parser.format_help().split())
    assert "Exit codes: 0 " in text
    for action in parser._actions:
        assert action.help, action.dest


# --- notify ---------------------------------------------------------------------------------------------------------------------


def test_notify_sends_to_all_that_are_named_and_to_nobody_twice(alice: User, bob: User) -> None:
    carol = User.objects.create_user("carol", is_staff=True)
    dave = User.objects.create_user("dave")
    first, second = Group.objects.create(name="first"), Group.objects.create(name="second")
    first.user_set.add(alice, carol)
    second.user_set.add(alice, bob, carol)
    said = run(
        "notify",
        "Hi",
        "--user",
        "dave",
        "--user",
        "bob",
        "--user",
        "dave",
        "--group",
        "first",
        "--group",
        "second",
        "--staff",
    )
    topics = ["staff", f"group:{first.pk}", f"group:{second.pk}", f"user:{dave.pk}"]
    assert rows() == [(topic, "Hi") for topic in topics]
    assert (
        said
        == f"Sent {', '.join(f'{pk} to {topic}' for pk, topic in Notification.objects.order_by('pk').values_list('pk', 'topic'))}.\n"
    )
    for user in (alice, bob, carol, dave):
        assert Notification.objects.visible_to(user).count() == 1, user
    assert Exclusion.objects.count() == 3


def test_everyone_includes_all_others(alice: User) -> None:
    run("notify", "Hi", "--everyone", "--staff", "--user", "alice")
    assert rows() == [("everyone", "Hi")]


def test_notify_takes_the_arguments_of_the_verb(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Two\nlines"))
    said = run(
        *(
            "notify",
            "Title",
            "-",
            "--user",
            "alice",
            "--level",
            "warning",
            "--url",
            "/x/",
            "--category",
            "c",
            "--icon",
            "/i.png",
        ),
        *(
            "--action",
            "Open",
            "/o/",
            "--data",
            '{"a": [1]}',
            "--key",
            "k",
            "--idempotency-key",
            "once",
            "--silent",
        ),
        *("--expires", "2999-12-31T18:00", "--json"),
    )
    row = Notification.objects.get()
    assert json.loads(said) == {
        "sent": [{"id": row.pk, "audience": "user", "topic": f"user:{alice.pk}"}]
    }
    assert (row.body, row.level, row.url, row.category, row.icon) == (
        "Two\nlines",
        "warning",
        "/x/",
        "c",
        "/i.png",
    )
    assert (row.actions, row.data, row.key, row.silent) == (
        [{"label": "Open", "url": "/o/"}],
        {"a": [1]},
        "k",
        True,
    )
    assert row.expires_at is not None
    assert timezone.localtime(row.expires_at).isoformat().startswith("2999-12-31T18:00:00")
    run("notify", "Again", "--user", "alice", "--idempotency-key", "once")
    assert rows() == [(f"user:{alice.pk}", "Title")]


def test_a_user_is_named_by_name_or_key_and_names_come_first(alice: User, bob: User) -> None:
    """Somebody's name may be another's key, and a name may be a number that no database knows."""
    number = User.objects.create_user(str(bob.pk))
    run("notify", "By key", "--user", str(alice.pk))
    run("notify", "By name", "--user", str(bob.pk))
    run("notify", "Both", "--user", "bob", "--user", str(alice.pk))
    topics = [f"user:{user.pk}" for user in (alice, number, bob, alice)]
    assert rows() == [*zip(topics, ["By key", "By name", "Both", "Both"], strict=True)]
    request = RequestFactory().get(run("sse_status", "--link", str(alice.pk)).split()[0])
    hide(environ=request.META)
    assert link_of(request) == Link(user=alice, topics=())
    for unknown in ("0", "-1", "1.5", "9" * 30, "½", "", f" {'9' * 5000}"):
        with pytest.raises(CommandError, match="no user"):
            run("notify", "T", "--user", unknown)


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["T"], "--user, --group"),
        (["T", "--user", "alice", "--user", "nobody", "--user", "x"], "no user 'nobody', 'x'"),
        (["T", "--everyone", "--group", "no such"], "no group 'no such'"),
        ([" ", "--user", "alice"], "^title must not be empty. Nothing is sent.$"),
        (["T", "--user", "alice", "--url", "javascript:alert(1)"], "^url must be "),
        (["T", "--user", "alice", "--data", "{"], "^data must be JSON: "),
        (["T", "--user", "alice", "--expires", "tomorrow"], "^expires must be .*'tomorrow'"),
        (["T", "--user", "alice", "--expires", "2030-02-30T10:00"], "^expires must be "),
        (["T", "--everyone", "--level", "fatal"], "--level"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_sent(
    alice: User, args: list[str], names: str
) -> None:
    with pytest.raises(CommandError, match=names):
        run("notify", *args)
    assert rows() == []


def test_what_fails_on_the_way_leaves_nothing(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **content: Any) -> None:
        raise ValueError("to: no")

    monkeypatch.setattr(send, "notify", fail)
    with pytest.raises(CommandError, match="to: no"):
        run("notify", "T", "--staff", "--user", "alice")
    assert rows() == []


# --- prune_notifications ----------------------------------------------------------------------------------------------------------


def test_pruning_says_what_it_did_and_a_dry_run_does_nothing(alice: User) -> None:
    for title in ("Old", "Older"):
        notify(alice, title)
    Notification.objects.update(created_at=timezone.now() - timedelta(days=10))
    assert run("prune_notifications").startswith("Deleted 0 notifications")
    assert run("prune_notifications", "--days", "9.5", "--dry-run").startswith(
        "Would delete 2 notifications: sent before "
    )
    assert len(rows()) == 2
    assert run("prune_notifications", "--days", "9.5", "--verbosity", "0") == ""
    assert rows() == []
    with override_settings(SSE_NOTIFY={"RETENTION_DAYS": None}):
        assert run("prune_notifications").startswith(
            "RETENTION_DAYS is None, so everything is kept."
        )
    for wrong in (["--days", "-1"], ["--days", "nan"], ["--batch", "0"], ["--batch", "many"]):
        with pytest.raises(CommandError, match=wrong[0]):
            run("prune_notifications", *wrong)


def test_stopped_by_ctrl_c_it_says_how_far_it_came(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify([alice], "Old")
    notify(alice, "Old")
    Notification.objects.update(created_at=timezone.now() - timedelta(days=100))

    delete = retention._delete

    def interrupted(*batch: Any) -> int:
        if Notification.objects.count() < 2:
            raise KeyboardInterrupt
        return delete(*batch)

    monkeypatch.setattr(retention, "_delete", interrupted)
    out = io.StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("prune_notifications", batch=1, stdout=out, stderr=out)
    assert left.value.code == 130
    assert "Stopped after 1 of 2." in out.getvalue()
    assert len(rows()) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_for_terminals(alice: User) -> None:
    notify([alice], "Old")
    Notification.objects.update(created_at=timezone.now() - timedelta(days=100))
    terminal = Terminal()
    call_command("prune_notifications", stdout=io.StringIO(), stderr=terminal)
    shown = terminal.getvalue().split("\r")
    assert "0%  0 of 1" in shown[1]
    assert shown[-1].endswith("100%  1 of 1\n")


# --- sse_status -------------------------------------------------------------------------------------------------------------------


def test_status_counts_the_log_and_fails_for_what_is_pending_too_long(
    alice: User,
) -> None:
    notify(alice, "One")
    assert json.loads(run("sse_status", "--json")) | {"oldest": ""} == {
        "ok": True, "head": 1, "floor": 0, "rows": 1, "oldest": "", "pending": 0, "layer": "", "hubs": [], "users": 0, "problems": [],
        "streams": 0,
    }  # fmt: skip
    assert "All is in order." in run("sse_status")
    with transaction.atomic():
        notify(alice, "Two")
        mark_read(alice, up_to=1)
        history = notify(alice, "Imported")
        Notification.objects.filter(pk=history.pk).update(
            event="", created_at=timezone.now() - timedelta(days=1)
        )
        found = json.loads(run("sse_status", "--json"))
        assert (found["ok"], found["pending"]) == (True, 3), "committed just now"
        Notification.objects.filter(title="Two").update(
            created_at=timezone.now() - timedelta(seconds=61)
        )
        out = io.StringIO()
        with pytest.raises(SystemExit) as left:
            call_command("sse_status", stdout=out)
        assert left.value.code == 1
        assert "pending   3\n" in out.getvalue()
        assert (
            "1 notifications are committed for more than 60 seconds and not numbered"
            in out.getvalue()
        )
    with pytest.raises(CommandError, match="--timeout"):
        run("sse_status", "--timeout", "0")


HUGE = 2**63 - 1


@pytest.mark.parametrize(
    ("whose", "number"), [("row", 7), ("row", HUGE), ("inbox", 7), ("inbox", HUGE), ("head", HUGE)]
)
def test_status_fails_for_numbers_that_do_not_fit_until_the_next_notification(
    alice: User, whose: str, number: int
) -> None:
    said = f"The head of the log is 0, but a notification or an inbox has the number {number}: "
    said += "it was loaded without the head."
    if whose == "row":
        Notification.objects.create(topic="everyone", seq=number, title="Loaded")
    elif whose == "inbox":
        Inbox.objects.create(pk=alice.pk, state_seq=number)
    else:
        LogHead.objects.update_or_create(pk=1, defaults={"seq": number})
        said = f"The head of the log is {number}, which leaves no room for more numbers."
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("sse_status", stdout=out)
    assert said in out.getvalue()
    notify(alice, "New")
    assert "All is in order." in run("sse_status")


# --- sse_status --link ------------------------------------------------------------------------------


def test_a_link_opens_the_stream_of_that_user_and_the_command_line_can_be_pasted(
    alice: User,
) -> None:
    url, command = run(
        "sse_status", "--link", "alice", "--topic", "room.2", "--base-url", "https://example.com/x/"
    ).splitlines()
    assert shlex.split(command) == ["curl", "--no-buffer", url]
    assert url.startswith(f"https://example.com{reverse('sse_notify:stream')}?")
    request = RequestFactory().get(url.removeprefix("https://example.com"))
    hide(environ=request.META)
    assert link_of(request) == Link(user=alice, topics=("room.2",))
    path, advice = run("sse_status", "--link", "alice").splitlines()
    assert path.startswith(reverse("sse_notify:stream"))
    assert "--base-url" in advice


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--link", "nobody"], "^--link: no user 'nobody'"),
        (["--link", "alice", "--topic", ""], "topic"),
        (["--link", "alice", "--base-url", "example.com"], "--base-url must be"),
    ],
)
def test_a_link_that_cannot_be_made_names_the_argument(
    alice: User, args: list[str], names: str
) -> None:
    with pytest.raises(CommandError, match=names):
        run("sse_status", *args)
