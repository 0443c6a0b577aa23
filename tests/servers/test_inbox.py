"""Marks and recalls on a real server: every page of the user hears of them, and who was away hears of them on coming back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conftest import MakeSite
from tests.support import GUARD
from tests.support.servers import Server
from tests.support.site import Site

pytestmark = pytest.mark.asyncio

SEND = """
from django.contrib.auth.models import User
from sse_notify import broadcast, notify
alice, bob = (User.objects.get(username=name) for name in ("alice", "bob"))
print(notify(alice, "Secret to her").pk, broadcast("Secret to all but bob", exclude=[bob]).pk)
"""
RECALL = """
from sse_notify import notify, recall
from sse_notify.models import Notification
print(recall(Notification.objects.filter(title__startswith="Secret").order_by("pk")))
"""


async def post(site: Site, server: Server, name: str, body: dict[str, Any]) -> dict[str, int]:
    """Mark as alice's page does, with the token that ``state/`` gives."""
    inbox = server.url + "/notifications/"
    async with httpx.AsyncClient(
        cookies=site.cookies(server, "alice"), timeout=GUARD, trust_env=False
    ) as client:
        token = (await client.get(inbox + "state/")).json()["csrf"]
        response = await client.post(f"{inbox}{name}/", json=body, headers={"x-csrftoken": token})
        found: dict[str, int] = response.raise_for_status().json()
        return found


async def test_what_is_recalled_goes_from_every_page_and_who_was_away_hears_of_it(
    site: Site,
) -> None:
    server = site.serve()
    async with (
        site.listen(server, "alice") as first,
        site.listen(server, "alice") as second,
        site.listen(server, "bob") as bobs,
    ):
        for events in (first, second, bobs):
            await events.next("hello")
        sent = [int(pk) for pk in site.script(SEND).split()]
        cursor = (await first.take(2))[-1].id
        assert site.script(RECALL).split() == ["2"]
        for events in (first, second):
            gone = await events.take(2, "remove")
            assert [(event.event, event.json()) for event in gone] == [
                ("remove", {"ids": [pk]}) for pk in sent
            ]
            assert [int(event.id) for event in gone] == [int(cursor) + 1, int(cursor) + 2]
        site.send(server, "notify", to="bob", title="The first that bob hears of")
        assert (await bobs.next("notification")).json()["title"] == "The first that bob hears of"
        assert "remove" not in {event.event for event in bobs.seen}
    async with site.listen(server, "alice", cursor=cursor) as events:
        hello = (await events.next("hello")).json()
        assert (hello["unread"], hello["unseen"]) == (0, 0)
        assert [event.json() for event in await events.take(2, "remove")] == [
            {"ids": [pk]} for pk in sent
        ]


MUTE = """
from django.contrib.auth.models import User
from sse_notify import mute, unmute
verb = {"mute": mute, "unmute": unmute}[VERB]
verb(User.objects.get(username="alice"), "news")
"""


@pytest.mark.parametrize("others", ["alone", "beside"])
async def test_a_muted_category_falls_silent_on_open_pages_at_once(
    make_site: MakeSite, others: str
) -> None:
    """Beside: what is sent, and that it is muted, comes from other processes, through the layer."""
    site = make_site(redis=others == "beside")
    server = site.serve()
    async with site.listen(server, "alice") as alices, site.listen(server, "bob") as bobs:
        for events in (alices, bobs):
            await events.next("hello")
        for verb, muted in (("mute", True), ("unmute", None)):
            site.script(f"VERB = {verb!r}{MUTE}")
            assert (await alices.next("reset")).json()["reason"] == "state"
            site.script(
                "from sse_notify import broadcast; broadcast('To all', category='news'); broadcast('Loud')"
            )
            told = [(await alices.next("notification")).json() for _ in range(2)]
            assert [(each["title"], each.get("muted"), each["silent"]) for each in told] == [
                ("To all", muted, bool(muted)),
                ("Loud", None, False),
            ]
            heard = [(await bobs.next("notification")).json() for _ in range(2)]
            assert [(each["title"], "muted" in each, each["silent"]) for each in heard] == [
                ("To all", False, False),
                ("Loud", False, False),
            ]
        assert "reset" not in {event.event for event in bobs.seen}


async def test_every_page_hears_that_something_is_archived_and_back(site: Site) -> None:
    server = site.serve()
    async with site.listen(server, "alice") as first, site.listen(server, "alice") as second:
        for events in (first, second):
            await events.next("hello")
        pk = site.send(server, "notify", to="alice", title="Put away by mistake")
        for name, counts in (("archive", 0), ("unarchive", 1)):
            said = await post(site, server, name, {"ids": [pk], "client": "tab"})
            assert (said["unread"], said["unseen"]) == (counts, counts)
        for events in (first, second):
            told = [(await events.next("update")).json() for _ in range(2)]
            assert [
                (update["set"], update["ids"], update["unread"], update["client"])
                for update in told
            ] == [
                ("archived", [pk], 0, "tab"),
                ("unarchived", [pk], 1, "tab"),
            ]
