"""A publisher is killed at every step: what it committed arrives without anybody's help, what it did not never existed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from signal import SIGKILL
from typing import Any

import pytest

from tests.faults.ledger import query
from tests.faults.report import Report
from tests.support import GUARD
from tests.support.site import Site

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MakeSite = Callable[..., Site]

# What each script does before it notifies: it puts the kill at one step, in this process alone.
KILL = """
import os, signal
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.backends.signals import connection_created
from sse_notify import notify
from sse_notify.bus import publisher
from sse_notify.concurrency import threadpool
from sse_notify.log import announcing
from sse_notify.models import LogHead, Notification

alice = User.objects.get(username="alice")

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def die_in(owner, name):
    '''Die when this function is called.'''
    getattr(owner, name)
    setattr(owner, name, die)

def die_at(begin, end=""):
    '''Die when the database has run the next statement that begins and ends so, in any thread.'''
    def wrap(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith(begin) and sql.endswith(end):
            die()
        return result
    def watch(connection, **kwargs):
        connection.execute_wrappers.append(wrap)
    watch(connection)
    connection_created.connect(watch, weak=False)

def published():
    threadpool.publisher.submit_once(announcing._announce_and_pause).result()
    publisher.flush()
"""

#: The steps, in their order; whether what was notified is committed by then; and how the script dies there.
STEPS: dict[str, tuple[bool, str]] = {
    "row inserted, not committed": (False, "die_at('INSERT INTO \"sse_notify_notification\"')"),
    "committed, nothing numbered": (True, "die_in(announcing, 'number_pending')"),
    "head locked": (True, "die_at('SELECT seq, ', 'FOR UPDATE SKIP LOCKED')"),
    "rows numbered, not committed": (True, "die_at('UPDATE \"sse_notify_notification\"')"),
    "head moved, not committed": (True, "die_at('UPDATE \"sse_notify_loghead\"')"),
    "numbered, nobody rung": (True, "die_in(publisher, 'ring')"),
}
#: The steps that only one of the doorbells has.
OF_DOORBELL: dict[str, dict[str, tuple[bool, str]]] = {
    "redis": {
        "rung here, not sent to the layer": (True, "die_in(publisher._Sender, 'put')"),
        "sending to the layer": (True, "die_in(publisher, 'send')"),
    },
    "postgresql": {"notified, not committed": (True, "die_at('\\nSELECT pg_notify')")},
}


def _publish(site: Site, title: str, dies: str) -> Any:
    # Another process may number its row before it comes to that step itself: then it tries again.
    code = f"""
{KILL}
{dies}
for number in range(1000):
    print(number)
    with transaction.atomic():
        notify(alice, f"{title} {{number}}")
    published()
"""
    return site.start_script(code)


async def _killed(process: Any) -> int:
    """Wait for the death of a script; return which of its notifications it was at."""
    assert await asyncio.to_thread(process.wait) == -SIGKILL, process.output()
    return int(process.output().splitlines()[-1])


@pytest.mark.parametrize("doorbell", OF_DOORBELL)
async def test_a_publisher_killed_at_any_step_leaves_all_or_nothing(
    make_site: MakeSite, report: Report, doorbell: str
) -> None:
    """Two publishers race for each step, one of which is killed there; nothing more is ever sent to mend it."""
    env = {"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 1})}
    site = make_site("postgresql", redis=doorbell == "redis", env=env)
    steps = STEPS | OF_DOORBELL[doorbell]
    one, two = await asyncio.gather(
        asyncio.to_thread(site.serve, "uvicorn"), asyncio.to_thread(site.serve, "daphne")
    )
    async with (
        site.listen(one, "alice") as at_one,
        site.listen(two, "alice") as at_two,
        site.listen(two, "bob") as at_bob,
    ):
        for events in (at_one, at_two, at_bob):
            await events.next("hello")
        killed = {step: _publish(site, step, dies) for step, (_, dies) in steps.items()}
        racing = site.start_script(KILL + "for n in range(100): notify(alice, f'racing {n}')")
        committed = []
        for step, process in killed.items():
            last = await _killed(process)
            committed += [f"{step} {number}" for number in range(last + steps[step][0])]
        assert await asyncio.to_thread(racing.wait) == 0, racing.output()

        titles = []
        for events in (at_one, at_two):
            got = await events.take(100 + len(committed))
            ids = [int(event.id) for event in got]
            assert ids == list(range(1, len(got) + 1))
            titles.append([event.json()["title"] for event in got])
        assert titles[0] == titles[1]
        assert sorted(title for title in titles[0] if "racing" not in title) == sorted(committed)
        assert [title for title in titles[0] if "racing" in title] == [
            f"racing {n}" for n in range(100)
        ]
        # What was rolled back is nowhere, and nothing else is under way.
        site.send(one, "broadcast", title="Last")
        for events in (at_one, at_two, at_bob):
            assert (await events.next("notification")).json()["title"] == "Last"
    assert query(site, "SELECT count(*), count(seq) FROM sse_notify_notification") == [
        (101 + len(committed),) * 2
    ]
    report(
        f"publisher killed at each of {len(steps)} steps, others racing ({doorbell})",
        clients=3,
        events=2 * len(titles[0]) + 3,
    )


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_a_server_started_after_the_death_needs_no_new_publish(site: Site, kind: Any) -> None:
    """Server and publisher die; the client is back with its cursor, and nobody sends anything."""
    server = site.serve(kind)
    async with site.listen(server, "alice") as events:
        await events.next("hello")
        site.send(server, "notify", to="alice", title="Seen")
        cursor = (await events.next("notification")).id
    server.kill()
    for step in ("committed, nothing numbered", "numbered, nobody rung"):
        await _killed(_publish(site, step, STEPS[step][1]))
    await _killed(_publish(site, "still pending", STEPS["committed, nothing numbered"][1]))
    server.start()
    async with site.listen(server, "alice", cursor=cursor) as events:
        assert (await events.next("hello")).json()["cursor"] == int(cursor)
        got = await events.take(3, guard=GUARD)
    assert [event.json()["title"] for event in got] == [
        "committed, nothing numbered 0",
        "numbered, nobody rung 0",
        "still pending 0",
    ]
    assert [int(event.id) for event in got] == [2, 3, 4]
