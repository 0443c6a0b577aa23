"""What is decided about streams, for many at once."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY, login
from django.contrib.auth.models import AnonymousUser, Group, User, UserManager
from django.contrib.sessions.backends.cache import SessionStore as CacheStore
from django.contrib.sessions.backends.db import SessionStore as DBStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.db import DataError, IntegrityError, OperationalError, connection
from django.db.models import Count
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sse_notify import (
    EventStreamResponse,
    broadcast,
    mark_read,
    mute,
    notify,
    topics,
    unread_count,
)
from sse_notify.access import sessions
from sse_notify.access.decisions import (
    Decision,
    Ended,
    Granted,
    Question,
    Subscriber,
    decide,
    subscriber_of,
)
from sse_notify.exceptions import HandshakeRefused
from sse_notify.log.sequence import get_head, number_pending
from sse_notify.models import Inbox, Notification
from sse_notify.sse.format import MAX_CURSOR
from tests.asgi.client import events
from tests.support import GUARD, ROOT


def signed_in(user: User, engine: str = "db") -> Any:
    """Return a request of a browser in which ``user`` is signed in."""
    request = RequestFactory().get("/")
    request.session = (ENGINES.get(engine) or CookieStore)()
    request.user = AnonymousUser()
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.save()
    return request


def subscriber(user: User, request: Any = None, **given: Any) -> Subscriber:
    session = None if request is None else sessions.of(request)
    return subscriber_of(user, session=session, **given)


def decided(*subscribers: Subscriber) -> list[Decision]:
    return decide([Question(each) for each in subscribers])


@pytest.mark.django_db
def test_a_decision_about_many_costs_the_same_few_queries_as_about_one() -> None:
    team = Group.objects.create(name="team")
    users = [User.objects.create_user(f"user-{number}") for number in range(40)]
    team.user_set.add(*users[:20])
    mute(users[0], "news")
    asked = [subscriber(user, signed_in(user)) for user in users]
    for part in (asked[:1], asked):
        for is_new, expected in ((False, 4), (True, 7)):
            with CaptureQueriesContext(connection) as captured:
                found = decide([Question(each, is_new) for each in part])
            assert len([query for query in captured if "SELECT" in query["sql"]]) == expected
            for user, granted in zip(users, found, strict=False):
                assert isinstance(granted, Granted)
                assert set(granted.reader.topics) == set(topics.topics_of(user))
                assert (granted.reader.user_id, granted.reader.since) == (user.pk, user.date_joined)
                assert granted.reader.muted == ({"news"} if user == users[0] else set())
                assert (granted.opening is not None) == is_new


@pytest.mark.django_db
def test_hello_says_of_each_of_many_where_the_log_and_the_inbox_are() -> None:
    users = [User.objects.create_user(f"user-{number}") for number in range(3)]
    notify(users, "one")
    broadcast("two", exclude=[users[2]])
    list(number_pending())
    mark_read(users[0], up_to=1)
    list(number_pending())
    notify(users[1], "not numbered yet")
    found = decide([Question(subscriber(user, cursor=1), is_new=True) for user in users])
    visitor = decide([Question(Subscriber(), is_new=True)])[0]
    for user, granted in zip([*users, None], [*found, visitor], strict=True):
        assert isinstance(granted, Granted)
        assert granted.opening is not None
        ((name, hello, id),) = events(granted.opening.prelude)
        rows = Notification.objects.visible_to(user or AnonymousUser()).filter(seq__lte=get_head())
        state = Inbox.objects.filter(pk=getattr(user, "pk", None)).values_list("state_seq").first()
        assert name == "hello"
        assert hello["head"] == get_head() == granted.opening.head
        assert hello["cursor"] == int(id) == granted.opening.cursor == (1 if user else get_head())
        assert (hello["unread"], hello["unseen"]) == (rows.unread().count(), rows.unseen().count())
        assert hello["state_seq"] == (state[0] if state else None)
        assert (hello["key"] is None) == (user is None)


@pytest.mark.django_db
def test_what_ends_a_permission_and_whether_the_client_is_to_come_back() -> None:
    users = {
        name: User.objects.create_user(name, password="one")
        for name in ("gone", "off", "new", "fine")
    }
    found = [subscriber(user, signed_in(user)) for user in users.values()]
    sleeping = User.objects.create_user("sleeping", is_active=False)
    found += [
        subscriber(sleeping),
        subscriber(users["fine"], (flushed := signed_in(users["fine"]))),
    ]
    users["gone"].delete()
    User.objects.filter(username="off").update(is_active=False)
    users["new"].set_password("two")
    users["new"].save()
    flushed.session.flush()
    gone, off, new, fine, slept, ended = decided(*found)
    assert gone == off == Ended(reason="revoked", again=False)
    assert new == Ended(reason="revoked", again=True)
    assert isinstance(fine, Granted)
    assert isinstance(slept, Granted), "a backend that admits inactive users"
    assert ended == Ended(reason="logout", again=True)


@pytest.mark.django_db
def test_a_password_that_was_changed_is_the_reason_though_its_session_has_another_key_too() -> None:
    alice = User.objects.create_user("alice", password="one")
    request = signed_in(alice)
    asked = subscriber(alice, request)
    request.session.cycle_key()
    alice.set_password("two")
    alice.save()
    assert decided(asked) == [Ended(reason="revoked", again=True)]
    alice.delete()
    assert decided(asked) == [Ended(reason="revoked", again=False)]


class HashedStore(DBStore):
    """An engine that keeps no key in its table, as projects write them."""

    def _hashed(self, key: str | None) -> str:
        return hashlib.sha256(str(key).encode()).hexdigest()[:40]

    def _get_session_from_db(self) -> Any:
        rows = self.model.objects.filter(session_key=self._hashed(self.session_key))
        return rows.filter(expire_date__gt=timezone.now()).first()

    def exists(self, session_key: str) -> bool:
        return bool(super().exists(self._hashed(session_key)))

    def delete(self, session_key: str | None = None) -> None:
        super().delete(self._hashed(session_key or self.session_key))

    def create_model_instance(self, data: Any) -> Any:
        row = super().create_model_instance(data)
        row.session_key = self._hashed(row.session_key)
        return row


class LoggedStore(CacheStore):
    """An engine whose ``load()`` makes a new session for one that is gone, as Django's once did."""

    def load(self) -> Any:
        if not (found := super().load()):
            self.create()
        return found


ENGINES: dict[str, type[Any]] = {
    name: import_module(f"django.contrib.sessions.backends.{name}").SessionStore
    for name in ("db", "cached_db", "cache", "file")
}
ENGINES |= {"hashed": HashedStore, "logged": LoggedStore}


@pytest.fixture
def folder(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder in which the engine ``file`` keeps its sessions."""
    settings.SESSION_FILE_PATH = str(tmp_path)
    monkeypatch.setattr(ENGINES["file"], "_storage_path", str(tmp_path), raising=False)
    return tmp_path


def expire(store: Any) -> None:
    store.set_expiry(-1)
    store.save()


def forget_the_login(store: Any) -> None:
    del store[SESSION_KEY]
    store.save()


@pytest.mark.django_db
@pytest.mark.parametrize("act", [expire, lambda store: store.flush(), lambda store: store.delete()])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_session_that_is_over_ends_its_streams_whatever_keeps_it(
    engine: str, act: Callable[[Any], None], folder: Path
) -> None:
    """An idle logout ends the streams, too. Django's ``file`` removes what has expired when it is next loaded."""
    alice = User.objects.create_user("alice")
    here, elsewhere = signed_in(alice, engine), signed_in(alice, engine)
    asked = [subscriber(alice, here), subscriber(alice, elsewhere)]
    for _ in range(2):
        assert all(isinstance(each, Granted) for each in decided(*asked))
    act(here.session)
    for _ in range(2):
        ended, granted = decided(*asked)
        assert ended == Ended(reason="logout", again=True)
        assert isinstance(granted, Granted)


@pytest.mark.django_db
@pytest.mark.parametrize("engine", ["file", "cache", "hashed", "logged"])
def test_a_session_that_is_no_login_any_more_ends_its_streams(engine: str, folder: Path) -> None:
    """The engines of Django with a table are asked for the row alone: a login that ends takes another key."""
    alice = User.objects.create_user("alice")
    request = signed_in(alice, engine)
    found = subscriber(alice, request)
    forget_the_login(request.session)
    assert decided(found) == [Ended(reason="logout", again=True)]


@pytest.mark.django_db
@pytest.mark.parametrize("engine", ENGINES)
def test_asking_for_a_session_changes_nothing_of_it(engine: str, folder: Path) -> None:
    def kept() -> Any:
        files = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        cache: Any = caches["default"]
        cached = {key for key in cache._cache if not cache._has_expired(key)}
        return files, cached, list(Session.objects.values())

    alice = User.objects.create_user("alice")
    alive, expired, gone = (signed_in(alice, engine) for _ in range(3))
    asked = [subscriber(alice, request) for request in (alive, expired, gone)]
    expire(expired.session)
    gone.session.delete()
    before = kept()
    assert [isinstance(each, Granted) for each in decided(*asked)] == [True, False, False]
    assert kept() == before


@pytest.mark.django_db
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "a",
        "0" * 32,
        "A" * 32,
        "../../../../../../etc/passwd",
        '"\\000\\000\\000\\000\\000\\000\\000\\000"',
        "x" * 5_000,
        "\x80\xff\x80\xff\x80\xff\x80\xff",
        "a b c d e f g h",
    ],
)
def test_no_cookie_keeps_a_decision_from_another_user(
    engine: str, cookie: str, folder: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cookie of a view's own stream may be anything: its user may have come with a token."""
    settings.SESSION_ENGINE = f"{__name__}.engine"
    module: Any = SimpleNamespace(SessionStore=ENGINES[engine])
    monkeypatch.setitem(sys.modules, settings.SESSION_ENGINE, module)
    alice, bob = User.objects.create_user("alice"), User.objects.create_user("bob")
    request = signed_in(bob, engine)
    hers = sessions.of_user(alice.pk, f"other=1; sessionid={cookie}")
    for _ in range(2):
        _, granted = decided(subscriber_of(alice, session=hers), subscriber(bob, request))
        assert isinstance(granted, Granted)
    found = subscriber(bob, request)
    request.session.flush()
    _, ended = decided(subscriber_of(alice, session=hers), found)
    assert ended == Ended(reason="logout", again=True)


@pytest.mark.django_db
def test_a_site_without_a_table_of_sessions_is_asked_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``SESSION_ENGINE`` has a default, and a client may send the cookie of another site of the same domain."""

    def missing(cls: Any) -> Any:
        raise RuntimeError("Model class Session isn't in an application in INSTALLED_APPS.")

    monkeypatch.setattr(DBStore, "get_model_class", classmethod(missing))
    alice = User.objects.create_user("alice")
    session = sessions.of_user(alice.pk, f"sessionid={'a' * 32}")
    assert isinstance(decided(subscriber_of(alice, session=session))[0], Granted)


@pytest.mark.django_db
def test_sessions_in_the_cookie_and_tokens_cannot_be_asked_and_stay() -> None:
    alice = User.objects.create_user("alice")
    request = signed_in(alice, "signed_cookies")
    # As the next request finds it: the cookie is the key.
    request.session = type(request.session)(request.session.session_key)
    assert request.session[SESSION_KEY]
    cookie, token = subscriber(alice, request), subscriber(alice)
    assert cookie.session is not None
    assert (cookie.session.key, token.session) == (None, None)
    assert all(isinstance(verdict, Granted) for verdict in decided(cookie, token))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    ["get_session_auth_hash", "is_active", "is_staff", "is_superuser", "date_joined"],
)
def test_a_project_whose_own_code_fails_for_one_user_has_all_others_decided(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = User.objects.create_user("alice"), User.objects.create_user("bob")
    asked = [subscriber(alice), subscriber(bob)]
    real = {name: getattr(bob, name) for name in (name,)}

    def failing(user: User) -> Any:
        if user.pk == alice.pk:
            raise ZeroDivisionError
        return real[name]

    monkeypatch.setattr(User, name, property(failing, lambda user, value: None))
    ended, granted = decided(*asked)
    assert ended == Ended(reason="revoked", again=True)
    assert isinstance(granted, Granted)
    assert [record.name for record in caplog.records].count("sse_notify") == 1


ODD: list[Exception] = [
    ZeroDivisionError(),
    DataError("value too long"),
    IntegrityError("of the project's own"),
    OperationalError("canceling statement due to statement timeout"),
    RecursionError(),
]


@pytest.mark.django_db
@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("place", ["get_session_auth_hash", "from_db", "date_joined"])
def test_whatever_fails_for_one_user_ends_that_users_streams_and_no_others(
    place: str,
    is_new: bool,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if place == "from_db" and isinstance(error, OperationalError):
        pytest.skip("that is a database that is away")
    users = [User.objects.create_user(f"user{number}") for number in range(9)]
    questions = [Question(subscriber(user), is_new) for user in users]
    odd = users[4].pk
    if place == "from_db":
        real: Any = User.from_db.__func__  # type: ignore[attr-defined]

        def from_db(cls: Any, *args: Any, **named: Any) -> Any:  # Django 6.1 has one more
            row = real(cls, *args, **named)
            if row.pk == odd:
                raise error
            return row

        monkeypatch.setattr(User, "from_db", classmethod(from_db))
    elif place == "date_joined":
        joined = timezone.now()

        def date_joined(user: User) -> Any:
            if user.pk == odd:
                raise error
            return joined

        monkeypatch.setattr(User, place, property(date_joined, lambda *_: None))
    else:
        hashed = User.get_session_auth_hash

        def auth_hash(user: User) -> str:
            if user.pk == odd:
                raise error
            return hashed(user)

        monkeypatch.setattr(User, place, auth_hash)
    decisions = decide(questions)
    assert decisions[4] == Ended(reason="revoked", again=True)
    assert all(isinstance(each, Granted) for number, each in enumerate(decisions) if number != 4)
    assert [record.name for record in caplog.records].count("sse_notify") == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("value", ["no day", 5, b"x", object()])
def test_a_day_of_joining_that_no_database_takes_ends_that_users_new_streams_alone(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [User.objects.create_user(f"user{number}") for number in range(3)]
    questions = [Question(subscriber(user), is_new=True) for user in users]
    now = timezone.now()
    monkeypatch.setattr(
        User,
        "date_joined",
        property(lambda user: value if user.pk == users[1].pk else now, lambda *_: None),
    )
    first, odd, last = decide(questions)
    assert odd == Ended(reason="revoked", again=True)
    assert isinstance(first, Granted)
    assert isinstance(last, Granted)


@pytest.mark.django_db
@pytest.mark.parametrize("use_tz", [True, False])
def test_a_user_model_may_keep_the_day_of_joining_alone(
    use_tz: bool, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.USE_TZ = use_tz
    alice = User.objects.create_user("alice")
    broadcast("Today")
    list(number_pending())
    monkeypatch.setattr(
        User, "date_joined", property(lambda user: date(2020, 2, 29), lambda *_: None)
    )
    (granted,) = decide([Question(subscriber(alice), is_new=True)])
    assert isinstance(granted, Granted)
    assert isinstance(granted.reader.since, datetime)
    assert (granted.reader.since.year, granted.reader.since.day) == (2020, 29)
    assert unread_count(alice) == 1


@pytest.mark.django_db
def test_a_session_engine_that_is_away_ends_no_stream_and_no_decision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, bob = User.objects.create_user("alice"), User.objects.create_user("bob")
    asked = [subscriber(user, signed_in(user, "cache")) for user in (alice, bob)]
    User.objects.filter(pk=bob.pk).update(is_active=False)

    def away(store: Any, key: str) -> bool:
        raise ConnectionError

    monkeypatch.setattr(CacheStore, "exists", away)
    granted, ended = decided(*asked)
    assert isinstance(granted, Granted)
    assert ended == Ended(reason="revoked", again=False)


@pytest.mark.django_db
@pytest.mark.parametrize("odd", range(3))
def test_a_session_that_its_engine_cannot_read_hides_no_other_session_that_has_ended(
    odd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [User.objects.create_user(f"user{index}") for index in range(3)]
    asked = [subscriber(user, signed_in(user, "cache")) for user in users]
    keys = [each.session.key for each in asked if each.session is not None]
    for key in keys:
        CacheStore(key).delete()
    load = CacheStore.load

    def failing(store: Any) -> Any:
        if store.session_key == keys[odd]:
            raise ZeroDivisionError
        return load(store)

    monkeypatch.setattr(CacheStore, "load", failing)
    expected = [Ended(reason="logout", again=True)] * 3
    decisions = decided(*asked)
    assert isinstance(decisions.pop(odd), Granted)
    assert decisions == expected[1:]


@pytest.mark.django_db
def test_a_session_engine_that_is_away_and_slow_is_not_asked_for_every_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each call waits for a timeout; a decision about 500 streams must not wait for 500 of them."""
    users = [User.objects.create_user(f"user{index}") for index in range(9)]
    asked = [subscriber(user, signed_in(user, "cache")) for user in users]
    clock, calls = [0.0], []

    def away(store: Any) -> Any:
        calls.append(store)
        clock[0] += 0.6
        raise ConnectionError

    monkeypatch.setattr(CacheStore, "load", away)
    monkeypatch.setattr(sessions, "monotonic", lambda: clock[0])
    assert all(isinstance(each, Granted) for each in decided(*asked))
    assert len(calls) == 2


@pytest.mark.django_db
def test_who_is_no_row_of_the_user_model_is_refused_and_never_taken_for_one_of_the_same_key() -> (
    None
):
    alice = User.objects.create_user("alice")

    class Token:
        pk, is_authenticated, is_staff, is_active = alice.pk, True, True, True

    with pytest.raises(HandshakeRefused, match="account of this site") as refused:
        subscriber_of(Token())  # type: ignore[arg-type]
    assert refused.value.status == 403
    response = EventStreamResponse(iter(["one"]), user=Token())
    assert (response.status_code, json.loads(response.getvalue())["error"]) == (403, "forbidden")


@pytest.mark.django_db
def test_a_cursor_beyond_any_number_is_no_error() -> None:
    alice = User.objects.create_user("alice")
    (granted,) = decide([Question(subscriber(alice, cursor=MAX_CURSOR), is_new=True)])
    assert isinstance(granted, Granted)
    assert granted.opening is not None
    assert b'"reason":"ahead"' in granted.opening.prelude


CUSTOM_MODELS = """
import uuid
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

class Customer(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"
    objects = BaseUserManager()
"""
CUSTOM_SITE = """
import asyncio, sys
import django
from django.conf import settings

settings.configure(
    AUTH_USER_MODEL="shop.Customer",
    SECRET_KEY="only-for-this-test",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "sse_notify", "shop"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

from django.core.management import call_command
from shop.models import Customer
from sse_notify.testing import open_stream

async def main():
    for change in ("password", "deletion"):
        user = await Customer.objects.acreate(email=change)
        async with open_stream(user) as stream:
            await stream.next("hello")
            if change == "password":
                user.set_password("another")
                await user.asave()
            else:
                await user.adelete()
            bye = (await stream.next("bye")).data
            print(change, bye["reason"], bye["retry_after"] is not None)

call_command("migrate", run_syncdb=True, verbosity=0)
asyncio.run(main())
"""


def test_a_user_model_without_groups_staff_or_numbers_for_keys_is_as_good(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/models.py").write_text(CUSTOM_MODELS)
    script = tmp_path / "custom.py"
    script.write_text(CUSTOM_SITE)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, str(script), str(tmp_path / "custom.sqlite3")]
    ran = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=GUARD, check=False
    )
    assert ran.stdout.splitlines() == ["password revoked True", "deletion revoked False"], (
        ran.stderr
    )


def default_manager(monkeypatch: pytest.MonkeyPatch, shown: Callable[[Any], Any]) -> None:
    """Let the user model's default manager, with which Django authenticates, show these rows."""

    class Showing(UserManager[User]):
        def get_queryset(self) -> Any:
            return shown(super().get_queryset())

    manager = Showing()
    manager.model = User
    monkeypatch.setattr(User._meta, "default_manager", manager)


#: Managers as projects write them: what else they do must make no difference.
HIDING: dict[str, Callable[[Any], Any]] = {
    "filters": lambda rows: rows.exclude(last_name="deleted"),
    "prefetches": lambda rows: rows.exclude(last_name="deleted").prefetch_related("groups"),
    "defers": lambda rows: rows.exclude(last_name="deleted").only("username"),
    "annotates": lambda rows: rows.exclude(last_name="deleted").annotate(n=Count("groups")),
    "orders": lambda rows: rows.exclude(last_name="deleted").order_by("-groups").distinct(),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", HIDING)
def test_a_user_whom_authentication_finds_no_longer_loses_the_open_streams(
    monkeypatch: pytest.MonkeyPatch, alice: User, bob: User, name: str
) -> None:
    """A soft delete, which leaves the row and ``is_active``: the open stream stayed for its lifetime."""
    alice.groups.add(Group.objects.create(name="a"), Group.objects.create(name="b"))
    default_manager(monkeypatch, HIDING[name])
    both = [subscriber(alice), subscriber(bob)]
    before = decide([Question(each, is_new=True) for each in both])
    shown = [each.is_shown for each in before if isinstance(each, Granted)]
    assert shown == [True, True]
    User._base_manager.filter(pk=alice.pk).update(last_name="deleted")
    with CaptureQueriesContext(connection) as queries:
        hers, his = decide([Question(each, was_shown=True) for each in both])
    assert len(queries) <= 4  # users, groups, who is hidden, mutes
    assert hers == Ended(reason="revoked", again=True)
    assert isinstance(his, Granted)
    assert his.is_shown


@pytest.mark.django_db
def test_a_user_whom_authentication_finds_though_the_default_manager_does_not_keeps_the_streams(
    monkeypatch: pytest.MonkeyPatch, alice: User
) -> None:
    """With a backend of the project's own, or a manager that hides all outside of a request."""
    default_manager(monkeypatch, lambda rows: rows.none())
    first = decide([Question(subscriber(alice), is_new=True)])[0]
    assert isinstance(first, Granted)
    assert not first.is_shown
    again = decide([Question(subscriber(alice), was_shown=first.is_shown)])[0]
    assert isinstance(again, Granted)


def no_tenant(rows: Any) -> Any:
    raise LookupError("no tenant")


@pytest.mark.django_db
@pytest.mark.parametrize("shown", [no_tenant, lambda rows: rows[:1], lambda rows: rows.union(rows)])
def test_a_default_manager_that_cannot_be_asked_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, alice: User, shown: Any
) -> None:
    default_manager(monkeypatch, shown)
    for question in (Question(subscriber(alice), is_new=True), Question(subscriber(alice))):
        assert isinstance(decide([question._replace(was_shown=not question.is_new)])[0], Granted)
