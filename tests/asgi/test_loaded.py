"""A fixture that ``loaddata`` brings into an empty log: a check tells what does not fit, and what is sent next is live and numbered."""

from __future__ import annotations

from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import call_command

from sse_notify import mark_read, notify
from sse_notify.log.sequence import count_pending, get_head
from sse_notify.models import Inbox, LogHead, Notification
from sse_notify.testing import open_stream

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]

LOG = ["sse_notify.notification", "sse_notify.inbox", "sse_notify.loghead"]


def load(user: User, models: list[str], path: Path) -> int:
    """Fill a log, dump ``models``, empty the log, and load them. Return the largest number that was loaded."""
    for title in ("One", "Two", "Three"):
        notify(user, title)
    mark_read(user, up_to=get_head())
    largest = get_head() if "sse_notify.inbox" in models else get_head() - 1
    call_command("dumpdata", *models, output=str(path), verbosity=0)
    Notification.objects.all().delete()
    Inbox.objects.all().delete()
    LogHead.objects.update(seq=0, floor=0)
    call_command("loaddata", str(path), verbosity=0)
    return largest


def complaints() -> list[str]:
    found = run_checks(tags=["database"], databases=["default"])
    return [each.id or "" for each in found if (each.id or "").startswith("sse_notify")]


@pytest.mark.parametrize(
    ("models", "found"),
    [
        (LOG[:1], ["sse_notify.W015"]),
        (LOG[1:2], ["sse_notify.W015"]),
        (LOG[:2], ["sse_notify.W015"]),
        (LOG, []),
    ],
    ids=["notifications", "inboxes", "both", "all"],
)
async def test_what_follows_a_loaded_fixture_is_numbered_after_it_and_live(
    tmp_path: Path, models: list[str], found: list[str]
) -> None:
    alice = await User.objects.acreate(username="alice")
    largest = await sync_to_async(load)(alice, models, tmp_path / "log.json")
    assert await sync_to_async(complaints)() == found
    got: list[tuple[str, int | None]] = []
    async with open_stream(alice) as stream:
        for title in ("First", "Second"):
            await sync_to_async(notify)(alice, title)
            while title not in dict(got):
                event = await stream.next("notification")
                got.append((event.data["title"], event.id))
    # What was above the head is new to the streams.
    loaded = [("One", 1), ("Two", 2), ("Three", 3)] if found and models != LOG[1:2] else []
    assert got == [*loaded, ("First", largest + 1), ("Second", largest + 2)]
    assert await sync_to_async(get_head)() == largest + 2
    assert await sync_to_async(count_pending)() == 0
    assert await sync_to_async(complaints)() == []
