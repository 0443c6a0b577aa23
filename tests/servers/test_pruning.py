"""The command that prunes, beside real servers and clients that replay meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

import pytest

from tests.support.site import STREAM, Site
from tests.support.sse import Events, RawStream

MakeSite = Callable[..., Site]

#: Rows in the log, and of these how many are old; each is large enough that a client which reads nothing blocks its own replay.
ROWS, OLD, BODY = 450, 400, 16_000

FILL = f"""
    from datetime import timedelta
    from django.contrib.auth.models import User
    from django.db import transaction
    from django.utils import timezone
    from sse_notify import flush, mark_read, notify
    from sse_notify.models import Notification

    alice = User.objects.get(username="alice")
    with transaction.atomic():
        for number in range({ROWS}):
            notify(alice, str(number), "x" * {BODY})
    flush()
    Notification.objects.filter(seq__lte={OLD}).update(created_at=timezone.now() - timedelta(days=100))
    mark_read(alice, up_to={OLD - 100})
"""

PRUNE = """
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from sse_notify import unread_count
    from sse_notify.log.sequence import get_position
    from sse_notify.models import Notification

    call_command("prune_notifications", batch=20)
    alice = User.objects.get(username="alice")
    print(Notification.objects.count(), unread_count(alice), Notification.objects.visible_to(alice).unread().count(), get_position())
"""

AFTER = """
    from django.contrib.auth.models import User
    from sse_notify import notify

    notify(User.objects.get(username="alice"), "After")
"""


async def replay(events: Events) -> tuple[int, list[int], bool]:
    """Return where a stream began, what of the log it brought, and whether it said by ``reset`` that something may be missing."""
    hello = (await events.next("hello")).json()
    got: list[int] = []
    told = False
    while not (told and hello["cursor"] == hello["head"]) and (not got or got[-1] < ROWS):
        event = await events.next(lambda event: event.event in ("notification", "reset"))
        if event.event == "reset":
            told = True
        else:
            got.append(int(event.id))
    # What the client cannot know, it is told.
    if not told and got != list(range(hello["cursor"] + 1, ROWS + 1)):
        told = (await events.next("reset")).json()["reason"] == "expired"
    return hello["cursor"], got, told


@pytest.mark.asyncio
@pytest.mark.timeout(120)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_pruning_beside_replays_leaves_no_hole_that_a_client_does_not_know_of(
    make_site: MakeSite, database: Literal["sqlite", "postgresql"]
) -> None:
    site = make_site(
        database,
        env={
            "SSE_NOTIFY": json.dumps(
                {
                    "POLL_INTERVAL": 0.2,
                    "REPLAY_PAGE": 20,
                    "MAX_STREAMS_PER_USER": 100,
                    "SEND_TIMEOUT": 300,
                }
            )
        },
    )
    site.script(FILL)
    server = site.serve("uvicorn")
    cookie = "; ".join(f"{name}={value}" for name, value in site.cookies(server, "alice").items())
    stuck = RawStream(
        f"{server.url}{STREAM}?cursor=0", headers={"Cookie": cookie}, receive_buffer=65536
    )
    assert stuck.head()[0] == 200
    sessions = 0
    async with site.listen(server, "alice") as idle:
        pruning = site.start_script(PRUNE)
        while pruning.is_running:
            cursor = sessions * 97 % OLD
            async with site.listen(server, "alice", cursor=cursor) as events:
                start, got, told = await replay(events)
            assert got == sorted(set(got)), "in order, nothing twice"
            assert set(range(max(start, OLD) + 1, ROWS + 1)) <= set(got), (
                "nothing that stays is missing"
            )
            assert told or got == list(range(start + 1, ROWS + 1))
            sessions += 1
        assert pruning.wait() == 0
        said, counted = pruning.output().splitlines()
        assert said.startswith(f"Deleted {OLD:,} notifications: sent before ")
        assert (
            counted
            == f"{ROWS - OLD} {ROWS - OLD} {ROWS - OLD} Position(head={ROWS + 1}, floor={OLD})"
        )
        site.script(AFTER)
        event = await idle.next(lambda event: event.event in ("notification", "reset"))
        assert event.event == "notification", "who missed nothing of what went is left alone"
    assert sessions

    # Its replay began before, and goes on now: what was read ahead for it, a hole, and the word that says so.
    seen: list[str] = []
    while "reset" not in seen or f"id: {ROWS}" not in seen:
        block = stuck.block().decode()
        assert block, f"it ended: {seen[-3:]}"
        seen += (
            ["reset"]
            if "event: reset" in block
            else [line for line in block.splitlines() if line.startswith("id: ")]
        )
    stuck.close()
    ids = [int(line[4:]) for line in seen if line.startswith("id: ")]
    assert len(set(ids)) < ROWS, "its replay was not overtaken"
