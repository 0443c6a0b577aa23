"""The roll call over real processes: whoever asks, every hub answers, and one that cannot costs the timeout."""

from __future__ import annotations

import json
from typing import Any

import pytest

MakeSite = Any

#: A process without a hub asks; it holds no stream and hears nothing else of the layer. It asks until so many have answered.
ASK = """
import json, os, signal
import redis
from django.contrib.auth.models import User
from sse_notify import presence, rollcall

one, two = {pids}

def ask(hubs):
    found = presence.look(0.5)
    while len(found.hubs) < hubs:
        found = presence.look(0.5)
    names = dict(User.objects.values_list("pk", "username"))
    hubs = {{hub.pid: [hub.streams, hub.users, hub.anonymous, hub.lag, hub.counters["opened"]] for hub in found.hubs}}
    return {{"hubs": hubs, "users": {{names[int(key)]: number for key, number in sorted(found.users.items())}}}}

answers = [ask(2)]
os.kill(two, signal.SIGSTOP)  # it hangs
answers.append(ask(1))
os.kill(two, signal.SIGCONT)  # and goes on; what it says to a call that is over disturbs nobody
answers.append(ask(2))
while len(keys := presence.connected_users(0.5)) < 2:
    pass
while not (hubs := presence.hubs(0.5)):
    pass
answers.append([sorted(keys), hubs[0].head])

# Some time after the last call this process listens no more: those that still do are the hubs.
rollcall.LINGER_SECONDS = 0.01
presence.connected_users(0.01)
connection = redis.Redis.from_url(os.environ["REDIS_URL"])
while len([client for client in connection.client_list() if client["cmd"] in ("subscribe", "bzpopmin")]) > 2:
    pass
presence.connected_users(0.01)  # and again, over a channel that was closed
while not presence.connected_users(0.5):
    pass
print(json.dumps(answers))
"""


@pytest.mark.asyncio
async def test_every_hub_of_every_process_answers(make_site: MakeSite) -> None:
    # Over the core layer, which bears one receiver alone. Over the pub/sub layer: ``test_operations`` and the live page's test.
    site = make_site(
        redis=True, env={"REDIS_LAYER": "core", "SSE_NOTIFY": json.dumps({"POLL_INTERVAL": 600})}
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
        answers = json.loads(
            site.script(ASK.format(pids=[one.pid, two.pid])).splitlines()[-1]
        )  # before it, maybe, that Redis was slow
    first_hub, second_hub = {str(one.pid): [2, 1, 1, 0, 2]}, {str(two.pid): [2, 2, 0, 0, 2]}
    everybody = {"hubs": first_hub | second_hub, "users": {"alice": 2, "bob": 1}}
    assert answers[:3] == [everybody, {"hubs": first_hub, "users": {"alice": 1}}, everybody]
    assert answers[3] == [["1", "2"], 1]
