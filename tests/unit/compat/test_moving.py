"""Moving over from other packages: the rows of django-notifications-hq, and code that calls it or django-eventstream."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps.registry import Apps
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, models
from django.test import override_settings
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject

from sse_notify import mark_read, notify, retention, unread_count, unseen_count
from sse_notify.bus import publisher
from sse_notify.bus.messages import Batch, Ephemeral, Message
from sse_notify.compat import notifications_hq
from sse_notify.compat.eventstream import send_event
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import Position, get_head, get_position
from sse_notify.models import Notification
from sse_notify.topics import topics_of

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)


class Activity(models.Model):  # noqa: DJ008
    """The table as the migrations of django-notifications-hq 1.8.3 leave it. Its models do not run on this Django."""

    level = models.CharField(max_length=20, default="info")
    unread = models.BooleanField(default=True)
    actor_object_id = models.CharField(max_length=255)
    verb = models.CharField(max_length=255)
    description = models.TextField(null=True)
    target_object_id = models.CharField(max_length=255, null=True)
    action_object_object_id = models.CharField(max_length=255, null=True)
    timestamp = models.DateTimeField()
    public = models.BooleanField(default=True)
    action_object_content_type_id = models.IntegerField(null=True)
    actor_content_type_id = models.IntegerField()
    recipient_id = models.IntegerField()
    target_content_type_id = models.IntegerField(null=True)
    deleted = models.BooleanField(default=False)
    emailed = models.BooleanField(default=False)
    data = models.TextField(null=True)

    class Meta:
        app_label = "notifications"
        apps = Apps()
        db_table = "notifications_notification"


Act = Callable[..., Any]


def _reference(name: str, thing: Any) -> dict[str, Any]:
    if thing is None:
        return {}
    return {
        f"{name}_content_type_id": ContentType.objects.get_for_model(thing).pk,
        f"{name}_object_id": str(thing.pk),
    }


@pytest.fixture
def act() -> Iterator[Act]:
    """Add a row to the other package's table: ``act(actor, "verb", recipient, target=..., unread=False)``."""
    with connection.schema_editor() as editor:
        editor.create_model(Activity)

    def add(actor: Any, verb: str, recipient: Any, *, age: float = 1, **columns: Any) -> Any:
        things = {
            "actor": actor,
            "target": columns.pop("target", None),
            "action_object": columns.pop("action_object", None),
        }
        references = {
            key: value
            for name, thing in things.items()
            for key, value in _reference(name, thing).items()
        }
        pk = getattr(recipient, "pk", recipient)
        moment = columns.pop("timestamp", timezone.now() - age * DAY)
        return Activity._base_manager.create(
            recipient_id=pk, verb=verb, timestamp=moment, **{**references, **columns}
        )

    yield add
    with connection.schema_editor() as editor:
        editor.delete_model(Activity)


def run(*args: str) -> list[str]:
    out = io.StringIO()
    call_command("import_notifications_hq", *args, stdout=out, stderr=out)
    return out.getvalue().splitlines()


def theirs() -> list[dict[str, Any]]:
    return list(Activity._base_manager.order_by("pk").values())


def missed(user: User) -> list[bytes]:
    """Return what a stream that comes from the beginning of the log is told."""
    reader = Reader(topics=topics_of(user), user_id=user.pk, since=user.date_joined)
    return [entry.frame for entry in read_entries(0, get_head(), reader=reader, limit=100)[0]]


# --- the rows -------------------------------------------------------------------------------------------------------------------


def test_rows_come_over_as_they_were_and_a_second_run_brings_nothing(
    act: Act, alice: User, bob: User
) -> None:
    team = Group.objects.create(name="Team")
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    act(
        bob,
        "joined",
        alice,
        target=team,
        level="success",
        description="At last",
        timestamp=moment,
        data='{"a": 1}',
        public=False,
    )
    act(bob, "left", alice, unread=False)
    act(bob, "wrote", alice, action_object=alice, target=team, deleted=True, emailed=True)
    act(alice, "waved", bob)
    before = theirs()
    assert run("--all") == ["Imported 4 notifications."]
    assert theirs() == before, "their table is only read"

    rows: dict[str, Any] = {row.title: row for row in Notification.objects.with_states(alice)}
    assert list(rows) == ["bob wrote alice on Team", "bob left", "bob joined Team"], "newest first"
    joined = rows["bob joined Team"]
    assert (joined.level, joined.body, joined.created_at, joined.silent) == (
        "success",
        "At last",
        moment,
        True,
    )
    assert (joined.actor, joined.actor_name, joined.target, joined.target_name) == (
        bob,
        "bob",
        team,
        "Team",
    )
    assert joined.data == {"a": 1, "activity": {"verb": "joined", "public": False}}
    wrote = rows["bob wrote alice on Team"]
    assert wrote.data["activity"]["action_object"] == {
        "type": "auth.user",
        "pk": str(alice.pk),
        "name": "alice",
    }
    states = {title: (row.is_unread, row.is_unseen, row.is_archived) for title, row in rows.items()}
    assert states == {
        "bob joined Team": (True, True, False),
        "bob left": (False, False, False),
        "bob wrote alice on Team": (True, False, True),
    }
    assert (unread_count(alice), unseen_count(alice), unread_count(bob)) == (1, 1, 1)

    act(bob, "came back", alice)
    mark_read(alice, ids=[joined.pk])
    assert run("--all", "--batch", "2") == [
        "Imported 1 notifications.",
        "Left out: 4, there already",
    ]
    assert (unread_count(alice), Notification.objects.count()) == (1, 5), (
        "and what the user did meanwhile stays"
    )


def test_no_stream_tells_of_history_and_each_user_starts_over_once(
    act: Act, alice: User, bob: User, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(30):
        act(bob, f"did {number}", alice)
    rung: list[Message] = []
    real = publisher.ring

    def ring(message: Message) -> None:
        rung.append(message)
        real(message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publisher, "ring", ring)
        run("--batch", "10")
    own = [record for record in caplog.records if record.name.startswith("sse_notify")]
    assert not own, "what fails after a commit is logged"
    live = [
        entry.frame for message in rung if isinstance(message, Batch) for entry in message.entries
    ]
    (told,) = missed(alice)
    assert live == [told]
    assert b"event: reset" in told
    assert b'"reason":"state"' in told
    assert missed(bob) == []
    assert get_head() == 31, "numbered like everything, so that marks up to a number hold"
    mark_read(alice, up_to=30)
    assert unread_count(alice) == 0
    notify(alice, "News")
    assert b"News" in missed(alice)[-1]


def test_what_would_be_pruned_at_once_is_left_out_unless_all_is_asked_for(
    act: Act, alice: User
) -> None:
    act(alice, "slept", alice, age=91)
    act(alice, "woke", alice, age=89)
    assert run("--dry-run") == [
        "Would import 1 notifications.",
        "Left out: 1, older",
        "--all imports the older ones too; prune_notifications deletes them at its next run.",
    ]
    assert not Notification.objects.exists()
    assert run("--days", "1")[:2] == ["Imported 0 notifications.", "Left out: 2, older"]
    assert run()[0] == "Imported 1 notifications."
    with override_settings(SSE_NOTIFY={"RETENTION_DAYS": None}):
        assert run() == ["Imported 1 notifications.", "Left out: 1, there already"]
    head = get_head()
    assert retention.prune() == 1
    assert get_position() == Position(head=head, floor=0), (
        "no place in the log is lost, as no stream has told of it"
    )


def test_what_is_gone_or_odd_does_not_stop_it(
    act: Act, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    ghost = User.objects.create_user("ghost")
    team = Group.objects.create(name="x" * 150)
    act(ghost, "haunted", alice, target=team)
    act(alice, "y" * 255, alice, target=team)
    act(
        alice,
        "said",
        alice,
        description="nul\0nul" if connection.vendor == "sqlite" else "nulnul",
        data='"text"',
    )
    act(alice, "typed", alice, data="{no json")
    act(
        alice,
        "moved",
        alice,
        actor_content_type_id=99_999,
        target_content_type_id=99_998,
        target_object_id="5",
    )
    act(
        alice,
        "pointed",
        alice,
        target_content_type_id=ContentType.objects.get_for_model(User).pk,
        target_object_id="not a key",
    )
    act(alice, "sent", alice, data=f'"{"z" * 70_000}"')
    act(alice, "shouted", alice, level="fatal")
    act(bob, "vanished", 123_456)
    ghost_key = ghost.pk
    ghost.delete()
    monkeypatch.setattr(Group, "__str__", lambda group: 1 / 0)
    said = run()
    assert said[0] == "Imported 6 notifications."
    too_large, level, no_user = sorted(said[1:])
    assert too_large.startswith("Left out: 1, data")
    assert level.startswith("Left out: 1, level")
    assert "debug, info, success, warning" in level
    assert no_user == "Left out: 1, no such user"
    rows: list[Any] = list(Notification.objects.order_by("pk"))
    assert [row.title[:30] for row in rows] == [
        f"user {ghost_key} haunted group {team.pk}"[:30], "alice " + "y" * 24, "alice said", "alice typed", f"? {alice.pk} moved ? 5",
        "alice pointed user not a key",
    ]  # fmt: skip
    assert (len(rows[1].title), rows[1].title[-1]) == (255, "…")
    assert (rows[2].body, rows[2].data["data"], rows[3].data["data"]) == (
        "nulnul",
        "text",
        "{no json",
    )
    assert (rows[0].actor, rows[0].actor_name, rows[4].target_type) == (
        None,
        f"user {ghost_key}",
        None,
    )


def test_a_click_leads_where_the_target_is_if_that_is_allowed(
    act: Act, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = Group.objects.create(name="Team")
    addresses = iter(["/teams/1/", "javascript:alert(1)"])
    monkeypatch.setattr(Group, "get_absolute_url", lambda group: next(addresses), raising=False)
    monkeypatch.setattr(User, "get_absolute_url", lambda user: 1 / 0, raising=False)
    act(alice, "joined", alice, target=team)
    act(alice, "left", alice, target=team)
    act(alice, "met", alice, target=alice)
    run()
    assert list(Notification.objects.order_by("pk").values_list("url", flat=True)) == [
        "/teams/1/",
        "",
        "",
    ]


def test_two_runs_at_once_bring_each_row_once(
    act: Act, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one commits between this one's look and its insert."""
    act(alice, "waved", alice, target=alice)

    def import_meanwhile(user: User) -> str:
        monkeypatch.delattr(User, "get_absolute_url")
        assert run() == ["Imported 1 notifications."]
        return "/"

    monkeypatch.setattr(User, "get_absolute_url", import_meanwhile, raising=False)
    assert run() == ["Imported 0 notifications.", "Left out: 1, there already"]
    assert Notification.objects.count() == 1


def test_it_takes_few_queries_whatever_the_rows(
    act: Act, alice: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(200):
        act(alice, f"{number}", alice, target=alice, action_object=alice, unread=bool(number % 2))
    with django_assert_max_num_queries(70):
        run()
    assert Notification.objects.count() == 200


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--table", "nowhere"], "has no table 'nowhere'"),
        (
            ["--table", "auth_user"],
            "'auth_user' is not of django-notifications: it has no .*recipient_id",
        ),
        (["--database", "other"], "other"),
        (["--batch", "0"], "--batch"),
        (["--days", "-1"], "--days"),
        (["--days", "1", "--all"], "--all"),
    ],
)
def test_the_import_names_what_is_wrong(args: list[str], names: str) -> None:
    with pytest.raises(CommandError, match=names):
        run(*args)


#: As callers there see it: what it returns is for them to know.
send: Callable[..., Any] = notifications_hq.notify.send


# --- notify.send() --------------------------------------------------------------------------------------------------------------


def test_send_takes_what_it_took_there(alice: User, bob: User) -> None:
    team = Group.objects.create(name="Team")
    moment = timezone.now() - 5 * DAY
    given = {"score": 1}
    ((receiver, rows),) = send(
        alice, recipient=bob, verb="added", action_object=bob, target=team, level="warning", description="Text", timestamp=moment,
        public=False, data=given, extra=moment, action_object_for_concrete_model=True,
    )  # fmt: skip
    assert receiver is notifications_hq.notify_handler
    (row,) = rows
    row.refresh_from_db()
    assert (row.title, row.body, row.level, row.created_at) == (
        "alice added bob on Team",
        "Text",
        "warning",
        moment,
    )
    assert (row.actor, row.target, row.recipient_id) == (alice, team, bob.pk)
    assert row.data.pop("activity") == {
        "verb": "added", "public": False, "action_object": {"type": "auth.user", "pk": str(bob.pk), "name": "bob"},
    }  # fmt: skip
    assert row.data.keys() == {"score", "extra"}
    assert given == {"score": 1}, "the caller's own is not changed"
    assert b"alice added bob" in missed(bob)[0], "it is news, not history"


@pytest.mark.parametrize("kind", ["user", "lazy user", "list", "queryset", "group"])
def test_send_takes_every_kind_of_recipient(alice: User, bob: User, kind: str) -> None:
    team = Group.objects.create(name="Team")
    team.user_set.add(alice, bob)
    lazy = SimpleLazyObject(lambda: alice)  # as request.user is
    recipient = {
        "user": alice, "lazy user": lazy, "list": [alice, bob], "queryset": User.objects.order_by("pk"), "group": team,
    }[kind]  # fmt: skip
    ((_, rows),) = send(
        bob, recipient=recipient, verb="waved", timestamp=timezone.now(), model=User
    )
    assert sorted(row.recipient_id for row in rows) == sorted(
        [alice.pk] if "user" in kind else [alice.pk, bob.pk]
    )
    assert {row.title for row in rows} == {"bob waved"}
    assert all(row.data["model"].startswith("<class") for row in rows), (
        "what JSON cannot hold is text"
    )


def test_send_takes_our_own_arguments_too_and_speaks_the_language_that_is_active(
    alice: User,
) -> None:
    team = Group.objects.create(name="Team")
    with translation.override("de"):
        notifications_hq.notify.send(
            alice, recipient=alice, verb="verlinkte", action_object=alice, target=team, key="mine",
            sse_notify={"category": "links", "key": "k", "url": "/x/"},
        )  # fmt: skip
    row: Any = Notification.objects.get()
    assert (row.title, row.category, row.key, row.url) == (
        "alice verlinkte alice zu Team",
        "links",
        "k",
        "/x/",
    )
    assert row.data["key"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"sender": User}, "sender"),
        ({"recipient": "alice"}, "to"),
        ({"recipient": None}, "to"),
        ({"level": "fatal"}, "level"),
        ({"timestamp": datetime(2026, 1, 1)}, "timestamp"),
        ({"target": "text"}, "target"),
        ({"action_object": "text"}, "action_object"),
        ({"sse_notify": {"colour": "red"}}, "colour"),
    ],
)
def test_send_names_a_wrong_argument_and_writes_nothing(
    alice: User, arguments: dict[str, Any], names: str
) -> None:
    given = {"sender": alice, "recipient": alice, "verb": "did", **arguments}
    with pytest.raises((TypeError, ValueError), match=rf"\b{names}\b"):
        notifications_hq.notify.send(**given)
    assert not Notification.objects.exists()


# --- send_event() ---------------------------------------------------------------------------------------------------------------


def test_send_event_publishes_json_as_it_did_there(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[Any] = []
    monkeypatch.setattr(publisher, "ring", rung.append)
    send_event("room-1", "message", {"at": datetime(2026, 1, 2, tzinfo=UTC)})
    send_event("room-1", "tick", "text")
    send_event("room-1", "tick", "a\nb", json_encode=False, async_publish=False, skip_user_ids=[])
    assert rung == [
        Ephemeral("room-1", b'topic: room-1\ndata: {"at": "2026-01-02T00:00:00Z"}\n\n'),
        Ephemeral("room-1", b'event: tick\ntopic: room-1\ndata: "text"\n\n'),
        Ephemeral("room-1", b"event: tick\ntopic: room-1\ndata: a\ndata: b\n\n"),
    ]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"skip_user_ids": ["5"]}, "skip_user_ids"),
        ({"data": object()}, "data"),
        ({"data": float("nan")}, "data"),
        ({"data": {}, "json_encode": False}, "data"),
        ({"event_type": "reset"}, "event"),
        ({"channel": ""}, "topic"),
    ],
)
def test_send_event_names_a_wrong_argument(arguments: dict[str, Any], names: str) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{names}\b"):
        send_event(**{"channel": "room-1", "event_type": "tick", "data": 1, **arguments})
