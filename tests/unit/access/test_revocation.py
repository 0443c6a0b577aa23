"""What rings for open streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import login, logout
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection, transaction
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

from sse_notify import arecheck, recheck
from sse_notify.access import sessions
from sse_notify.access.decisions import auth_hash, fingerprint
from sse_notify.access.receivers import disconnect
from sse_notify.bus import publisher
from sse_notify.bus.backlog import Backlog
from sse_notify.bus.messages import Ephemeral, Revocation, pack, unpack


async def rung(action: Callable[[], Any]) -> list[Revocation]:
    """Return what this process's hubs hear of permissions while ``action`` runs."""
    heard: list[Any] = []

    def hear(message: Any) -> None:
        heard.append(message)

    publisher.attach(hear)
    try:
        await sync_to_async(action)()
        await asyncio.sleep(0)
    finally:
        publisher.detach(hear)
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


def saved(user: User) -> list[Revocation]:
    return [Revocation(users={f"user:{user.pk}": fingerprint(user, auth_hash(user))})]


@pytest.mark.asyncio
async def test_a_save_that_may_decide_says_what_the_user_looks_like_and_another_says_nothing(
    alice: User,
) -> None:
    assert await rung(alice.save) == saved(alice)
    for field in ("is_active", "is_staff", "is_superuser", "password"):
        save = partial(alice.save, update_fields=[field, "email"])
        assert await rung(save) == saved(alice)
    assert await rung(lambda: alice.save(update_fields=["last_login", "email"])) == []
    assert await rung(lambda: User.objects.create_user("bob")) == []
    expected = about(alice)
    assert await rung(alice.delete) == expected


@pytest.mark.asyncio
async def test_a_user_of_whom_only_a_part_was_loaded_is_not_loaded_to_say_what_it_looks_like(
    alice: User, django_assert_num_queries: Any
) -> None:
    part = await User.objects.only("is_active").aget(pk=alice.pk)

    def save() -> None:
        with django_assert_num_queries(1):
            part.save()

    assert await rung(save) == about(alice)


@pytest.mark.asyncio
async def test_a_user_model_whose_own_code_fails_is_saved_and_rings_all_the_same(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(user: User) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(User, "get_session_auth_hash", failing)
    assert await rung(alice.save) == about(alice)


@pytest.mark.django_db
def test_whatever_decides_about_streams_changes_what_a_user_looks_like() -> None:
    def looks(**changes: Any) -> str:
        user = User(pk=1, username="alice", password="one", **changes)
        return fingerprint(user, auth_hash(user))

    before = looks()
    assert looks(email="new@example.com", first_name="Alice") == before
    for changes in ({"is_active": False}, {"is_staff": True}, {"is_superuser": True}):
        assert looks(**changes) != before
    other = User(pk=1, username="alice", password="two")
    assert fingerprint(other, auth_hash(other)) != before
    assert "one" not in before


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
    assert await rung(lambda: in_transaction(alice.save, fails=False)) == saved(alice)


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


@pytest.mark.asyncio
async def test_a_reason_is_text_whatever_kind_of_text(alice: User) -> None:
    """A translation in the message stopped the sender, and every layer message of the process."""
    reason: Any
    for reason in (gettext_lazy("Yes"), "Yes"):
        (message,) = await rung(partial(disconnect, alice, reason=reason, again=True))
        assert message == Revocation((f"user:{alice.pk}",), end="Yes", again=True)
        assert unpack(json.loads(pack(message))) == message


@pytest.mark.parametrize("reason", ["", gettext_lazy(""), None, 5, b"x", "x" * 101, "\0"])
def test_a_reason_that_is_no_text_is_refused(alice: User, reason: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^reason must "):
        disconnect(alice, reason=reason)


@pytest.mark.parametrize(
    "users", [None, 5, "alice", AnonymousUser(), [AnonymousUser()], User(), [Group(pk=1)]]
)
def test_whoever_is_no_saved_user_is_refused(users: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^users must "):
        disconnect(users)


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
    assert heard == [
        Revocation(sessions=(*named, sessions.digest_of(alice.pk)), end="logout"),
        Revocation(sessions=named),
    ]
    assert key not in repr(heard)


@pytest.mark.asyncio
async def test_processes_name_a_session_alike_while_the_secret_key_is_replaced(alice: User) -> None:
    request = await sync_to_async(signed_in)(alice)
    with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=["new"]):
        named = sessions.digest(request.session.session_key), sessions.digest_of(alice.pk)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        heard = await rung(lambda: logout(request))
    assert heard[0] == Revocation(sessions=named, end="logout")
    assert not {request.session.session_key, str(alice.pk)} & {*named}


@pytest.mark.asyncio
async def test_a_logout_without_a_session_asks_all_streams_of_the_user(alice: User) -> None:
    request = RequestFactory().get("/")
    request.user = alice
    heard = await rung(lambda: user_logged_out.send(sender=User, request=request, user=alice))
    assert heard == [Revocation(topics=(f"user:{alice.pk}",), end="logout", again=True)]


@pytest.mark.asyncio
@pytest.mark.parametrize("engine", ["db", "cached_db"])
async def test_a_session_that_is_deleted_from_its_table_is_told_however_it_is_deleted(
    alice: User, engine: str
) -> None:
    def delete_rows(key: str) -> None:
        Session.objects.filter(session_key=key).delete()

    for delete in ("cycle_key", "flush", "aflush", "rows"):
        request = await sync_to_async(signed_in)(alice, engine)
        key = request.session.session_key
        ways: dict[str, Callable[[], Any]] = {
            "cycle_key": request.session.cycle_key,
            "flush": request.session.flush,
            "aflush": async_to_sync(request.session.aflush),
            "rows": partial(delete_rows, key),
        }
        assert await rung(ways[delete]) == [Revocation(sessions=(sessions.digest(key),))], delete


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
    assert queries(store.delete) == 2, "read, and deleted"
    assert queries(team.delete) <= 5, "Django's own"

    with CaptureQueriesContext(connection) as captured:
        alice.delete()
    locking = [query["sql"] for query in captured if " FOR " in query["sql"]]
    documented = 2 if connection.features.has_select_for_update else 0
    assert len(locking) == documented, "of what is deleted with a user"
    others = [sql for query in captured if (sql := query["sql"]) not in locking]
    assert not [sql for sql in others if sql.startswith("SELECT") and "sse_notify_inbox" in sql]


@pytest.mark.asyncio
async def test_expired_sessions_that_are_cleared_ring_nothing(transactional_db: None) -> None:
    old = timezone.now() - timedelta(days=1)
    await Session.objects.abulk_create(
        Session(session_key=f"key-{n}", session_data="x", expire_date=old) for n in range(50)
    )
    assert await rung(lambda: call_command("clearsessions")) == []
    assert not await Session.objects.aexists()


def test_a_thousand_saves_are_one_message_to_the_layer() -> None:
    waiting = Backlog()
    for number in range(1500):
        waiting.put(Revocation(users={f"user:{number}": str(number)}))
    waiting.put(Ephemeral("wall", b"x"))
    waiting.put(Revocation(sessions=("a",), end="logout"))
    waiting.put(Revocation(sessions=("b",)))
    found: list[Any] = [waiting.take() for _ in range(len(waiting))]
    assert [len(each.users) for each in found[:2]] == [1000, 500]
    assert found[3:] == [
        Revocation(sessions=("a",), end="logout"),
        Revocation(sessions=("b",)),
    ]
