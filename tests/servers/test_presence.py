"""Presence over real processes: whoever asks, every process answers, and one that hangs costs the timeout."""

from __future__ import annotations

import json
from signal import SIGTERM
from typing import Any

import pytest

from tests.support import GUARD
from tests.support.servers import ASGI_KINDS, Kind
from tests.support.site import STREAM
from tests.support.sse import RawStream

MakeSite = Any

#: A process without a hub asks; it holds no stream and hears nothing else of the layer.
ASK = """
import json, os, signal
import redis
from django.contrib.auth.models import User
from sse_notify import presence
from sse_notify.monitoring import processes

one, two = {pids}
processes.INTERVAL = 1.0  # Three seconds without a heartbeat mean that a process is dead.
names = {{str(user.pk): user.username for user in User.objects.all()}}

def ask(hubs, users):
    while True:
        found = presence.look(0.5)
        if len(found.hubs) == hubs and len(found.users) == users and all(hub.cursor for hub in found.hubs):
            break
    hubs = {{hub.pid: [hub.streams, hub.users, hub.anonymous, hub.lag, hub.counters["opened"]] for hub in found.hubs}}
    return {{"hubs": hubs, "users": {{names[key]: number for key, number in sorted(found.users.items())}}}}

answers = [ask(2, 2)]
os.kill(two, signal.SIGSTOP)  # It hangs.
answers.append(ask(1, 1))
os.kill(two, signal.SIGCONT)  # It goes on; what it answers to a call that is over disturbs nobody.
answers.append(ask(2, 2))
while len(keys := presence.connected_users(0.5)) < 2:
    pass
answers.append([sorted(keys), presence.hubs()[0].head])

# This process listens no more: those that still do are the hubs.
connection = redis.Redis.from_url(os.environ["REDIS_URL"])
while len([client for client in connection.client_list() if client["cmd"] in ("subscribe", "bzpopmin")]) > 2:
    pass
while not presence.connected_users(0.5):
    pass
print(json.dumps(answers))
"""


@pytest.mark.asyncio
async def test_every_process_answers_and_one_that_hangs_is_left_out(make_site: MakeSite) -> None:
    # Over the core layer, which bears one receiver alone. Over the pub/sub layer: ``test_operations`` and the live page's test.
    site = make_site(
        redis=True,
        env={
            "REDIS_LAYER": "core",
            "SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 600}),
            "EXTRA_MIDDLEWARE": "tests.project.pace.quick",
        },
    )
    one, two = site.serve(), site.serve()
    async with (
        site.listen(one, "alice") as first,
        site.listen(one, params={"topic": "wall"}) as second,
        site.listen(two, "alice") as third,
        site.listen(two, "bob") as fourth,
    ):
        for events in (first, second, third, fourth):
            await events.next("hello")
        site.send(
            two, "broadcast", title="Everybody has joined"
        )  # their hubs' cursors are there when it arrives
        for events in (first, third, fourth):
            await events.next("notification")
        # Before the last line, maybe, that Redis was slow.
        said = site.script(ASK.format(pids=[one.pid, two.pid])).splitlines()
    answers = json.loads(said[-1])
    first_hub, second_hub = {str(one.pid): [2, 1, 1, 0, 2]}, {str(two.pid): [2, 2, 0, 0, 2]}
    everybody = {"hubs": first_hub | second_hub, "users": {"alice": 2, "bob": 1}}
    assert answers[:3] == [everybody, {"hubs": first_hub, "users": {"alice": 1}}, everybody]
    assert answers[3] == [["1", "2"], 1]


@pytest.mark.parametrize("kind", ASGI_KINDS)
def test_a_process_that_is_asked_to_end_is_listed_no_more(make_site: MakeSite, kind: Kind) -> None:
    site = make_site(
        env={
            "SSE_NOTIFY": json.dumps({"DRAIN_SECONDS": 2}),
            "EXTRA_MIDDLEWARE": "tests.project.pace.quick",
        }
    )
    server = site.serve(kind)
    cookies = site.cookies(server, "alice")
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    count = "from sse_notify import presence; print(len(presence.hubs()))"
    with RawStream(server.url + STREAM, headers=headers) as stream:
        assert stream.head()[0] == 200
        while site.script(count).strip() != "1":
            pass
        server.process.signal(SIGTERM)
        stream.rest()
    assert server.process.wait(GUARD) is not None
    assert site.script(count).strip() == "0"
