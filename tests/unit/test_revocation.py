"""What rings, what a look finds, and what a stream writes while it is looked at."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import SESSION_KEY, login, logout
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from sse_notify import arecheck, fanout, messages, permits, recheck, sessions, topic, topics, warden
from sse_notify.hub import Hub
from sse_notify.log import Reader
from sse_notify.messages import Ephemeral, Revocation
from sse_notify.permits import Ended, Permit, Standing, Verdict, permit_of
from sse_notify.revocation import disconnect, watch_sessions
from sse_notify.stream import Stream
from sse_notify.wire import encode
from tests.support import GUARD, ROOT
from tests.unit.memory_log import MINE, MemoryLog, stream_on
from tests.unit.test_hub import batch

RNG = random.Random(0)
GROUP = "group:1"


# --- what rings ----------------------------------------------------------------------------------------------------------------


async def rung(action: Callable[[], Any]) -> list[Revocation]:
    """Return what this process's hubs hear of permissions while ``action`` runs."""
    heard: list[Any] = []

    def hear(message: Any) -> None:
        heard.append(message)

    fanout.attach(hear)
    try:
        await sync_to_async(action)()
        await asyncio.sleep(0)
    finally:
        fanout.detach(hear)
    return [message for message in heard if isinstance(message, Revocation)]


def in_transaction(action: Callable[[], Any], *, fails: bool) -> None:
    try:
        with transaction.atomic():
            action()
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass


@pytest.fixture
def alice(transactional_db: None) -> User:
    return User.objects.create_user("alice", password="secret")


@pytest.fixture
def team(transactional_db: None) -> Group:
    return Group.objects.create(name="team")


def about(user: User) -> list[Revocation]:
    return [Revocation(topics=(f"user:{user.pk}",))]


@pytest.mark.asyncio
async def test_a_save_that_may_decide_rings_and_another_does_not(alice: User) -> None:
    assert await rung(alice.save) == about(alice)
    for field in ("is_active", "is_staff", "is_superuser", "password"):
        save = partial(alice.save, update_fields=[field, "email"])
        assert await rung(save) == about(alice)
    assert await rung(lambda: alice.save(update_fields=["last_login", "email"])) == []
    assert await rung(lambda: User.objects.create_user("bob")) == []
    expected = about(alice)
    assert await rung(alice.delete) == expected


@pytest.mark.asyncio
async def test_members_of_groups_are_named_from_both_sides(alice: User, team: Group) -> None:
    assert await rung(lambda: alice.groups.add(team)) == about(alice)
    assert await rung(lambda: team.user_set.remove(alice)) == about(alice)
    assert await rung(lambda: team.user_set.add(alice)) == about(alice)
    assert await rung(alice.groups.clear) == about(alice)
    # Which they were, a clear from the group's side does not say: those who listen.
    assert await rung(team.user_set.clear) == [Revocation(topics=(f"group:{team.pk}",))]
    pk = team.pk
    assert await rung(team.delete) == [Revocation(topics=(f"group:{pk}",))]


@pytest.mark.asyncio
async def test_the_bell_waits_for_the_commit_and_a_rollback_is_silent(alice: User) -> None:
    assert await rung(lambda: in_transaction(alice.save, fails=True)) == []
    assert await rung(lambda: in_transaction(alice.save, fails=False)) == about(alice)


@pytest.mark.asyncio
async def test_a_project_can_ring_by_itself(alice: User) -> None:
    assert await rung(lambda: recheck(alice)) == about(alice)
    assert await rung(lambda: recheck(SimpleLazyObject(lambda: alice))) == about(
        alice
    )  # what request.user is
    assert await rung(lambda: recheck(User.objects.all())) == about(alice)
    assert await rung(recheck) == [Revocation(everybody=True)]
    many = [User(pk=pk) for pk in range(1, 2502)]
    assert [len(message.topics) for message in await rung(lambda: recheck(many))] == [
        1000,
        1000,
        501,
    ]
    assert await rung(lambda: disconnect(alice)) == [
        Revocation(topics=(f"user:{alice.pk}",), end="revoked")
    ]
    await arecheck(alice)


def signed_in(user: User, engine: str = "db") -> Any:
    """Return a request of a browser in which ``user`` is signed in."""
    store = import_module(f"django.contrib.sessions.backends.{engine}").SessionStore
    request = RequestFactory().get("/")
    request.session = store()
    request.user = AnonymousUser()
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.save()
    return request


@pytest.mark.asyncio
async def test_a_logout_names_the_session_by_its_digest_alone(alice: User) -> None:
    request = await sync_to_async(signed_in)(alice)
    key = request.session.session_key
    heard = await rung(lambda: logout(request))
    named = (sessions.digest(key),)
    ended = (*named, sessions.digest_of(alice.pk))
    assert heard == [Revocation(sessions=ended, end="logout"), Revocation(sessions=named)]
    assert key not in repr(heard)


@pytest.mark.asyncio
async def test_a_logout_without_a_session_asks_all_streams_of_the_user(alice: User) -> None:
    request = RequestFactory().get("/")
    request.user = alice
    heard = await rung(lambda: user_logged_out.send(sender=User, request=request, user=alice))
    assert heard == [Revocation(topics=(f"user:{alice.pk}",), end="logout", again=True)]


@pytest.mark.asyncio
@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "file"])
async def test_every_engine_tells_of_the_sessions_that_it_deletes(alice: User, engine: str) -> None:
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"):
        watch_sessions()
        request = await sync_to_async(signed_in)(alice, engine)
        session = Revocation(sessions=(sessions.digest(request.session.session_key),))
        assert session in await rung(request.session.cycle_key)
        session = Revocation(sessions=(sessions.digest(request.session.session_key),))
        assert session in await rung(async_to_sync(request.session.aflush))


@pytest.mark.asyncio
async def test_a_login_rings_nothing(alice: User) -> None:
    def visitor_signs_in() -> None:
        request = RequestFactory().get("/")
        request.session = SessionStore()
        request.session["basket"] = 1
        request.session.save()
        request.user = AnonymousUser()
        login(request, alice, backend="django.contrib.auth.backends.ModelBackend")

    assert await rung(visitor_signs_in) == []


@pytest.mark.django_db
def test_what_the_project_does_costs_it_no_query() -> None:
    alice = User.objects.create_user("alice")
    team = Group.objects.create(name="team")
    request = signed_in(alice)

    def queries(action: Callable[[], Any]) -> int:
        with CaptureQueriesContext(connection) as captured:
            action()
        return len(captured)

    assert queries(alice.save) == 1
    assert queries(lambda: alice.save(update_fields=["is_active"])) == 1
    assert queries(lambda: alice.groups.remove(team)) <= 1
    assert queries(lambda: team.user_set.remove(alice)) <= 1
    assert queries(lambda: alice.groups.add(team)) == 2, (
        "documented: one more, as Django looks which are new"
    )
    store = SessionStore(request.session.session_key)
    assert queries(store.delete) == 2, "read, and deleted without a transaction of its own"


@pytest.mark.django_db
def test_expired_sessions_are_deleted_with_one_statement() -> None:
    old = timezone.now() - timedelta(days=1)
    Session.objects.bulk_create(
        Session(session_key=f"key-{n}", session_data="x", expire_date=old) for n in range(50)
    )
    with CaptureQueriesContext(connection) as captured:
        call_command("clearsessions")
    assert len(captured) == 1
    assert not Session.objects.exists()


def test_a_thousand_saves_are_one_message_to_the_layer() -> None:
    waiting: deque[dict[str, Any]] = deque()
    for number in range(1500):
        (message,) = fanout._split(Revocation(topics=(f"user:{number}",)))
        fanout._append(waiting, message)
    assert [len(messages.unpack(message).topics) for message in waiting] == [1000, 500]  # type: ignore[union-attr]
    (message,) = fanout._split(Ephemeral("wall", b"x"))
    fanout._append(waiting, message)
    (message,) = fanout._split(Revocation(sessions=("a",), end="logout"))
    fanout._append(waiting, message)
    (message,) = fanout._split(Revocation(sessions=("b",)))
    fanout._append(waiting, message)
    assert [messages.unpack(message) for message in list(waiting)[3:]] == [
        Revocation(sessions=("a",), end="logout"),
        Revocation(sessions=("b",)),
    ]


# --- what a look finds ---------------------------------------------------------------------------------------------------------


def permit(user: User, *asked: str, session: Any = None) -> Permit:
    request = session or RequestFactory().get("/")
    return permit_of(request, user, asked)


@pytest.fixture
def _guarded() -> Any:
    known = dict(topics._registrations)

    @topic("guarded.<int:pk>")
    def can_watch(user: User, pk: int) -> bool:
        return Group.objects.get(pk=pk).user_set.filter(pk=user.pk).exists()

    yield
    topics._registrations.clear()
    topics._registrations.update(known)


@pytest.mark.django_db
def test_a_look_asks_the_same_few_queries_for_many_as_for_one() -> None:
    team = Group.objects.create(name="team")
    users = [User.objects.create_user(f"user-{number}") for number in range(40)]
    team.user_set.add(*users[:20])
    found = [permit(user, session=signed_in(user)) for user in users]
    with CaptureQueriesContext(connection) as captured:
        verdicts = permits.check(found)
    assert len(captured) == 4
    for user, verdict in zip(users, verdicts, strict=True):
        assert isinstance(verdict, Standing)
        assert verdict.reader is not None
        assert set(verdict.reader.topics) == set(topics.topics_of(user))
        assert (verdict.reader.user_id, verdict.reader.since) == (user.pk, user.date_joined)


@pytest.mark.django_db
def test_what_ends_a_permission_and_whether_the_client_is_to_come_back() -> None:
    users = {
        name: User.objects.create_user(name, password="one")
        for name in ("gone", "off", "new", "fine")
    }
    found = [permit(user, session=signed_in(user)) for user in users.values()]
    sleeping = User.objects.create_user("sleeping", is_active=False)
    found += [
        permit(sleeping),
        permit(users["fine"], session=(flushed := signed_in(users["fine"]))),
    ]
    users["gone"].delete()
    User.objects.filter(username="off").update(is_active=False)
    users["new"].set_password("two")
    users["new"].save()
    flushed.session.flush()
    gone, off, new, fine, slept, ended = permits.check(found)
    assert gone == off == Ended(reason="revoked", again=False)
    assert new == Ended(reason="revoked", again=True)
    assert isinstance(fine, Standing)
    assert isinstance(slept, Standing), "a backend that admits inactive users"
    assert ended == Ended(reason="logout", again=True)


@pytest.mark.django_db
def test_an_expired_session_is_gone() -> None:
    alice = User.objects.create_user("alice")
    found = [permit(alice, session=signed_in(alice))]
    Session.objects.update(expire_date=timezone.now())
    assert permits.check(found) == [Ended(reason="logout", again=True)]


@pytest.mark.django_db
def test_sessions_in_the_cookie_and_tokens_cannot_be_asked_and_stay() -> None:
    alice = User.objects.create_user("alice")
    request = signed_in(alice, "signed_cookies")
    # As the next request finds it: the cookie is the key.
    request.session = type(request.session)(request.session.session_key)
    assert request.session[SESSION_KEY]
    cookie, token = permit(alice, session=request), permit(alice)
    assert cookie.session is not None
    assert (cookie.session.key, token.session) == (None, None)
    assert all(isinstance(verdict, Standing) for verdict in permits.check([cookie, token]))


@pytest.mark.django_db
@pytest.mark.usefixtures("_guarded")
def test_topics_of_the_project_are_asked_again_and_a_function_that_fails_says_no() -> None:
    alice, team = User.objects.create_user("alice"), Group.objects.create(name="team")
    alice.groups.add(team)
    found = [permit(alice, f"guarded.{team.pk}", "guarded.999999")]
    (verdict,) = permits.check(found)
    assert isinstance(verdict, Standing)
    assert verdict.asked == (f"guarded.{team.pk}",)
    alice.groups.clear()
    assert permits.check(found, thorough=False)[0] == Standing(
        reader=verdict_reader(alice), asked=None
    )
    (verdict,) = permits.check(found)
    assert isinstance(verdict, Standing)
    assert verdict.asked == ()
    visitor = permit_of(RequestFactory().get("/"), None, (f"guarded.{team.pk}",))
    assert permits.check([visitor]) == [Ended(reason="revoked", again=False)]


def verdict_reader(user: User) -> Reader:
    return Reader(topics=topics.topics_of(user), user_id=user.pk, since=user.date_joined)


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


# --- what a stream writes meanwhile --------------------------------------------------------------------------------------------


class Court(MemoryLog):
    """A log in memory, and looks that wait until the test gives the verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[tuple[Sequence[Permit], asyncio.Future[list[Verdict]]]] = []

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if function is not permits.check:
            return await super().run(function, *args, **kwargs)
        answer: asyncio.Future[list[Verdict]] = asyncio.get_running_loop().create_future()
        self.looks.append((args[0], answer))
        return await answer

    async def look(self) -> asyncio.Future[list[Verdict]]:
        """Return the next look, which waits for its verdicts."""
        async with asyncio.timeout(10):
            while not self.looks:
                await asyncio.sleep(0)
        return self.looks.pop(0)[1]

    async def settle(self) -> None:
        for _ in range(10):
            while self.queries:
                self.answer_one(RNG)
            await asyncio.sleep(0)


FINE = Standing(reader=Reader(topics=(MINE, "everyone", GROUP), user_id=1), asked=())
LEFT = Standing(reader=Reader(topics=(MINE, "everyone"), user_id=1), asked=())


async def looked_after(hub: Hub, court: Court, *, user_id: int = 1) -> Stream:
    """Return a stream that is live and was found fine."""
    names = (f"user:{user_id}", "everyone", GROUP)
    stream = stream_on(hub, court, topics=names, user_id=user_id, permit=Permit(user_id=user_id))
    assert await stream.read() == b"\n"
    return stream


#: The log and the looks, the hub, a stream that is live and was found fine, and its read that waits for the first event.
Opened = tuple[Court, Hub, Stream, asyncio.Task[bytes | None]]


@pytest_asyncio.fixture
async def opened() -> AsyncIterator[Opened]:
    """A stream before the court; it is closed with the test."""
    court = Court()
    hub = Hub(run=court.run)
    stream = await looked_after(hub, court)
    reading = asyncio.create_task(stream.read())
    await court.settle()
    (await court.look()).set_result([FINE])  # the welcome
    await court.settle()
    yield court, hub, stream, reading
    stream.close()


async def read_again(stream: Stream, court: Court) -> bytes | None:
    reading = asyncio.create_task(stream.read())
    await court.settle()
    return await asyncio.wait_for(reading, 5)


@pytest.mark.asyncio
async def test_while_it_is_looked_at_nothing_is_written_and_then_everything(opened: Opened) -> None:
    court, hub, _, reading = opened
    hub._on_message(Revocation(topics=(MINE,)))
    hub._on_message(batch(court, MINE, GROUP))
    hub._on_message(Ephemeral(GROUP, b"data: now\n\n"))
    look = await court.look()
    await court.settle()
    assert not reading.done()
    look.set_result([FINE])
    assert (
        await asyncio.wait_for(reading, 5)
        == encode("x", id=1) + encode("x", id=2) + b"data: now\n\n"
    )
    assert court.queries == [], "nothing had to be read again"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (
            Ended(reason="revoked", again=False),
            b'event: bye\ndata: {"reason":"revoked","retry_after":null}\n\n',
        ),
        (
            Ended(reason="logout", again=True),
            b'event: bye\ndata: {"reason":"logout","retry_after":',
        ),
    ],
)
async def test_what_waits_for_a_client_that_lost_its_permission_is_dropped(
    verdict: Ended, expected: bytes, opened: Opened
) -> None:
    court, hub, stream, reading = opened
    hub._on_message(Revocation(topics=(MINE,)))
    hub._on_message(batch(court, MINE, GROUP))
    (await court.look()).set_result([verdict])
    bye = await asyncio.wait_for(reading, 5)
    assert bye is not None
    assert bye.startswith(expected)
    hub._on_message(batch(court, MINE))
    assert await read_again(stream, court) is None


@pytest.mark.asyncio
async def test_a_look_that_is_older_than_the_change_lets_nothing_through() -> None:
    """The first look after joining is under way when the user is deactivated; what is sent next is not for them."""
    court = Court()
    hub = Hub(run=court.run)
    stream = await looked_after(hub, court)
    reading = asyncio.create_task(stream.read())
    await court.settle()
    welcome = await court.look()
    hub._on_message(Revocation(topics=(MINE,)))
    hub._on_message(batch(court, MINE, GROUP))
    welcome.set_result([FINE])
    look = await court.look()
    await court.settle()
    assert not reading.done()
    look.set_result([Ended(reason="revoked", again=False)])
    assert (
        await asyncio.wait_for(reading, 5)
        == b'event: bye\ndata: {"reason":"revoked","retry_after":null}\n\n'
    )
    stream.close()
    assert hub._warden._kept == set()


@pytest.mark.asyncio
async def test_a_bell_in_the_very_moment_in_which_a_look_ends_starts_the_next(
    opened: Opened,
) -> None:
    court, hub, _, reading = opened
    hub._on_message(Revocation(topics=(MINE,)))
    (await court.look()).set_result([FINE])
    asyncio.get_running_loop().call_soon(
        hub._on_message, Revocation(topics=(MINE,))
    )  # right after the look has found nothing more
    (await court.look()).set_result([Ended(reason="revoked", again=False)])
    assert (
        await asyncio.wait_for(reading, 5)
        == b'event: bye\ndata: {"reason":"revoked","retry_after":null}\n\n'
    )


@pytest.mark.asyncio
async def test_a_thorough_look_stays_one_when_a_lesser_one_fails(
    monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    monkeypatch.setattr(warden, "RETRY_SECONDS", 0)
    court, hub, stream, _ = opened
    hub._warden._ask([stream], thorough=False)
    look = await court.look()
    hub._on_message(Revocation(topics=(MINE,)))
    assert hub._warden._due == {stream: True}
    look.set_exception(DatabaseError("away"))
    await court.look()
    assert hub._warden._page == {stream: True}


@pytest.mark.asyncio
async def test_a_message_that_is_a_verdict_ends_at_once_and_without_a_look(opened: Opened) -> None:
    court, hub, stream, reading = opened
    hub._on_message(Revocation(topics=("user:2",), end="revoked"))
    hub._on_message(Revocation(topics=(MINE,), end="revoked"))
    assert (
        await asyncio.wait_for(reading, 5)
        == b'event: bye\ndata: {"reason":"revoked","retry_after":null}\n\n'
    )
    assert court.looks == []
    assert stream.reason == "revoked"


RESET = b'event: reset\ndata: {"reason":"topics","cursor":0}\nid: 0\n\n'


@pytest.mark.asyncio
async def test_what_waits_of_a_group_that_was_left_is_not_written(opened: Opened) -> None:
    court, hub, stream, reading = opened
    hub._on_message(Revocation(topics=(MINE,)))
    hub._on_message(batch(court, GROUP, MINE))
    (await court.look()).set_result([LEFT])
    assert await asyncio.wait_for(reading, 5) == RESET
    assert await read_again(stream, court) == encode("x", id=2)
    assert GROUP not in hub._by_topic
    reading = asyncio.create_task(stream.read())
    await court.settle()
    hub._on_message(batch(court, GROUP, MINE))
    assert await asyncio.wait_for(reading, 5) == encode("x", id=4)
    stream.close()
    await court.settle()
    assert (hub._by_topic, hub._warden._streams, hub._warden._by_session) == ({}, {}, {})


@pytest.mark.asyncio
async def test_what_was_sent_while_a_group_was_joined_arrives(opened: Opened) -> None:
    court, hub, stream, reading = opened
    hub._on_message(Revocation(topics=(MINE,)))
    hub._on_message(batch(court, MINE, "group:2"))
    more = Standing(reader=Reader(topics=(MINE, "everyone", GROUP, "group:2"), user_id=1), asked=())
    (await court.look()).set_result([more])
    assert await asyncio.wait_for(reading, 5) == RESET
    assert await read_again(stream, court) == encode("x", id=1) + encode("x", id=2)


@pytest.mark.asyncio
async def test_a_replay_under_way_obeys() -> None:
    court = Court()
    batch(court, GROUP, MINE, GROUP)
    hub = Hub(run=court.run)
    stream = await looked_after(hub, court)
    reading = asyncio.create_task(stream.read())
    for _ in range(10):
        await asyncio.sleep(0)
        if (
            len(court.queries) == 1 and hub.streams and hub._by_topic
        ):  # the page is read from now on, with the group
            break
        while court.queries:
            court.answer_one(RNG)
    assert len(court.queries) == 1
    hub._on_message(Revocation(topics=(MINE,)))
    look = await court.look()
    await court.settle()  # the page is there, and waits for the verdict
    assert not reading.done()
    look.set_result([LEFT])
    assert await asyncio.wait_for(reading, 5) == RESET
    assert await read_again(stream, court) == encode("x", id=2)
    stream.close()


@pytest.mark.asyncio
async def test_a_database_that_is_away_ends_nothing_and_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    monkeypatch.setattr(warden, "RETRY_SECONDS", 0)
    court, hub, stream, reading = opened
    hub._on_message(Revocation(topics=(MINE,)))
    hub._on_message(batch(court, MINE))
    (await court.look()).set_exception(DatabaseError("away"))
    assert await asyncio.wait_for(reading, 5) == encode("x", id=1)
    (await court.look()).set_result([Ended(reason="revoked", again=False)])
    assert b"bye" in (await read_again(stream, court) or b"")


@pytest.mark.asyncio
async def test_a_database_that_hangs_holds_the_events_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    monkeypatch.setattr(warden, "HOLD_SECONDS", 0.01)
    court, hub, _, reading = opened
    hub._on_message(Revocation(topics=(MINE,)))
    hub._on_message(batch(court, MINE))
    await court.look()
    assert await asyncio.wait_for(reading, 5) == encode("x", id=1)


@pytest.mark.asyncio
async def test_nothing_of_one_look_cuts_the_next_one_short(opened: Opened) -> None:
    court, hub, stream, reading = opened
    hub._on_message(Revocation(topics=(MINE,)))
    assert len(hub._warden._timers) == 1
    (await court.look()).set_result([FINE])
    await court.settle()
    assert (hub._warden._timers, hub._warden._held) == (set(), {})
    stream.close()
    await reading


@pytest.mark.asyncio
async def test_a_user_who_is_saved_without_end_is_not_held_without_end(opened: Opened) -> None:
    court, hub, stream, reading = opened
    for number in range(1, 6):
        hub._on_message(Revocation(topics=(MINE,)))
        look = await court.look()
        hub._on_message(Revocation(topics=(MINE,)))  # while it is looked at
        hub._on_message(batch(court, MINE))
        look.set_result([FINE])
        assert await asyncio.wait_for(reading, 5) == encode("x", id=number)
        (await court.look()).set_result([FINE])  # what rang meanwhile is looked at all the same
        reading = asyncio.create_task(stream.read())
        await court.settle()
    assert court.looks == []


@pytest.mark.asyncio
@override_settings(SSE_NOTIFY={"RECHECK_INTERVAL": 0.05})
async def test_everybody_is_looked_at_in_rounds_and_never_too_many_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warden, "PAGE", 10)
    monkeypatch.setattr(warden, "WELCOME_SECONDS", 1000)
    court = Court()
    hub = Hub(run=court.run)
    streams = [await looked_after(hub, court, user_id=number) for number in range(1, 26)]
    readings = [asyncio.create_task(stream.read()) for stream in streams]
    await court.settle()
    seen: set[int] = set()
    async with asyncio.timeout(10):
        while len(seen) < 25:
            while not court.looks:
                await asyncio.sleep(0.01)
            found, answer = court.looks.pop(0)
            assert len(found) <= 10
            seen |= {permit.user_id for permit in found}
            answer.set_result([Standing()] * len(found))
    for stream in streams:
        stream.close()
    await asyncio.wait(readings)
    await court.settle()
    assert hub._warden._looking is hub._warden._walking is None
