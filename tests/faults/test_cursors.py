"""A log that is shorter than a client's cursor says: a backup was restored, while the server was off or in the middle of its streams."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.servers import Server
from tests.support.site import Site
from tests.support.sse import Events

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MakeSite = Callable[..., Site]

# What restoring a backup does to the log: its newest rows were never there.
RESTORE = """
from sse_notify.models import LogHead, Notification
Notification.objects.filter(seq__gt={head}).delete()
LogHead.objects.update(seq={head})
"""


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    limits = {"POLL_INTERVAL": 0.5, "REPLAY_LIMIT": 3, "MAX_STREAMS_PER_USER": 50}
    return make_site("postgresql", env={"SSE_NOTIFY": json.dumps(limits)})


def send(site: Site, server: Server, *titles: str) -> None:
    for title in titles:
        site.send(server, "notify", to="alice", title=title)
        site.send(server, "notify", to="bob", title=f"Bob's {title}")


async def verdict(events: Events) -> tuple[int, str]:
    """Return where the stream starts and why the cursor was void."""
    hello = await events.next("hello")
    resumes = "Last-Event-ID" in events.response.request.headers
    first = ["ping", "hello"] if resumes else ["hello"]
    assert [event.event for event in events.seen] == first, "always the first"
    cursor = hello.json()["cursor"]
    assert hello.id == str(cursor)
    following = await events.next()
    if following.event != "reset":
        assert following.event == "notification"
        return cursor, ""
    assert following.json()["cursor"] == cursor
    return cursor, following.json()["reason"]


async def test_every_cursor_gets_a_verdict_from_a_real_server_and_nobody_anothers_events(
    site: Site,
) -> None:
    server = site.serve("uvicorn")
    send(site, server, "one", "two", "three", "four")  # 1, 3, 5, 7 are hers and 2, 4, 6, 8 his
    cases: list[tuple[str | None, list[tuple[str, str]], tuple[int, str]]] = [
        # Last-Event-ID, query, start and reason
        ("3", [], (3, "")),
        (None, [("cursor", "3")], (3, "")),
        ("5", [("cursor", "3")], (5, "")),
        ("3", [("cursor", "5"), ("cursor", "2")], (5, "")),
        ("4", [], (4, "")),  # one of his: she gets her own after it
        ("0", [], (8, "too_many")),
        ("2", [], (2, "")),  # further behind than the limit, but most of that is his
        ("9", [], (8, "ahead")),
        (str(2**63 - 1), [], (8, "ahead")),
        (str(2**63), [], (8, "malformed")),
        ("1" + "0" * 400, [], (8, "malformed")),
        ("-1", [], (8, "malformed")),
        ("1e1", [], (8, "malformed")),
        (None, [("cursor", "\0")], (8, "malformed")),
        (None, [("cursor", "1'; DROP TABLE x; --")], (8, "malformed")),
    ]
    for header, query, expected in cases:
        async with site.listen(server, "alice", cursor=header, params=query) as events:
            assert await verdict(events) == expected, (header, query)
            # Whatever the verdict, the stream lives, and it is hers.
            titles = [
                event.json()["title"] for event in events.seen if event.event == "notification"
            ]
            assert (
                titles
                == ["two", "three", "four"][{2: 0, 3: 1, 4: 1, 5: 2, 8: 3}[expected[0]] :][:1]
            )
    site.script("from sse_notify.models import LogHead\nLogHead.objects.update(floor=4)")
    for cursor, expected in ((3, (8, "expired")), (4, (4, ""))):
        async with site.listen(server, "alice", cursor=cursor) as events:
            assert await verdict(events) == expected
    async with site.listen(server, "alice", cursor=3) as events:
        assert await verdict(events) == (8, "expired")
        send(site, server, "live")
        assert (await events.next("notification")).json()["title"] == "live"


async def test_a_backup_restored_under_open_streams_resets_them_in_place(site: Site) -> None:
    server = site.serve("uvicorn")
    send(site, server, "one", "two")
    async with (
        site.listen(server, "alice", cursor=0) as events,
        site.listen(server, "bob", cursor=2) as others,
    ):
        await events.take(2)
        await others.take(1)
        site.script(RESTORE.format(head=2))
        for each in (events, others):
            reset = await each.next("reset")
            assert (reset.json(), reset.id) == ({"reason": "ahead", "cursor": 2}, "2")
        send(site, server, "three")
        ours, theirs = await events.next("notification"), await others.next("notification")
        assert (ours.json()["title"], ours.id) == ("three", "3")
        assert (theirs.json()["title"], theirs.id) == ("Bob's three", "4")


async def test_a_backup_restored_while_the_server_was_off_is_told_to_whoever_comes_back(
    site: Site,
) -> None:
    server = site.serve("uvicorn")
    send(site, server, "one", "two")
    server.stop()
    site.script(RESTORE.format(head=2))
    server.start()
    async with site.listen(server, "alice", cursor=4) as events:
        assert await verdict(events) == (2, "ahead")
        send(site, server, "three")
        assert (await events.next("notification")).json()["title"] == "three"


async def test_numbers_skipped_after_a_restore_void_every_older_cursor(site: Site) -> None:
    """Numbers that were given out before would be given out again: the documentation says how to pass over them."""
    server = site.serve("uvicorn")
    send(site, server, "one", "two", "three")
    server.stop()
    site.script(RESTORE.format(head=2))
    skip = "from django.db.models import F\nfrom sse_notify.models import LogHead\n"
    skip += "LogHead.objects.update(seq=F('seq') + 1_000_000, floor=F('seq') + 1_000_000)"
    site.script(skip)
    server.start()
    send(site, server, "four", "five", "six", "seven")
    for cursor in (1, 3, 4, 6):  # before the restore, and numbers that then meant other events
        async with site.listen(server, "alice", cursor=cursor) as events:
            assert await verdict(events) == (1_000_010, "expired")
    async with site.listen(server, "alice", cursor=1_000_006) as events:
        assert [event.json()["title"] for event in await events.take(2)] == ["six", "seven"]
