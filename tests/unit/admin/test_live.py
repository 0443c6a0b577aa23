"""The admin's live page in one process: who may see it, what it says, and that nobody is asked while nobody watches."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.test import Client
from django.urls import reverse

from sse_notify import notify
from sse_notify.bus import queries
from sse_notify.exceptions import HandshakeRefused
from sse_notify.monitoring import live, presence
from sse_notify.presence import HubStatus, Presence
from sse_notify.streaming import hub as hub_module
from sse_notify.testing import open_stream
from tests.support.readers import is_allowed

LIVE = "admin:sse_notify_notification_live"
DISCONNECT = "admin:sse_notify_notification_disconnect"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def hub(pid: int = 1, **fields: Any) -> HubStatus:
    counters: dict[str, int | dict[str, int]] = {
        "repaired": 2,
        "reset": {"ahead": 1, "expired": 2},
        "slow": 4,
        "refused": {},
    }
    status = HubStatus(
        id=f"web:{pid}:1", host="web", pid=pid, started=NOON, at=NOON, streams=3, users=2, anonymous=1, cursor=7, head=9,
        draining=False, counters=counters,
    )  # fmt: skip
    return replace(status, **fields)


@pytest.fixture
def watcher() -> User:
    user = User.objects.create_user("carol", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_notification"))
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


# --- what it says ----------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_totals_are_the_sums_of_the_processes(alice: User) -> None:
    notify(alice, "Not numbered yet")
    hubs = [hub(1, rate=2.5), hub(2, rate=0.25, draining=True), hub(3, streams=5)]
    totals = live.report(Presence(hubs=hubs, users=Counter(), head=9))["totals"]
    assert totals == {
        "processes": 3, "streams": 11, "users": 0, "anonymous": 3, "rate": 2.8, "head": 9, "pending": 1,
        "repaired": 6, "reset": 9, "slow": 12, "refused": 0,
    }  # fmt: skip
    nobody = live.report(Presence(hubs=[hub(1)], users=Counter(), head=9))["totals"]
    assert nobody["rate"] is None, "there was no heartbeat yet"


@pytest.mark.django_db
def test_users_with_the_most_streams_come_first_and_all_are_found_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people = [User.objects.create_user(f"user{number}") for number in range(6)]
    monkeypatch.setattr(live, "USERS", 2)
    users = Counter({str(user.pk): 1 + (user.username == "user4") for user in people}) | Counter(
        {"987654": 1}
    )
    found = live.report(Presence(hubs=[], users=users, head=0))
    assert [user["name"] for user in found["users"]] == ["user4", "user0"]
    assert (found["users"][0]["streams"], found["more"], found["totals"]["users"]) == (2, 5, 7)
    found = live.report(Presence(hubs=[], users=users, head=0), query="R5")
    assert ([user["name"] for user in found["users"]], found["more"]) == (["user5"], 0)
    assert live.named({"987654": 1}) == [{"key": "987654", "name": "987654", "streams": 1}]


@pytest.mark.django_db
def test_the_page_shows_how_things_are_and_shows_names_as_text(watcher: User) -> None:
    notify(User.objects.create_user("<i>dave"), "Not numbered yet")
    watcher.user_permissions.add(Permission.objects.get(codename="view_user"))
    page = signed_in(watcher).get(reverse(LIVE))
    assert (
        page.context["report"]["totals"] | {"streams": 0, "pending": 1}
        == page.context["report"]["totals"]
    )
    text = page.content.decode()
    assert 'data-topic="sse_notify.live"' in text
    assert f'data-stream="{reverse("sse_notify:stream")}"' in text
    assert (
        reverse(LIVE)
        in signed_in(watcher)
        .get(reverse("admin:sse_notify_notification_changelist"))
        .content.decode()
    )
    # What needs a permission that this user has not.
    assert 'name="user"' not in text


@pytest.mark.django_db
def test_a_search_for_what_no_name_has_finds_without_it(
    watcher: User, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher.user_permissions.add(Permission.objects.get(codename="view_user"))
    connected = Presence(hubs=[], users=Counter({str(alice.pk): 1}), head=0)
    monkeypatch.setattr(presence, "look", lambda *_args: connected)
    page = signed_in(watcher).get(reverse(LIVE), {"q": "li\0c"})
    assert [user["name"] for user in page.context["report"]["users"]] == ["alice"]


# --- who may ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_only_staff_who_may_view_notifications_may_watch(watcher: User, alice: User) -> None:
    staff = User.objects.create_user("staff", is_staff=True)
    alice.user_permissions.add(
        Permission.objects.get(codename="view_notification")
    )  # and is no staff
    gone = User.objects.create_superuser("gone", is_active=False)
    changer = User.objects.create_user("changer", is_staff=True)
    changer.user_permissions.add(Permission.objects.get(codename="change_notification"))
    nobody = AnonymousUser()
    asked = (watcher, changer, User.objects.create_superuser("root"), staff, alice, gone, nobody)
    assert [is_allowed(user, live.NUMBERS) for user in asked] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert [signed_in(user).get(reverse(LIVE)).status_code for user in (watcher, staff, alice)] == [
        200,
        403,
        302,
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("codename", ["view_user", "change_user"])
def test_users_are_named_only_to_staff_who_may_view_users(
    watcher: User, alice: User, monkeypatch: pytest.MonkeyPatch, codename: str
) -> None:
    found = Presence(hubs=[hub()], users=Counter({str(alice.pk): 2}), head=9)
    monkeypatch.setattr(presence, "look", lambda timeout: found)
    notify(alice, "Hello")

    def shown(query: str = "") -> tuple[bool, Any, str]:
        page = signed_in(watcher).get(reverse(LIVE), {"q": query})
        text = page.content.decode()
        assert page.context["report"]["totals"]["users"] == 1, "the number is no secret"
        # Without the table, the script leaves it alone.
        assert 'data-rows="users"' in text or " data-query" in text
        return "alice" in text, page.context["report"]["users"], page.context["topic"]

    for query in ("", "alice", "nobody"):
        assert shown(query) == (False, [], live.NUMBERS)
    assert not is_allowed(watcher, live.TOPIC)
    watcher.user_permissions.add(Permission.objects.get(codename=codename))
    watcher = User.objects.get(pk=watcher.pk)
    assert is_allowed(watcher, live.TOPIC)
    is_named, users, topic = shown()
    assert (is_named, len(users), topic) == (True, 1, live.TOPIC)
    assert shown("nobody")[1] == []


@pytest.mark.django_db
def test_ending_streams_needs_the_permission_to_change_users(watcher: User, alice: User) -> None:
    client = signed_in(watcher)
    assert client.post(reverse(DISCONNECT), {"user": alice.pk}).status_code == 403
    watcher.user_permissions.add(Permission.objects.get(codename="change_user"))
    assert client.get(reverse(DISCONNECT)).status_code == 405
    for key in ("", "987654", "x"):
        assert client.post(reverse(DISCONNECT), {"user": key}).status_code == 404
    assert not LogEntry.objects.exists()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(watcher)
    assert strict.post(reverse(DISCONNECT), {"user": alice.pk}).status_code == 403


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_who_may_not_view_users_follows_the_numbers_alone(
    watcher: User, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "JOBS_AFTER", 0.01)
    with pytest.raises(HandshakeRefused, match="may not listen"):
        async with open_stream(watcher, topics=[live.TOPIC]):
            pass
    root = await sync_to_async(User.objects.create_superuser)("root")
    async with (
        open_stream(alice),
        open_stream(watcher, topics=[live.NUMBERS]) as numbers,
        open_stream(root, topics=[live.TOPIC]) as both,
    ):
        while (report := (await numbers.next(live.NUMBERS)).data)["totals"]["users"] < 3:
            pass
        assert (report["users"], report["more"]) == ([], 0)
        assert "alice" in {user["name"] for user in (await both.next(live.TOPIC)).data["users"]}


# --- live ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_whoever_watches_is_told_and_nobody_is_asked_once_nobody_watches(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = await sync_to_async(User.objects.create_superuser)("root")
    monkeypatch.setattr(live, "INTERVAL", 0.02)
    monkeypatch.setattr(hub_module, "JOBS_AFTER", 0.01)
    ask, asked = queries.ask, 0

    def count_and_ask(seconds: float) -> Any:
        nonlocal asked
        asked += 1
        return ask(seconds)

    async def is_quiet() -> None:
        """Wait until nobody is asked any more, at a time in which there would be many reports."""
        async with asyncio.timeout(20):
            before = -1
            while asked != before:
                before = asked
                await asyncio.sleep(0.3)

    monkeypatch.setattr(queries, "ask", count_and_ask)
    async with open_stream(bob):
        with pytest.raises(HandshakeRefused, match="may not listen"):
            async with open_stream(alice, topics=[live.TOPIC]):
                pass
        await is_quiet()
        assert asked == 0
        async with open_stream(root, topics=[live.TOPIC]) as stream:
            async with open_stream(alice) as other:
                first = (await stream.next(live.TOPIC)).data
                assert first["totals"]["rate"] is None
                while (report := (await stream.next(live.TOPIC)).data)["totals"]["streams"] < 3:
                    pass
                assert (report["totals"]["users"], [row["streams"] for row in report["hubs"]]) == (
                    3,
                    [3],
                )
                assert {user["name"]: user["streams"] for user in report["users"]} == {
                    "alice": 1,
                    "bob": 1,
                    "root": 1,
                }
                # The button.
                response = await sync_to_async(
                    lambda: signed_in(root).post(reverse(DISCONNECT), {"user": alice.pk})
                )()
                assert response["Location"] == reverse(LIVE)
                assert (await other.next("bye")).data["reason"] == "revoked"
            while (await stream.next(live.TOPIC)).data["totals"]["users"] == 3:
                pass
        # The hub goes on, but nobody watches.
        await is_quiet()
        async with open_stream(root, topics=[live.TOPIC]) as stream:
            await stream.next(live.TOPIC)
    entry = await LogEntry.objects.aget()
    assert (entry.object_id, entry.user_id, entry.change_message) == (
        str(alice.pk),
        root.pk,
        "The open streams were ended.",
    )
