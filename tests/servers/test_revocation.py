"""What ends a permission ends the streams that rest on it, in every process, and no other."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support import GUARD
from tests.support.redis import RedisServer
from tests.support.servers import Server
from tests.support.site import STREAM, Site
from tests.support.sse import Events, listen

pytestmark = pytest.mark.asyncio

MakeSite = Any

PROLOGUE = """
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import transaction
from sse_notify import broadcast, notify, recheck
alice = User.objects.get(username="alice")
team = Group.objects.get(name="team")
"""

#: What ends every stream of alice's, the reason that is given, and whether her client comes back to see.
ENDS = {
    "deactivated": ("alice.is_active = False; alice.save()", "revoked", False),
    "one field": (
        "alice.is_active = False; alice.save(update_fields=['is_active'])",
        "revoked",
        False,
    ),
    "deleted": ("alice.delete()", "revoked", False),
    "deleted in bulk": ("User.objects.filter(pk=alice.pk).delete()", "revoked", False),
    "a new password": ("alice.set_password('other'); alice.save()", "revoked", True),
    "updated, and said so": (
        "User.objects.filter(pk=alice.pk).update(is_active=False); recheck(alice)",
        "revoked",
        False,
    ),
}


def run(site: Site, code: str) -> str:
    return site.script(PROLOGUE + code)


async def in_thread(site: Site, code: str) -> str:
    return await asyncio.to_thread(run, site, code)


def post(server: Server, path: str, cookies: dict[str, str]) -> httpx.Response:
    return httpx.post(
        server.url + path, cookies=cookies, timeout=GUARD, trust_env=False
    ).raise_for_status()


class Crowd:
    """Streams of several users on several servers, each with its own session unless cookies are given."""

    def __init__(self, site: Site, servers: list[Server]) -> None:
        self.site = site
        self.servers = servers
        self.stack = AsyncExitStack()

    async def open(
        self, server: Server, user: str, cookies: dict[str, str] | None = None, **options: Any
    ) -> Events:
        cookies = cookies or self.site.cookies(server, user)
        events = await self.stack.enter_async_context(
            listen(server.url + STREAM, cookies=cookies, **options)
        )
        await events.next("hello")
        return events

    async def everywhere(
        self, user: str, cookies: dict[str, str] | None = None, **options: Any
    ) -> list[Events]:
        return [await self.open(server, user, cookies, **options) for server in self.servers]

    async def joined(self, *crowds: list[Events]) -> None:
        """Wait until every stream hears what is sent: each has joined its hub then, which listens to the layer."""
        self.site.send(self.servers[0], "broadcast", title="Joined")
        for events in (events for crowd in crowds for events in crowd):
            await titled(events, "Joined")


async def titled(events: Events, title: str) -> None:
    await events.next(
        lambda event: event.event == "notification" and event.json()["title"] == title
    )


async def ended(events: Events) -> dict[str, Any]:
    """Return what ``bye`` says, and see that nothing follows."""
    before = len(events.seen)
    bye: dict[str, Any] = (await events.next("bye")).json()
    assert {event.event for event in events.seen[before:]} <= {"ping", "bye"}
    assert await events.rest() == []
    return bye


async def two_processes(make_site: MakeSite, stack: AsyncExitStack, **settings: Any) -> Crowd:
    # No poll and no round within the test: what happens came through the layer.
    env = {"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 600, "RECHECK_INTERVAL": 600, **settings})}
    site: Site = make_site("postgresql", redis=True, env=env)
    crowd = Crowd(site, [site.serve("uvicorn"), site.serve("daphne")])
    await stack.enter_async_context(crowd.stack)
    return crowd


@pytest_asyncio.fixture
async def stack() -> Any:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.mark.timeout(120)
async def test_what_ends_a_permission_ends_the_streams_in_every_process(
    make_site: MakeSite, stack: AsyncExitStack
) -> None:
    crowd = await two_processes(make_site, stack)
    bobs = await crowd.everywhere("bob")
    took: list[float] = []
    for code, reason, again in ENDS.values():
        await in_thread(crowd.site, "User.objects.filter(pk=alice.pk).update(is_active=True)")
        hers = await crowd.everywhere("alice")
        await crowd.joined(hers, bobs)
        # The clock is the same for all processes of a machine.
        done = await in_thread(
            crowd.site, f"pk = alice.pk\n{code}\n{CLOCK}\nbroadcast('Too late')" + REVIVE
        )
        for events in hers:
            bye = await ended(events)
            took.append(time.monotonic() - float(done))
            assert bye["reason"] == reason, code
            assert (bye["retry_after"] is not None) == again, code
        for events in bobs:
            await titled(events, "Too late")
    assert statistics.median(took) < 1, (
        f"within a second, the end of the process that said so included: {took}"
    )


CLOCK = "import time\nprint(time.monotonic())"
# For the next case.
REVIVE = "\nUser.objects.filter(pk=pk).exists() or User.objects.create_user('alice')\n"


@pytest.mark.timeout(120)
async def test_a_logout_ends_the_streams_of_that_session_and_no_other(
    make_site: MakeSite, stack: AsyncExitStack
) -> None:
    crowd = await two_processes(make_site, stack)
    one, two = crowd.servers
    cookies = crowd.site.cookies(one, "alice")
    here = await crowd.everywhere("alice", cookies)
    elsewhere = await crowd.everywhere("alice")
    await crowd.joined(here, elsewhere)
    post(two, "/logout/", cookies)
    for events in here:
        assert await ended(events) == {"reason": "logout", "retry_after": None}
    await crowd.joined(elsewhere)
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        await crowd.open(one, "alice", cookies)

    # Flushed without a logout: the client comes back, and is refused.
    cookies = crowd.site.cookies(two, "alice")
    flushed = await crowd.everywhere("alice", cookies)
    await crowd.joined(flushed, elsewhere)
    key = cookies["sessionid"]
    await in_thread(
        crowd.site,
        f"from django.contrib.sessions.backends.db import SessionStore\nSessionStore({key!r}).flush()",
    )
    for events in flushed:
        bye = await ended(events)
        assert bye["reason"] == "logout"
        assert bye["retry_after"] > 0
    await crowd.joined(elsewhere)


@pytest.mark.timeout(120)
async def test_the_browser_that_changed_its_password_comes_back_and_the_others_do_not(
    make_site: MakeSite, stack: AsyncExitStack
) -> None:
    crowd = await two_processes(make_site, stack)
    one, two = crowd.servers
    cookies, others = crowd.site.cookies(one, "alice"), crowd.site.cookies(two, "alice")
    here, elsewhere = (
        await crowd.everywhere("alice", cookies),
        await crowd.everywhere("alice", others),
    )
    await crowd.joined(here, elsewhere)
    answer = post(one, "/password/", cookies)
    for events in (*here, *elsewhere):
        bye = await ended(events)
        assert bye["reason"] == "revoked"
        assert bye["retry_after"] > 0
    again = await crowd.everywhere("alice", {**cookies, **dict(answer.cookies)})
    await crowd.joined(again)
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        await crowd.open(two, "alice", others)


@pytest.mark.timeout(120)
async def test_topics_follow_groups_and_staff_on_the_open_connection(
    make_site: MakeSite, stack: AsyncExitStack
) -> None:
    """What is sent right after the change arrives, or does not; each of the two in the same moment as the change."""
    crowd = await two_processes(make_site, stack)
    carols, alices = await crowd.everywhere("carol"), await crowd.everywhere("alice")
    await crowd.joined(carols, alices)
    carol = "carol = User.objects.get(username='carol')\n"
    for change, expected in {
        "carol.groups.add(team); broadcast('In', audience=team)": ["In"],
        "carol.groups.remove(team); broadcast('Out', audience=team)": [],
        "team.user_set.add(carol); broadcast('In again', audience=team)": ["In again"],
        "team.user_set.clear(); broadcast('Cleared', audience=team)": [],
        "carol.groups.set([team]); broadcast('Set', audience=team)": ["Set"],
        "from sse_notify import STAFF; broadcast('Staff', audience=STAFF)": ["Staff"],
        "carol.is_staff = False; carol.save(); broadcast('No staff', audience=STAFF)": [],
        "carol.is_staff = True; carol.save(); broadcast('Staff again', audience=STAFF)": [
            "Staff again"
        ],
    }.items():
        code = (
            carol
            + "from sse_notify import STAFF\n"
            + change.replace("; ", "\n")
            + "\nbroadcast('Next')"
        )
        await in_thread(crowd.site, code)
        for events in carols:
            before = len(events.seen)
            await titled(events, "Next")
            titles = [
                event.json()["title"]
                for event in events.seen[before:-1]
                if event.event == "notification"
            ]
            assert titles == expected, change
    await in_thread(crowd.site, "pk = team.pk; team.delete(); broadcast('End')")
    for events in carols:
        await titled(events, "End")
        assert [e.json()["reason"] for e in events.seen if e.event == "reset"] == ["topics"] * 8
        assert not any(e.event == "bye" for e in events.seen)
        numbers = [int(e.id) for e in events.seen if e.event == "notification"]
        assert numbers == sorted(set(numbers))
    for events in alices:
        await titled(events, "End")
        titles = [event.json()["title"] for event in events.seen if event.event == "notification"]
        assert "Cleared" not in titles
        assert not {"Staff", "Staff again"} & set(titles)


async def test_a_rollback_revokes_nothing(make_site: MakeSite, stack: AsyncExitStack) -> None:
    crowd = await two_processes(make_site, stack)
    hers = await crowd.everywhere("alice")
    await crowd.joined(hers)
    await in_thread(
        crowd.site,
        """
try:
    with transaction.atomic():
        alice.is_active = False
        alice.set_password("other")
        alice.save()
        alice.groups.clear()
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
broadcast("Still there", audience=team)
""",
    )
    for events in hers:
        await titled(events, "Still there")
        assert not {"bye", "reset"} & {event.event for event in events.seen}


@pytest.mark.timeout(120)
async def test_with_redis_stopped_the_round_finds_it(
    make_site: MakeSite, stack: AsyncExitStack, redis_server: RedisServer
) -> None:
    crowd = await two_processes(make_site, stack, POLL_INTERVAL=1, RECHECK_INTERVAL=1)
    hers, bobs = await crowd.everywhere("alice"), await crowd.everywhere("bob")
    await crowd.joined(hers, bobs)
    redis_server.stop()
    await in_thread(crowd.site, "alice.is_active = False; alice.save()")
    for events in hers:
        assert await ended(events) == {"reason": "revoked", "retry_after": None}
    redis_server.start()
    await crowd.joined(bobs)


async def test_on_sqlite_another_process_is_noticed_at_the_next_poll(
    site: Site, stack: AsyncExitStack
) -> None:
    """``manage.py shell`` beside ``runserver``: no layer connects them, and ``QuerySet.update()`` rings nothing anyway."""
    crowd = Crowd(site, [site.serve()])
    await stack.enter_async_context(crowd.stack)
    cookies = site.cookies(crowd.servers[0], "alice")
    hers = await crowd.everywhere("alice", cookies)
    (bobs,), (carols,) = await crowd.everywhere("bob"), await crowd.everywhere("carol")
    await in_thread(site, f"Session.objects.filter(session_key={cookies['sessionid']!r}).delete()")
    assert (await ended(hers[0]))["reason"] == "logout"
    await in_thread(
        site,
        "User.groups.through.objects.create(user=User.objects.get(username='carol'), group=team)",
    )
    assert (await carols.next("reset")).json()["reason"] == "topics"
    await in_thread(
        site,
        "User.objects.filter(username='bob').update(is_active=False); broadcast('To the team', audience=team)",
    )
    await bobs.next("bye")
    await titled(carols, "To the team")


@pytest.mark.parametrize("engine", ["cache", "cached_db", "file", "signed_cookies"])
async def test_a_logout_ends_the_stream_whatever_engine_keeps_the_sessions(
    make_site: MakeSite, stack: AsyncExitStack, tmp_path: Path, engine: str
) -> None:
    env = {
        "SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}",
        "SESSION_FILE_PATH": str(tmp_path),
    }
    site: Site = make_site(env=env)
    crowd = Crowd(site, [site.serve()])
    await stack.enter_async_context(crowd.stack)
    server = crowd.servers[0]
    here = elsewhere = site.cookies(server, "alice")
    while (
        elsewhere["sessionid"] == here["sessionid"]
    ):  # a signed cookie is the same for logins of the same second
        elsewhere = site.cookies(server, "alice")
    one, other = (
        await crowd.open(server, "alice", here),
        await crowd.open(server, "alice", elsewhere),
    )
    await crowd.joined([one, other])
    post(server, "/logout/", here)
    assert await ended(one) == {"reason": "logout", "retry_after": None}
    if (
        engine == "signed_cookies"
    ):  # the server cannot tell which are of the same session: all come back and are asked
        bye = await ended(other)
        assert bye["reason"] == "logout"
        assert bye["retry_after"] > 0
        await crowd.open(server, "alice", elsewhere)
    else:
        await crowd.joined([other])
        post(server, "/flush/", elsewhere)
        assert (await ended(other))["reason"] == "logout"
