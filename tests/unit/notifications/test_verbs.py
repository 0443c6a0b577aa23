"""The verbs: what they accept, write and return, and how they refuse."""

from __future__ import annotations

import asyncio
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, assert_type

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models.functions import Random
from django.test import override_settings
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

import sse_notify
from sse_notify import EVERYONE, STAFF, anotify, broadcast, notify, publish, topics
from sse_notify.bus import publisher
from sse_notify.bus.messages import Ephemeral, Message
from sse_notify.inbox import marks
from sse_notify.models import Exclusion, Notification, Receipt
from sse_notify.notifications import validation

pytestmark = pytest.mark.django_db

# Each verb and its async twin run through the same tests.
NOTIFY = pytest.mark.parametrize(
    "send", [notify, async_to_sync(anotify)], ids=["notify", "anotify"]
)
BROADCAST = pytest.mark.parametrize(
    "send", [broadcast, async_to_sync(sse_notify.abroadcast)], ids=["broadcast", "abroadcast"]
)


@pytest.fixture
def users() -> list[User]:
    return [User.objects.create_user(f"user{i}") for i in range(3)]


@NOTIFY
def test_one_user_gets_one_row_with_all_that_was_said(
    send: Callable[..., Any], alice: User, users: list[User]
) -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    row = send(
        alice,
        "Title",
        "Body",
        level="warning",
        url="/orders/1/",
        category="orders",
        event="order",
        data={"a": (1, 2)},
        actor=users[0],
        target=users[1],
        icon="/i.png",
        actions=[{"label": "Open", "url": "/o/"}],
        expires_at=moment,
        silent=True,
    )
    row.refresh_from_db()
    assert (row.title, row.body, row.level, row.url, row.category) == (
        "Title",
        "Body",
        "warning",
        "/orders/1/",
        "orders",
    )
    assert (row.event, row.data, row.icon, row.expires_at, row.silent) == (
        "order",
        {"a": [1, 2]},
        "/i.png",
        moment,
        True,
    )
    assert row.actions == [{"label": "Open", "url": "/o/"}]
    assert (row.recipient_id, row.topic, row.audience, row.count) == (
        alice.pk,
        f"user:{alice.pk}",
        "user",
        1,
    )
    assert (row.actor, row.target, row.actor_name) == (users[0], users[1], "user0")


@NOTIFY
def test_many_users_get_a_row_each_in_their_order(
    send: Callable[..., Any], users: list[User]
) -> None:
    for to in (users, (u for u in users), User.objects.order_by("pk"), [*users, users[0]]):
        rows = send(to, "Hi")
        assert [row.recipient_id for row in rows] == [u.pk for u in users]
        assert all(row.pk for row in rows)
    assert send([], "Hi") == []


def test_a_group_stands_for_its_members(users: list[User]) -> None:
    team = Group.objects.create(name="team")
    team.user_set.add(*users[:2])
    assert {row.recipient_id for row in notify(team, "Hi")} == {users[0].pk, users[1].pk}


@BROADCAST
def test_a_broadcast_is_one_row(send: Callable[..., Any], users: list[User]) -> None:
    team = Group.objects.create(name="team")
    assert (send("All").topic, send("Staff", audience=STAFF).topic) == ("everyone", "staff")
    row = send("Team", audience=team, exclude=[users[0], users[0]])
    assert (row.topic, row.group_id) == (f"group:{team.pk}", team.pk)
    assert list(Exclusion.objects.values_list("user_id", flat=True)) == [users[0].pk]
    assert Notification.objects.count() == 3
    assert EVERYONE.value == "everyone"


def test_a_key_collapses_repeats_into_one_row(alice: User, users: list[User]) -> None:
    first = notify(alice, "1 comment", key="post")
    Receipt.objects.create(user=alice, notification=first, read_at=first.created_at)
    again = notify(alice, "2 comments", key="post", actor=users[0])
    third = notify(alice, "3 comments", key="post")
    assert first.pk == again.pk == third.pk
    third.refresh_from_db()
    assert (third.title, third.count, third.seq, third.actor_name) == ("3 comments", 3, None, "")
    assert not Receipt.objects.exists(), "unread again"
    assert notify(alice, "Other", key="other").pk != first.pk
    assert notify(users[0], "1 comment", key="post").pk != first.pk


def test_a_key_in_bulk_updates_some_and_inserts_others(users: list[User]) -> None:
    first = notify(users[1], "Once", key="k")
    rows = notify(users, "Again", key="k")
    assert [row.recipient_id for row in rows] == [u.pk for u in users]
    assert rows[1].pk == first.pk
    assert [row.count for row in rows] == [1, 2, 1]
    assert {row.title for row in rows} == {"Again"}


def test_a_repeated_broadcast_under_its_key_takes_the_new_exclusions(users: list[User]) -> None:
    broadcast("Maintenance", key="m", exclude=[users[0]])
    row = broadcast("Maintenance over", key="m", exclude=[users[1]])
    assert list(Exclusion.objects.values_list("user_id", "notification_id")) == [
        (users[1].pk, row.pk)
    ]


def test_an_idempotency_key_returns_the_first_row_and_sends_nothing(
    alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        first = notify(alice, "Paid", idempotency_key="payment-1")
    first.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):
        again = notify(alice, "Paid twice?", idempotency_key="payment-1")
    again.refresh_from_db()
    assert (again.pk, again.title, again.seq, again.count) == (first.pk, "Paid", first.seq, 1)
    assert Notification.objects.count() == 1


def test_a_row_with_a_key_remembers_the_idempotency_key_of_its_last_update_alone(
    alice: User,
) -> None:
    """As docs/reference/python.md says of both together."""

    def call(number: int) -> tuple[str, int]:
        row = notify(alice, f"Step {number}", key="import", idempotency_key=f"step-{number}")
        return row.title, row.count

    assert [call(1), call(1)] == [("Step 1", 1)] * 2
    assert [call(2), call(2)] == [("Step 2", 2)] * 2
    assert call(1) == ("Step 1", 3), "after a later call it counts as a new one"
    assert Notification.objects.count() == 1


def test_a_lazy_translation_is_text(alice: User) -> None:
    assert notify(alice, gettext_lazy("Hello")).title == "Hello"


def test_the_address_may_come_from_an_object(alice: User) -> None:
    class Order:
        def get_absolute_url(self) -> str:
            return "/orders/7/"

    assert notify(alice, "Hi", url=Order()).url == "/orders/7/"


@pytest.mark.slow
def test_ten_thousand_users_take_a_bounded_number_of_queries() -> None:
    User.objects.bulk_create([User(username=f"u{i}") for i in range(10_000)])
    with CaptureQueriesContext(connection) as first:
        notify(User.objects.filter(username__in=[f"u{i}" for i in range(1000)]), "Hi")
    with CaptureQueriesContext(connection) as ten:
        rows = notify(User.objects.all(), "Hi")
    assert len(rows) == 10_000
    assert len(ten) <= 10 * len(first)
    # SQLite takes fewer variables in one statement than 1,000 rows have; PostgreSQL needs one statement for them.
    assert len(first) <= (40 if connection.vendor == "sqlite" else 5)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"title": ""}, ValueError, "title"),
    ({"title": "  "}, ValueError, "title"),
    ({"title": "x" * 256}, ValueError, "title"),
    ({"title": 7}, TypeError, "title"),
    ({"title": "a\0b"}, ValueError, "title"),
    ({"body": "a\0b"}, ValueError, "body"),
    ({"body": "\ud800"}, ValueError, "body"),
    ({"body": None}, TypeError, "body"),
    ({"level": "fatal"}, ValueError, "level"),
    ({"url": "javascript:alert(1)"}, ValueError, "url"),
    ({"url": " JavaScript:alert(1)"}, ValueError, "url"),
    ({"url": "java\nscript:alert(1)"}, ValueError, "url"),
    ({"url": "data:text/html,x"}, ValueError, "url"),
    ({"icon": "javascript:alert(1)"}, ValueError, "icon"),
    ({"category": "x" * 101}, ValueError, "category"),
    ({"event": "hello"}, ValueError, "event"),
    ({"event": "a\nb"}, ValueError, "event"),
    ({"event": ""}, ValueError, "event"),
    ({"data": {1, 2}}, TypeError, "data"),
    ({"data": float("nan")}, ValueError, "data"),
    ({"data": {"a": "x\0"}}, ValueError, "data"),
    ({"data": "\ud800"}, ValueError, "data"),
    ({"data": nested(101)}, ValueError, "data must be nested at most"),
    ({"data": nested(100_000)}, ValueError, "data must be nested at most"),
    (
        {"actions": [{"label": "x", "url": "/", "more": nested(101)}]},
        ValueError,
        "actions must be nested at most",
    ),
    ({"data": "x" * 70_000}, ValueError, "data.*EVENT_MAX_BYTES"),
    ({"body": "x" * 70_000}, ValueError, "body.*EVENT_MAX_BYTES"),
    ({"actor": "bob"}, TypeError, "actor"),
    ({"url": Group(name="has no address")}, TypeError, r"url must .*get_absolute_url\(\).*Group"),
    ({"url": 7}, TypeError, r"url must .*get_absolute_url\(\).*int"),
    ({"icon": None}, TypeError, "icon must .*NoneType"),
    (
        {"actions": [{"label": "x", "url": Group(name="has no address")}]},
        TypeError,
        r"actions\[0\]\['url'\] must .*get_absolute_url\(\).*Group",
    ),
    ({"target": User()}, ValueError, "target"),
    ({"actions": "open"}, TypeError, "actions"),
    ({"actions": [{"label": "x"}]}, ValueError, "actions"),
    ({"actions": [{"label": "", "url": "/"}]}, ValueError, "actions"),
    ({"actions": [{"label": "x", "url": "javascript:1"}]}, ValueError, "actions"),
    ({"key": "x" * 201}, ValueError, "key"),
    ({"idempotency_key": "x" * 201}, ValueError, "idempotency_key"),
    ({"expires_at": "tomorrow"}, TypeError, "expires_at"),
    ({"expires_at": datetime(2030, 1, 1)}, ValueError, "expires_at"),
    ({"colour": "red"}, TypeError, "colour"),
]


@pytest.mark.parametrize(
    ("bad", "error", "names"), BAD, ids=[f"{n}-{i}" for i, (_, _, n) in enumerate(BAD)]
)
@pytest.mark.parametrize("verb", ["notify", "broadcast"])
def test_bad_content_is_refused_by_name_and_nothing_is_written(
    verb: str, bad: dict[str, Any], error: type[Exception], names: str, alice: User
) -> None:
    arguments = {"title": "Fine", **bad}
    with pytest.raises(error, match=f"^{names}") as caught:
        notify(alice, **arguments) if verb == "notify" else broadcast(**arguments)
    assert not Notification.objects.exists()
    if names != "event":  # whose text is the wire's
        (argument,) = bad
        assert re.fullmatch(rf"{argument}\S* (must|is not) .*\.", str(caught.value), re.DOTALL)


@pytest.mark.parametrize(
    ("to", "error"),
    [
        (AnonymousUser(), TypeError),
        (User(username="unsaved"), ValueError),
        ("alice", TypeError),
        (None, TypeError),
        (7, TypeError),
        ([AnonymousUser()], TypeError),
        (Group(name="unsaved"), ValueError),
    ],
    ids=["anonymous", "unsaved", "text", "none", "number", "anonymous in a list", "unsaved group"],
)
def test_who_cannot_be_notified_is_refused(to: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^to must be .*\.$"):
        notify(to, "Hi")


@isolate_apps("tests")
def test_what_has_no_key_yet_is_not_saved_and_whoever_made_the_key_of_another_may_have_saved_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a ``default``, a new row has its key before it is saved, maybe later in the same transaction."""

    class OfTests:
        app_label = "tests"

    class MadeByDatabase(AbstractBaseUser):
        key = models.IntegerField(primary_key=True, db_default=Random())
        Meta: Any = OfTests

    class Child(MadeByDatabase):
        Meta: Any = OfTests

    class MadeByDjango(AbstractBaseUser):
        key = models.UUIDField(primary_key=True, default=uuid.uuid4)
        Meta: Any = OfTests

    class Composite(AbstractBaseUser):
        pk = models.CompositePrimaryKey("one", "two")
        one, two = models.IntegerField(), models.IntegerField()
        id = models.IntegerField()
        Meta: Any = OfTests

    new: list[Any] = [MadeByDatabase(), Child(), Composite(), Composite(one=1), User()]
    known: list[Any] = [MadeByDjango(), MadeByDjango(pk=uuid.uuid4()), MadeByDatabase(pk=5)]
    known += [Composite(one=1, two=2), User(pk=5)]
    for thing, is_known in [*((each, False) for each in new), *((each, True) for each in known)]:
        for module in (topics, marks):
            monkeypatch.setattr(module, "get_user_model", partial(type, thing))
        assert topics.has_inbox(thing) == is_known
        if is_known:
            assert validation.check_instance("target", thing) is thing
            marks.check_user(thing)
            continue
        with pytest.raises(ValueError, match=r"^target must be saved\.$"):
            validation.check_instance("target", thing)
        with pytest.raises(ValueError, match=r"^user must be saved\.$"):
            marks.check_user(thing)


def test_the_error_for_a_lazy_anonymous_user_names_its_class(alice: User) -> None:
    """As ``request.user`` is one before somebody has signed in."""
    visitor: Any = SimpleLazyObject(AnonymousUser)
    for call in (lambda: notify(visitor, "Hi"), lambda: broadcast("Hi", exclude=[alice, visitor])):
        with pytest.raises(TypeError, match=r"^(to|exclude) must be .*, not AnonymousUser\.$"):
            call()


def test_rows_that_are_not_users_are_refused() -> None:
    with pytest.raises(TypeError, match=r"^to must be .*\.$"):
        notify(Group.objects.all(), "Hi")


@pytest.mark.parametrize(
    "audience", ["nobody", None, 7, User()], ids=["text", "none", "number", "user"]
)
def test_an_unknown_audience_is_refused(audience: Any) -> None:
    with pytest.raises(TypeError, match=r"^audience must be .*\.$"):
        broadcast("Hi", audience=audience)


@pytest.mark.parametrize(
    "exclude", ["alice", 7, [AnonymousUser()]], ids=["text", "number", "anonymous in a list"]
)
def test_who_cannot_be_excluded_is_refused(exclude: Any) -> None:
    with pytest.raises(TypeError, match=r"^exclude must be .*\.$"):
        broadcast("Hi", exclude=exclude)


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    messages: list[Message] = []
    monkeypatch.setattr(publisher, "ring", messages.append)
    return messages


def test_publish_rings_at_once_and_writes_nothing(rung: list[Message]) -> None:
    publish("wall", {"n": 1})
    publish("wall", "one\ntwo", event="line")
    asyncio.run(sse_notify.apublish("wall", None))
    for topic in ("wall", "user:1", "progress"):  # none is taken for the package's own
        publish(topic, 1, event="progress")
    publish("progress", 1)
    assert rung == [
        Ephemeral("wall", b'event: wall\ndata: {"n":1}\n\n'),
        Ephemeral("wall", b"event: line\ntopic: wall\ndata: one\ndata: two\n\n"),
        Ephemeral("wall", b"event: wall\ndata: null\n\n"),
        *(
            Ephemeral(topic, f"event: progress\ntopic: {topic}\ndata: 1\n\n".encode())
            for topic in ("wall", "user:1", "progress", "progress")
        ),
    ]
    assert not Notification.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "names"),
    [
        (("", 1), ValueError, "topic"),
        (("a\nb", 1), ValueError, "topic"),
        (("x" * 101, 1), ValueError, "topic"),
        ((7, 1), TypeError, "topic"),
        (("ping", 1), ValueError, "event"),
        (("wall", {1}), TypeError, "data"),
        (("wall", "x" * 70_000), ValueError, "data.*EVENT_MAX_BYTES"),
        (("wall", "\ud800"), ValueError, "data"),
        (("wall", nested(100_000)), ValueError, "data"),
    ],
)
def test_publish_refuses_by_name(
    arguments: Any, error: type[Exception], names: str, rung: list[Message]
) -> None:
    with pytest.raises(error, match=names):
        publish(*arguments)
    assert rung == []


@override_settings(SSE_NOTIFY={"EVENT_MAX_BYTES": 500})
def test_the_largest_event_is_a_setting(alice: User) -> None:
    with pytest.raises(ValueError, match=r"^body must be smaller: .*EVENT_MAX_BYTES = 500\.$"):
        notify(alice, "Hi", "x" * 400)


@pytest.mark.django_db(transaction=True)
def test_a_thread_may_notify(alice: User) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            notify(alice, "From a thread")
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if connection.vendor == "sqlite" and failures:
        pytest.skip("the in-memory database belongs to one thread")
    assert failures == []
    assert Notification.objects.get().seq == 1


@pytest.fixture
def instances(alice: User) -> Iterator[dict[str, Any]]:
    """Return instances of every kind that a notification may name."""
    known = set(apps.all_models["auth"])

    class Editor(User):
        class Meta:
            proxy = True
            app_label = "auth"

    class Manager(User):
        class Meta:
            app_label = "auth"

    with connection.cursor() as cursor:
        # MySQL would commit before any other table, and keeps this one for the next test.
        columns = "auth_manager (user_ptr_id integer PRIMARY KEY)"
        cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {columns}")
        cursor.execute("INSERT INTO auth_manager VALUES (%s)", [alice.pk])
    elsewhere = User.objects.get(pk=alice.pk)
    elsewhere._state.db = "elsewhere"
    yield {
        "a model": alice,
        "another model": Group.objects.create(name="editors"),
        "a proxy model": Editor.objects.get(pk=alice.pk),
        "a deferred model": User.objects.only("username").get(pk=alice.pk),
        "a deferred proxy model": Editor.objects.defer("email").get(pk=alice.pk),
        "a child with a table of its own": Manager.objects.get(pk=alice.pk),
        "from another database": elsewhere,
    }
    for name in set(apps.all_models["auth"]) - known:
        del apps.all_models["auth"][name]
    apps.clear_cache()
    ContentType.objects.clear_cache()


@pytest.mark.parametrize("name", ["actor", "target"])
def test_an_instance_of_whatever_kind_comes_back_as_its_own_class_and_is_read_once(
    name: Literal["actor", "target"], instances: dict[str, Any], alice: User
) -> None:
    for kind, instance in instances.items():
        content: Any = {name: instance}
        row = Notification.objects.get(pk=notify(alice, "Hi", **content).pk)
        found = getattr(row, name)
        assert (type(found), found.pk) == (type(instance), instance.pk), kind
        with CaptureQueriesContext(connection) as queries:
            assert getattr(row, name) is found, kind
            assert getattr(row, name) is found, kind
        assert len(queries) == 0, kind


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_an_async_twin_has_the_types_of_its_verb() -> None:
    """Held by mypy: one user's notification or a list, and arguments that are known by name."""
    user = await User.objects.acreate(username="alice")
    assert_type(await anotify(user, "Hi", level="info"), Notification)
    assert_type(await anotify([user], "Hi", silent=True), list[Notification])
    row = assert_type(await sse_notify.abroadcast("Hi", audience=STAFF), Notification)
    assert assert_type(await sse_notify.arecall([row]), int) == 1
    with pytest.raises(TypeError, match=r"^colour is not an argument\.$"):
        await anotify(user, "Hi", colour="red")  # type: ignore[call-overload]
