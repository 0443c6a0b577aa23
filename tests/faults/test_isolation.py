"""Nobody ever gets what is not theirs: random users, groups, staff, exclusions and topics beside a model of who may see what."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.faults.chunks import fields
from tests.faults.crowd import Client, Crowd, Person, people
from tests.faults.ledger import query
from tests.faults.report import SOAK
from tests.support import GUARD
from tests.support.site import Site

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MakeSite = Callable[..., Site]
Report = Callable[..., None]

USERS, GROUPS = 40, 6
#: Times that everybody leaves, memberships change, and everybody comes back; and what is sent while they are away and while they listen.
ROUNDS = 10 if SOAK else 2
AWAY, LIVE = 100, 360
#: What the clients of each crowd ask for.
ASKED: tuple[list[str], ...] = ([], ["wall"], ["room.2", "room.4"])
TOPICS = ("wall", "room.2", "room.4", "room.6")
ENOUGH = 100_000

# Does what a plan says, step by step. It knows nothing of who is to see what.
_ACTOR = """
import json
from pathlib import Path
from django.contrib.auth.models import Group, User
from sse_notify import EVERYONE, STAFF, broadcast, notify, publish
from sse_notify.bus import publisher

users, groups = User.objects.in_bulk(), Group.objects.in_bulk(field_name="name")
audiences = {{"everyone": EVERYONE, "staff": STAFF, **groups}}
for verb, *given in json.loads(Path({plan!r}).read_text()):
    if verb == "users":
        notify([users[pk] for pk in given[1]], given[0])
    elif verb == "members":
        notify(groups[given[1]], given[0])
    elif verb == "broadcast":
        broadcast(given[0], audience=audiences[given[1]], exclude=[users[pk] for pk in given[2]])
    elif verb == "publish":
        publish(given[0], given[1])
    elif verb == "join":
        users[given[0]].groups.add(groups[given[1]])
    elif verb == "leave":
        users[given[0]].groups.remove(groups[given[1]])
    elif verb == "staff":
        User.objects.filter(pk=given[0]).update(is_staff=given[1])
publisher._sender.flush()
"""

_GROUPS = """
from django.contrib.auth.models import Group
Group.objects.bulk_create([Group(name=f"group{{n}}") for n in range({number})])
"""


@dataclass(slots=True)
class World:
    """The model: who is what, and who was sent what. It shares no code and no data with the package."""

    draw: random.Random
    users: list[int]
    groups: dict[str, set[int]] = field(
        default_factory=lambda: {f"group{n}": set() for n in range(GROUPS)}
    )
    staff: set[int] = field(default_factory=set)
    #: Titles that each user must have got.
    owed: dict[int, set[str]] = field(default_factory=dict)
    #: Broadcasts that nobody has read yet: title, audience, excluded.
    unread: list[tuple[str, str, list[int]]] = field(default_factory=list)
    titles: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def changes(self) -> list[list[Any]]:
        """Return changes of groups and staff, and make them."""
        steps: list[list[Any]] = []
        for user in self.draw.sample(self.users, USERS // 2):
            name = self.draw.choice(list(self.groups))
            is_member = user in self.groups[name]
            steps.append(["leave" if is_member else "join", user, name])
            (self.groups[name].discard if is_member else self.groups[name].add)(user)
        for user in self.draw.sample(self.users, 5):
            steps.append(["staff", user, user not in self.staff])
            self.staff ^= {user}
        return steps

    def sendings(self, number: int) -> list[list[Any]]:
        """Return so many random sendings, and note whom a notification is for."""
        return [self._sending() for _ in range(number)]

    def _sending(self) -> list[Any]:
        title = f"op-{next(self.titles)}"
        kind = self.draw.choices(
            ["everyone", "group", "staff", "users", "members", "publish"], [8, 5, 2, 3, 1, 2]
        )[0]
        some = self.draw.sample(self.users, self.draw.choice([1, 1, 2, 8]))
        if kind == "publish":
            return ["publish", self.draw.choice(TOPICS), title]
        if kind == "users":
            self._owe(title, some)
            return ["users", title, some]
        name = self.draw.choice(list(self.groups))
        if kind == "members":
            self._owe(title, self.groups[name])
            return ["members", title, name]
        excluded = some if self.draw.random() < 0.3 else []
        self.unread.append((title, name if kind == "group" else kind, excluded))
        return ["broadcast", title, self.unread[-1][1], excluded]

    def read(self) -> None:
        """Everybody reads what was broadcast: who is staff, and in which group, counts now."""
        for title, audience, excluded in self.unread:
            members = {"everyone": set(self.users), "staff": self.staff}.get(
                audience, self.groups.get(audience, set())
            )
            self._owe(title, members - set(excluded))
        self.unread.clear()

    def fence(self) -> list[Any]:
        """Return a broadcast to all: who has it has had all that was before it."""
        self.unread.append((f"op-{next(self.titles)}", "everyone", []))
        return ["broadcast", self.unread[-1][0], "everyone", []]

    def _owe(self, title: str, users: Any) -> None:
        for user in users:
            self.owed.setdefault(user, set()).add(title)


class Listener(Client):
    """A client that also notes the topics whose events it hears."""

    def __init__(self, crowd: Crowd, person: Person) -> None:
        super().__init__(crowd, person)
        self.cursor = 0  # from the beginning
        self.heard: Counter[str] = Counter()

    def _take(self, block: bytes) -> None:
        name = fields(block)[0].decode()
        if name in TOPICS:
            self.heard[name] += 1
        super()._take(block)


async def act(site: Site, folder: Path, *plans: list[list[Any]]) -> None:
    """Have each plan done by a process of its own, all at the same time."""
    processes = []
    for number, plan in enumerate(plans):
        path = folder / f"plan-{number}.json"
        path.write_text(json.dumps(plan))
        processes.append(site.start_script(_ACTOR.format(plan=str(path))))
    for process in processes:
        assert await asyncio.to_thread(process.wait, 3 * GUARD) == 0, process.tail()


async def caught_up(site: Site, crowds: list[Crowd]) -> None:
    """Wait until everybody has the newest event, which is for all."""
    ((head,),) = query(site, "SELECT seq FROM sse_notify_loghead")
    await asyncio.gather(*(crowd.caught_up([(head, "everyone")]) for crowd in crowds))


@pytest.mark.timeout(600)
async def test_no_event_reaches_a_stream_that_it_is_not_for(
    make_site: MakeSite, tmp_path: Path, report: Report
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    site = make_site("postgresql", redis=True)
    servers = [site.serve("uvicorn"), site.serve("daphne")]
    persons = people(site, USERS)
    site.script(_GROUPS.format(number=GROUPS))
    world = World(random.Random(seed), [person.pk for person in persons])
    crowds = []
    for server in servers:
        for asked in ASKED:
            crowd = Crowd(server.port, (), query="?" + "&".join(f"topic={name}" for name in asked))
            crowd.clients = [Listener(crowd, person) for person in persons]
            crowds.append(crowd)
    for _ in range(ROUNDS):
        # While all are away: what was sent to a group is read by who is in it when they come back.
        await act(
            site,
            tmp_path,
            [*world.sendings(AWAY), *world.changes(), *world.sendings(AWAY), world.fence()],
        )
        world.read()
        async with AsyncExitStack() as stack:
            for crowd in crowds:
                crowd.is_leaving = False
                await stack.enter_async_context(crowd)
            for crowd in crowds:
                await crowd.all_open()
            await caught_up(site, crowds)
            await act(site, tmp_path, world.sendings(LIVE // 2), world.sendings(LIVE // 2))
            await act(site, tmp_path, [world.fence()])
            world.read()
            await caught_up(site, crowds)

    rows = {
        seq: (title, owner)
        for seq, title, owner in query(
            site, "SELECT seq, title, recipient_id FROM sse_notify_notification"
        )
    }
    delivered = lost = doubled = foreign = 0
    for crowd, asked in zip(crowds, ASKED * len(servers), strict=True):
        for client in crowd.clients:
            assert isinstance(client, Listener)
            user = client.person.pk
            titles = [rows[seq][0] for seq in client.got]
            owners = {rows[seq][1] for seq in client.got}
            assert owners <= {None, user}
            owed = world.owed[user]
            delivered += len(titles)
            doubled += len(titles) - len(set(titles))
            lost += len(owed - set(titles))
            foreign += len(set(titles) - owed)
            assert client.got == sorted(client.got)
            # Of topics, what was asked for and nothing else; at the least some of it, as it is for who listens at the moment.
            assert set(client.heard) == set(asked)
            assert client.resets == []
    report(
        "random users, groups and topics",
        clients=USERS * len(crowds),
        events=delivered,
        lost=lost,
        duplicated=doubled,
        foreign=foreign,
    )
    assert (lost, doubled, foreign) == (0, 0, 0), f"seed {seed}"
    assert delivered >= ENOUGH
