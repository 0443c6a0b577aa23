"""The database goes away like a crash and comes back: streams stay open, publishers hear of it, nothing is half-written or lost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.faults.chunks import fields
from tests.faults.crowd import Crowd, people
from tests.faults.ledger import numbered, query, seconds_behind
from tests.faults.report import SOAK, Report
from tests.support import GUARD
from tests.support.postgres import PostgresServer
from tests.support.site import STREAM, Site
from tests.support.sse import RawStream

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MakeSite = Callable[..., Site]

#: Clients of each server.
CLIENTS = 20
#: What the client missed whose replay is under way when the database goes: more than the sockets' buffers hold.
MISSED = 3000

# Notifies until told to stop; each call either returns, and is counted, or raises, which must be one of Django's own errors.
PUBLISHER = """
import json, time
from pathlib import Path
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, close_old_connections, transaction
from sse_notify import notify

users = list(User.objects.filter(username__startswith="person"))
stop, sent, refused, number = Path({stop!r}), [], [], 0
while not stop.exists():
    number += 1
    try:
        with transaction.atomic():
            notify(users[number % len(users)], f"{{number}} of two")
            notify(users[(number + 1) % len(users)], f"{{number}} of two")
        sent.append(number)
    except (OperationalError, InterfaceError):
        refused.append(number)
    close_old_connections()  # as at the end of a request
    time.sleep(0.05)  # twenty times a second
print(json.dumps([sent, refused]))
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("doorbell", ["redis", "postgresql"])
async def test_streams_outlive_the_database_and_nothing_is_half_written(
    make_site: MakeSite,
    postgres_server: PostgresServer,
    tmp_path: Path,
    report: Report,
    doorbell: str,
) -> None:
    away = 20 if SOAK else 4
    env = {"SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 1})}
    site = make_site("postgresql", redis=doorbell == "redis", env=env)
    one, two = await asyncio.gather(
        asyncio.to_thread(site.serve, "uvicorn"), asyncio.to_thread(site.serve, "daphne")
    )
    persons = people(site, CLIENTS)
    # Carol has a past, of which she has read nothing; it comes to 6 MB.
    site.script(
        f"""
        from django.contrib.auth.models import User
        from sse_notify import notify
        from sse_notify.models import Notification
        carol = User.objects.get(username="carol")
        notify(carol, "First", "x" * 2000)
        first = Notification.objects.get()
        Notification.objects.bulk_create(
            Notification(recipient=carol, topic=first.topic, title=str(n), body="x" * 2000) for n in range({MISSED - 1})
        )
        from sse_notify.log.announcing import announce
        announce()
        """
    )
    cookie = "; ".join(f"{name}={value}" for name, value in site.cookies(one, "carol").items())
    stop = tmp_path / "stop"
    async with Crowd(one.port, persons) as at_one, Crowd(two.port, persons) as at_two:
        crowds = (at_one, at_two)
        await asyncio.gather(*(crowd.all_open() for crowd in crowds))
        publisher = site.start_script(PUBLISHER.format(stop=str(stop)))
        with RawStream(
            f"{one.url}{STREAM}?cursor=0", headers={"Cookie": cookie}, receive_buffer=65536
        ) as carol:
            head = await asyncio.to_thread(carol.head)
            assert head[0] == 200
            ids = await asyncio.to_thread(_read, carol, lambda ids, name: len(ids) == 20)
            await at_one.gets(MISSED + 20)  # the publisher is at work

            await asyncio.to_thread(postgres_server.stop, "immediate")
            went = time.monotonic()
            # What asks the database gets Django's own error, and says so; what does not is served.
            answer = await asyncio.to_thread(_post, one.url + "/send/broadcast/")
            assert answer == 500
            assert "OperationalError" in one.output() or "InterfaceError" in one.output()
            # The replay has sent all that it had, and cannot read on: the stream says that it lives.
            ids += await asyncio.to_thread(_read, carol, lambda ids, name: name == b"ping")
            assert len(ids) < MISSED
            assert "incident=database_replay state=failed" in one.output()
            await asyncio.sleep(max(0.0, went + away - time.monotonic()))  # the fault's length
            assert [crowd.open for crowd in crowds] == [CLIENTS, CLIENTS]
            await asyncio.to_thread(postgres_server.start)
            back = time.monotonic()
            before = len(numbered(site))
            await at_one.gets(before + 1)  # the publisher is at work again
            await seconds_behind(site, *crowds)
            healed = time.monotonic() - back
            ids += await asyncio.to_thread(
                _read, carol, lambda more, name: len(ids) + len(more) >= MISSED
            )
            hers = (_topic(site, "carol"), "everyone")
            assert ids == [seq for seq, topic in numbered(site) if seq <= ids[-1] and topic in hers]
        # It goes on with what comes after.
        await at_one.gets(len(numbered(site)) + 20)
        stop.touch()
        assert await asyncio.to_thread(publisher.wait) == 0, publisher.output()
        await seconds_behind(site, *crowds)
        log = numbered(site)
        verdicts = [crowd.verdict(log) for crowd in crowds]
        for verdict in verdicts:
            assert verdict.is_clean, verdict
            assert verdict.opened == verdict.clients, "nobody had to come back"

    sent, refused = json.loads(publisher.output().splitlines()[-1])
    assert refused, "the publisher noticed nothing"
    rows = query(
        site,
        "SELECT title, count(*) FROM sse_notify_notification WHERE title LIKE '%% of two' GROUP BY title",
    )
    # A commit whose answer was lost with the connection may have happened; half of one may not.
    assert {count for _, count in rows} == {2}
    written = {int(title.split()[0]) for title, _ in rows}
    assert set(sent) <= written <= {*sent, *refused}
    assert query(site, "SELECT count(*) FROM sse_notify_notification WHERE seq IS NULL") == [(0,)]
    assert [seq for seq, _ in log] == list(range(1, len(log) + 1))
    for server in (one, two):
        assert server.output().count("incident=database_poll state=failed") <= 1, server.output()
        assert server.output().count("incident=layer_receive state=failed") <= 1, server.output()
    report(
        f"database away for {away} s, a replay under way ({doorbell})",
        clients=2 * CLIENTS + 1,
        events=sum(verdict.delivered for verdict in verdicts) + len(ids),
        healed=healed,
        note=f"no stream ended; {len(refused)} transactions refused with Django's own error, none half-written",
    )


def _post(url: str) -> int:
    return httpx.post(url, json={"title": "Refused"}, timeout=GUARD, trust_env=False).status_code


def _read(stream: RawStream, enough: Callable[[list[int], bytes], bool]) -> list[int]:
    """Return the ids of the notifications that come until ``enough(ids, name of the last event)``."""
    ids: list[int] = []
    while block := stream.block():
        name, number, _ = fields(block.strip(b"\n"))
        if name == b"notification" and number is not None:
            ids.append(number)
        if enough(ids, name):
            return ids
    raise AssertionError(f"the stream ended after {len(ids)} notifications")


def _topic(site: Site, username: str) -> str:
    ((pk,),) = query(site, "SELECT id FROM auth_user WHERE username = %s", username)
    return f"user:{pk}"
