"""When streams are decided, and what they write meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError
from django.test.utils import override_settings

from sse_notify import topics
from sse_notify.access import authorisers, monitor
from sse_notify.access.decisions import Decision, Ended, Granted, Question, Subscriber, decide
from sse_notify.access.openings import Opening
from sse_notify.access.sessions import Session
from sse_notify.bus.backlog import Backlog
from sse_notify.bus.messages import Ephemeral, Revocation
from sse_notify.exceptions import HandshakeRefused
from sse_notify.log.reader import Reader
from sse_notify.sse.format import encode
from sse_notify.streaming.hub import Hub
from sse_notify.streaming.stream import Stream
from tests.unit.streaming.memory_log import MINE, MemoryLog, stream_on
from tests.unit.streaming.test_hub import batch

RNG = random.Random(0)
GROUP = "group:1"


class Court(MemoryLog):
    """A log in memory, and decisions that wait until the test makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[tuple[Sequence[Question], asyncio.Future[list[Decision]]]] = []
        self._came = asyncio.Event()

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if function is not decide:
            return await super().run(function, *args, **kwargs)
        answer: asyncio.Future[list[Decision]] = asyncio.get_running_loop().create_future()
        self.looks.append((args[0], answer))
        self._came.set()
        return await answer

    async def look(self) -> asyncio.Future[list[Decision]]:
        """Return the next look, which waits for its verdicts."""
        return (await self.next_look())[1]

    async def next_look(self) -> tuple[Sequence[Question], asyncio.Future[list[Decision]]]:
        """Return what is asked next, and the future of its answer."""
        async with asyncio.timeout(10):
            while not self.looks:
                self._came.clear()
                await self._came.wait()
        return self.looks.pop(0)

    async def settle(self) -> None:
        for _ in range(10):
            while self.queries:
                self.answer_one(RNG)
            await asyncio.sleep(0)


FINE = Granted(user=None, reader=Reader(topics=(MINE, "everyone", GROUP), user_id=1))
LEFT = Granted(user=None, reader=Reader(topics=(MINE, "everyone"), user_id=1))


LOOKS = replace(FINE, fingerprint="as before")


async def decide_next(court: Court, decision: Decision) -> None:
    """Make the next decision the same for all that it is about."""
    async with asyncio.timeout(10):
        while not court.looks:
            await court.settle()
    questions, answer = court.looks.pop(0)
    answer.set_result([decision] * len(questions))
    await court.settle()


async def looked_after(hub: Hub, court: Court, *, user_id: int = 1) -> Stream:
    """Return a stream that is live and was found fine."""
    names = (f"user:{user_id}", "everyone", GROUP)
    stream = stream_on(
        hub, court, topics=names, user_id=user_id, subscriber=Subscriber(user_id=user_id)
    )
    assert await stream.read() == b"\n"
    return stream


#: The log and the looks, the hub, a stream that is live and was found fine, and its read that waits for the first event.
Opened = tuple[Court, Hub, Stream, asyncio.Task[bytes | None]]


@pytest_asyncio.fixture
async def opened() -> AsyncIterator[Opened]:
    """A stream before the court; it is closed with the test."""
    court = Court()
    hub = Hub(run=court.run)
    stream = await looked_after(hub, court)
    reading = asyncio.create_task(stream.read())
    await court.settle()
    (await court.look()).set_result([FINE])  # the welcome
    await court.settle()
    yield court, hub, stream, reading
    stream.close()


async def read_again(stream: Stream, court: Court) -> bytes | None:
    reading = asyncio.create_task(stream.read())
    await court.settle()
    return await asyncio.wait_for(reading, 5)


@pytest.mark.asyncio
async def test_while_it_is_looked_at_nothing_is_written_and_then_everything(opened: Opened) -> None:
    court, hub, _, reading = opened
    hub.receive(Revocation(topics=(MINE,)))
    hub.receive(batch(court, MINE, GROUP))
    hub.receive(Ephemeral(GROUP, b"data: now\n\n"))
    look = await court.look()
    await court.settle()
    assert not reading.done()
    look.set_result([FINE])
    assert (
        await asyncio.wait_for(reading, 5)
        == encode("x", id=1) + encode("x", id=2) + b"data: now\n\n"
    )
    assert court.queries == [], "nothing had to be read again"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (
            Ended(reason="revoked", again=False),
            b'event: bye\ndata: {"reason":"revoked","retry_after":null}\n\n',
        ),
        (
            Ended(reason="logout", again=True),
            b'event: bye\ndata: {"reason":"logout","retry_after":',
        ),
    ],
)
async def test_what_waits_for_a_client_that_lost_its_permission_is_dropped(
    verdict: Ended, expected: bytes, opened: Opened
) -> None:
    court, hub, stream, reading = opened
    hub.receive(Revocation(topics=(MINE,)))
    hub.receive(batch(court, MINE, GROUP))
    (await court.look()).set_result([verdict])
    bye = await asyncio.wait_for(reading, 5)
    assert bye is not None
    assert bye.startswith(expected)
    hub.receive(batch(court, MINE))
    assert await read_again(stream, court) is None


@pytest.mark.asyncio
async def test_a_look_that_is_older_than_the_change_lets_nothing_through() -> None:
    """The first look after joining is under way when the user is deactivated; what is sent next is not for them."""
    court = Court()
    hub = Hub(run=court.run)
    stream = await looked_after(hub, court)
    reading = asyncio.create_task(stream.read())
    await court.settle()
    welcome = await court.look()
    hub.receive(Revocation(topics=(MINE,)))
    hub.receive(batch(court, MINE, GROUP))
    welcome.set_result([FINE])
    look = await court.look()
    await court.settle()
    assert not reading.done()
    look.set_result([Ended(reason="revoked", again=False)])
    assert (
        await asyncio.wait_for(reading, 5)
        == b'event: bye\ndata: {"reason":"revoked","retry_after":null}\n\n'
    )
    stream.close()


@pytest.mark.asyncio
async def test_a_bell_in_the_very_moment_in_which_a_look_ends_starts_the_next(
    opened: Opened,
) -> None:
    court, hub, _, reading = opened
    hub.receive(Revocation(topics=(MINE,)))
    (await court.look()).set_result([FINE])
    asyncio.get_running_loop().call_soon(
        hub.receive, Revocation(topics=(MINE,))
    )  # right after the look has found nothing more
    (await court.look()).set_result([Ended(reason="revoked", again=False)])
    assert (
        await asyncio.wait_for(reading, 5)
        == b'event: bye\ndata: {"reason":"revoked","retry_after":null}\n\n'
    )


@pytest.mark.asyncio
async def test_a_message_that_is_a_verdict_ends_at_once_and_without_a_look(opened: Opened) -> None:
    court, hub, stream, reading = opened
    hub.receive(Revocation(topics=("user:2",), end="revoked"))
    hub.receive(Revocation(topics=(MINE,), end="revoked"))
    assert (
        await asyncio.wait_for(reading, 5)
        == b'event: bye\ndata: {"reason":"revoked","retry_after":null}\n\n'
    )
    assert court.looks == []
    assert stream.reason == "revoked"


RESET = b'event: reset\ndata: {"reason":"topics","cursor":0}\nid: 0\n\n'


@pytest.mark.asyncio
async def test_what_waits_of_a_group_that_was_left_is_not_written(opened: Opened) -> None:
    court, hub, stream, reading = opened
    hub.receive(Revocation(topics=(MINE,)))
    hub.receive(batch(court, GROUP, MINE))
    (await court.look()).set_result([LEFT])
    assert await asyncio.wait_for(reading, 5) == RESET
    assert await read_again(stream, court) == encode("x", id=2)
    assert GROUP not in hub._by_topic
    reading = asyncio.create_task(stream.read())
    await court.settle()
    hub.receive(batch(court, GROUP, MINE))
    assert await asyncio.wait_for(reading, 5) == encode("x", id=4)
    stream.close()
    await court.settle()
    assert hub._by_topic == {}


@pytest.mark.asyncio
async def test_what_was_sent_while_a_group_was_joined_arrives(opened: Opened) -> None:
    court, hub, stream, reading = opened
    hub.receive(Revocation(topics=(MINE,)))
    hub.receive(batch(court, MINE, "group:2"))
    more = Granted(user=None, reader=Reader(topics=(MINE, "everyone", GROUP, "group:2"), user_id=1))
    (await court.look()).set_result([more])
    assert await asyncio.wait_for(reading, 5) == RESET
    assert await read_again(stream, court) == encode("x", id=1) + encode("x", id=2)


@pytest.mark.asyncio
async def test_a_replay_under_way_obeys() -> None:
    court = Court()
    batch(court, GROUP, MINE, GROUP)
    hub = Hub(run=court.run)
    stream = await looked_after(hub, court)
    reading = asyncio.create_task(stream.read())
    while not court.looks:
        await asyncio.sleep(0)
        while court.queries:
            court.answer_one(RNG)
    (await court.look()).set_result([FINE])  # the welcome
    for _ in range(10):
        await asyncio.sleep(0)
        if (
            len(court.queries) == 1 and hub.streams and hub._by_topic
        ):  # the page is read from now on, with the group
            break
        while court.queries:
            court.answer_one(RNG)
    assert len(court.queries) == 1
    hub.receive(Revocation(topics=(MINE,)))
    look = await court.look()
    await court.settle()  # the page is there, and waits for the verdict
    assert not reading.done()
    look.set_result([LEFT])
    assert await asyncio.wait_for(reading, 5) == RESET
    assert await read_again(stream, court) == encode("x", id=2)
    stream.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("is_away", [True, False], ids=["away", "hanging"])
async def test_nothing_is_written_while_the_database_cannot_decide_and_nothing_ends(
    monkeypatch: pytest.MonkeyPatch, opened: Opened, *, is_away: bool
) -> None:
    monkeypatch.setattr(monitor, "RETRY_SECONDS", 0)
    monkeypatch.setattr(monitor, "HOLD_SECONDS", 0)
    court, hub, stream, reading = opened
    hub.receive(Revocation(topics=(MINE,)))
    hub.receive(batch(court, MINE))
    look = await court.look()
    if is_away:
        look.set_exception(DatabaseError("away"))
        look = await court.look()
    await court.settle()
    assert not reading.done()
    look.set_result([FINE])
    assert await asyncio.wait_for(reading, 5) == encode("x", id=1)
    hub.receive(Revocation(topics=(MINE,)))
    (await court.look()).set_result([Ended(reason="revoked", again=False)])
    assert b"bye" in (await read_again(stream, court) or b"")


@pytest.mark.asyncio
async def test_what_a_message_names_while_it_is_decided_is_decided_again_before_it_writes(
    opened: Opened,
) -> None:
    court, hub, _, reading = opened
    hub.receive(Revocation(topics=(MINE,)))
    hub.receive(batch(court, MINE))
    for _ in range(3):
        look = await court.look()
        hub.receive(Revocation(topics=(MINE,)))
        look.set_result([FINE])
        await court.settle()
        assert not reading.done()
    (await court.look()).set_result([Ended(reason="revoked", again=False)])
    assert (await asyncio.wait_for(reading, 5) or b"").startswith(b"event: bye")


@pytest.mark.asyncio
@override_settings(SSE_NOTIFY={"RECHECK_INTERVAL": 0.05})
async def test_everybody_is_looked_at_in_rounds_and_never_too_many_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(monitor, "PAGE", 10)
    court = Court()
    hub = Hub(run=court.run)
    streams = [await looked_after(hub, court, user_id=number) for number in range(1, 26)]
    readings = [asyncio.create_task(stream.read()) for stream in streams]
    await court.settle()
    seen: set[int] = set()
    while len(seen) < 25:
        found, answer = await court.next_look()
        assert len(found) <= 10
        seen |= {question.subscriber.user_id for question in found}
        answer.set_result([FINE] * len(found))
    for stream in streams:
        stream.close()
    await asyncio.wait(readings)


@pytest.mark.asyncio
@override_settings(SSE_NOTIFY={"POLL_INTERVAL": 0.001})
async def test_a_round_without_a_layer_checks_few_streams_at_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    court = Court()
    hub = Hub(run=court.run)
    streams = [await looked_after(hub, court, user_id=number) for number in range(1, 251)]
    readings = [asyncio.create_task(stream.read()) for stream in streams]
    await court.settle()
    while court.looks:  # the welcome
        for found, answer in court.looks:
            answer.set_result([FINE] * len(found))
        court.looks.clear()
        await court.settle()
    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        if seconds > 1:  # of a round
            slept.append(seconds)
        await sleep(min(seconds, 0))

    monkeypatch.setattr(monitor, "PER_SECOND", 25)
    monitor_of_hub = hub._monitor
    assert monitor_of_hub._rounds is not None
    monitor_of_hub._rounds.cancel()
    monkeypatch.setattr(asyncio, "sleep", note)
    rounds = asyncio.create_task(monitor_of_hub._go_round())
    asked: list[int] = []
    for _ in range(4):
        found, answer = await court.next_look()
        asked.append(len(found))
        answer.set_result([FINE] * len(found))
    rounds.cancel()
    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert all(count in (125, 126) for count in asked), asked  # half of them
    assert all(4.5 <= seconds <= 5.5 for seconds in slept), slept
    for stream in streams:
        stream.close()
    await asyncio.wait(readings)


@pytest.mark.asyncio
async def test_a_user_who_was_saved_and_looks_as_before_is_not_decided_again(
    opened: Opened,
) -> None:
    court, hub, _, reading = opened
    await decide_next(court, LOOKS)
    for _ in range(20):
        hub.receive(Revocation(users={MINE: "as before", "user:2": "new"}))
    await court.settle()
    assert court.looks == []
    hub.receive(Revocation(users={MINE: "new"}))
    hub.receive(batch(court, MINE))
    look = await court.look()
    # As before again: but the decision under way may have seen what was in between.
    hub.receive(Revocation(users={MINE: "as before"}))
    look.set_result([Ended(reason="revoked", again=False)])
    assert b"bye" in (await asyncio.wait_for(reading, 5) or b"")


@pytest.mark.asyncio
async def test_a_project_that_asks_for_a_decision_gets_it_though_the_user_looks_as_before(
    opened: Opened,
) -> None:
    """A save and a recheck() that follow each other travel as one message."""
    court, hub, *_ = opened
    await decide_next(court, LOOKS)
    saved, asked = Revocation(users={MINE: "as before"}), Revocation(topics=(MINE,))
    waiting = Backlog()
    for message in (saved, asked):
        waiting.put(message)
    hub.receive(waiting.take())
    assert not len(waiting)
    (await court.look()).set_result([LOOKS])


@pytest.mark.asyncio
async def test_a_save_while_a_decision_is_under_way_has_it_made_again(opened: Opened) -> None:
    court, hub, _, reading = opened
    await decide_next(court, LOOKS)
    hub.receive(Revocation(users={MINE: "new"}))
    look = await court.look()
    hub.receive(Revocation(users={MINE: "as before"}))
    hub.receive(batch(court, MINE))
    look.set_result([LOOKS])
    look = await court.look()
    await court.settle()
    assert not reading.done()
    look.set_result([LOOKS])
    assert await asyncio.wait_for(reading, 5) == encode("x", id=1)


# --- streams that join ---------------------------------------------------------------------------------------------------------


def new_stream(hub: Hub, court: Court, **given: Any) -> Stream:
    """Return a stream that nothing is decided about yet."""
    return Stream(
        subscriber=Subscriber(**{"user_id": 1, **given}),
        feed=lambda: hub,
        page=100,
        buffer_bytes=100_000,
        lifetime=1e9,
    )


def begins(*topics: str, cursor: int = 0) -> Granted:
    opening = Opening(cursor=cursor, head=cursor, prelude=b"hello\n\n")
    reader = Reader(topics=topics or (MINE, "everyone"), user_id=1)
    return Granted(user=None, reader=reader, fingerprint="as before", opening=opening)


@pytest_asyncio.fixture
async def site() -> AsyncIterator[tuple[Court, Hub]]:
    """A hub that runs, as there is a stream already."""
    court = Court()
    hub = Hub(run=court.run)
    other = await looked_after(hub, court, user_id=99)
    reading = asyncio.create_task(other.read())
    await court.settle()
    await decide_next(court, begins("user:99", "everyone", GROUP))
    yield court, hub
    other.close()
    await asyncio.wait({reading})


@pytest.mark.asyncio
async def test_a_stream_is_silent_until_it_is_decided_and_misses_nothing(
    site: tuple[Court, Hub],
) -> None:
    court, hub = site
    hub.receive(batch(court, MINE))
    stream = new_stream(hub, court)
    joining = asyncio.create_task(stream.join())
    look = await court.look()
    hub.receive(batch(court, MINE, "user:2"))
    hub.receive(Ephemeral("everyone", b"data: early\n\n"))
    await court.settle()
    assert not joining.done()
    assert not hub.listeners(MINE)
    look.set_result([begins()])
    await joining
    hub.receive(batch(court, MINE))
    assert await read_again(stream, court) == b"hello\n\n"
    assert await read_again(stream, court) == encode("x", id=1) + encode("x", id=2)
    assert await read_again(stream, court) == encode("x", id=4)
    stream.close()


@pytest.mark.asyncio
async def test_whatever_joins_while_a_decision_is_under_way_is_decided_together_and_first(
    site: tuple[Court, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    court, hub = site
    monkeypatch.setattr(monitor, "PAGE", 7)
    first = new_stream(hub, court)
    joining = [asyncio.create_task(first.join())]
    look = await court.look()
    hub.receive(Revocation(everybody=True))
    streams = [new_stream(hub, court) for _ in range(6)]
    joining += [asyncio.create_task(stream.join()) for stream in streams]
    await court.settle()
    look.set_result([begins()])
    while not court.looks:
        await asyncio.sleep(0)
    questions, look = court.looks.pop()
    assert [question.is_new for question in questions] == [True] * 7, "the first was rung for"
    look.set_result([begins()] * 7)
    await asyncio.gather(*joining)
    for stream in (first, *streams):
        stream.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "message",
    [
        Revocation(topics=(MINE,)),
        Revocation(topics=("group:7",)),
        Revocation(users={MINE: "as before"}),
        Revocation(sessions=("s",)),
        Revocation(everybody=True),
    ],
    ids=["user", "group", "saved", "session", "everybody"],
)
async def test_what_rings_for_a_stream_before_it_begins_has_it_decided_again(
    site: tuple[Court, Hub], message: Revocation
) -> None:
    court, hub = site
    stream = new_stream(hub, court, session=Session(digest="s", store=SessionStore))
    joining = asyncio.create_task(stream.join())
    look = await court.look()
    hub.receive(Revocation(topics=("user:2",), sessions=("other",), users={"user:3": "x"}))
    hub.receive(message)
    look.set_result([begins(MINE, "group:7")])
    while not court.looks:
        await court.settle()
    questions, look = court.looks.pop()
    assert not joining.done()
    others: list[Decision] = [FINE] * (len(questions) - 1)
    look.set_result([Ended(reason="revoked", again=False), *others])
    with pytest.raises(HandshakeRefused) as refused:
        await joining
    assert refused.value.status == 401
    assert hub.streams != {stream}
    stream.close()


@pytest.mark.asyncio
async def test_who_may_come_back_is_told_so_in_place_of_hello(site: tuple[Court, Hub]) -> None:
    """The session has another key since the request: the client's new cookie says which."""
    court, hub = site
    stream = new_stream(hub, court)
    joining = asyncio.create_task(stream.join())
    await decide_next(court, Ended(reason="logout", again=True))
    await joining
    bye = await read_again(stream, court)
    assert bye is not None
    assert bye.startswith(b'event: bye\ndata: {"reason":"logout","retry_after":')
    assert await read_again(stream, court) is None
    stream.close()


@pytest.mark.asyncio
async def test_a_database_that_is_away_has_new_streams_wait_for_it(
    site: tuple[Court, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "RETRY_SECONDS", 0)
    court, hub = site
    stream = new_stream(hub, court)
    joining = asyncio.create_task(stream.join())
    for _ in range(3):
        (await court.look()).set_exception(DatabaseError("away"))
    await decide_next(court, begins())
    await joining
    assert await read_again(stream, court) == b"hello\n\n"
    stream.close()


@pytest.mark.asyncio
async def test_a_client_that_leaves_before_the_decision_leaves_nothing_behind(
    site: tuple[Court, Hub],
) -> None:
    court, hub = site
    stream = new_stream(hub, court)
    joining = asyncio.create_task(stream.join())
    look = await court.look()
    joining.cancel()
    await asyncio.wait({joining})
    assert stream not in hub.streams
    look.set_result([begins()])
    await court.settle()
    assert not hub.listeners(MINE)
    stream.close()


@pytest.mark.asyncio
async def test_project_code_delays_the_stream_that_asked_and_nobody_else(
    site: tuple[Court, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_registrations", {})
    topics.topic("slow")(lambda user: True)
    court, hub = site
    asks = new_stream(hub, court, asked=(topics.find("slow"),))
    other = new_stream(hub, court, user_id=2)
    joining = [asyncio.create_task(stream.join()) for stream in (asks, other)]
    look = await court.look()
    user = User(pk=1)
    look.set_result([replace(begins(), user=user), begins("user:2")])
    await joining[1]
    # The function is called, and has not answered yet.
    while not (answers := [query for query in court.queries if not query[0].done()]):
        await asyncio.sleep(0)
    assert len(answers) == 1
    assert not joining[0].done()
    # What ends its user ends it all the same.
    hub.receive(Revocation(topics=(MINE,)))
    (await court.look()).set_result([Ended(reason="revoked", again=False)])
    with pytest.raises(HandshakeRefused):
        await joining[0]
    for stream in (asks, other):
        stream.close()


@pytest.mark.asyncio
async def test_a_new_stream_is_refused_by_the_first_topic_that_is_not_allowed(
    site: tuple[Court, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_registrations", {})
    topics.topic("room.<int:n>", public=True)(lambda user, n: n == 1)
    court, hub = site
    for user_id, status in ((1, 403), (None, 401)):
        asked = tuple(topics.find(f"room.{n}") for n in (1, 2, 3))
        stream = new_stream(hub, court, user_id=user_id, asked=asked)
        joining = asyncio.create_task(stream.join())
        user = AnonymousUser() if user_id is None else User(pk=user_id)
        await decide_next(court, replace(begins(), user=user))
        while not joining.done():
            await court.settle()
        with pytest.raises(HandshakeRefused) as refused:
            await joining
        assert (refused.value.status, refused.value.topic) == (
            status,
            "room.2" if user_id else "",
        )
        stream.close()


@pytest.mark.asyncio
async def test_an_open_stream_loses_the_topics_that_are_not_allowed_any_more(
    site: tuple[Court, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_registrations", {})
    allowed = {1, 2}
    topics.topic("room.<int:n>")(lambda user, n: n in allowed)
    court, hub = site
    asked = tuple(topics.find(f"room.{n}") for n in (1, 2))
    stream = new_stream(hub, court, asked=asked)
    joining = asyncio.create_task(stream.join())
    granted = replace(begins(), user=User(pk=1))
    await decide_next(court, granted)
    await court.settle()
    await joining
    assert await read_again(stream, court) == b"hello\n\n"
    allowed.discard(2)
    reading = asyncio.create_task(stream.read())
    hub.receive(Revocation(topics=(MINE,)))
    await decide_next(court, granted)
    hub.receive(Ephemeral("room.2", b"data: two\n\n"))
    hub.receive(Ephemeral("room.1", b"data: one\n\n"))
    await court.settle()
    assert not hub.listeners("room.2")
    hub.receive(Ephemeral("room.1", b"data: one more\n\n"))
    assert b"two" not in (await asyncio.wait_for(reading, 5) or b"")
    stream.close()


@pytest.mark.asyncio
async def test_a_function_that_hangs_keeps_its_topic_back_and_nothing_else(
    site: tuple[Court, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_registrations", {})
    monkeypatch.setattr(monitor, "HOLD_SECONDS", 0)
    topics.topic("room.<int:n>")(lambda user, n: True)
    court, hub = site
    stream = new_stream(hub, court, asked=(topics.find("room.1"),))
    joining = asyncio.create_task(stream.join())
    granted = replace(begins(), user=User(pk=1))
    await decide_next(court, granted)
    await joining
    assert await read_again(stream, court) == b"hello\n\n"
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    run = court.run

    async def hang(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if function is authorisers.may_listen:
            return await answer
        return await run(function, *args, **kwargs)

    monkeypatch.setattr(hub._monitor._authorisers, "_run", hang)
    hub.receive(Revocation(topics=(MINE,)))
    await decide_next(court, granted)
    while hub.listeners("room.1"):
        await court.settle()
    reading = asyncio.create_task(stream.read())
    hub.receive(Ephemeral("room.1", b"data: one\n\n"))
    hub.receive(batch(court, MINE))
    await court.settle()
    assert await asyncio.wait_for(reading, 5) == encode("x", id=1)
    answer.set_result(True)
    while not hub.listeners("room.1"):
        await court.settle()
    stream.close()


async def ask_slowly(
    site: tuple[Court, Hub], monkeypatch: pytest.MonkeyPatch
) -> tuple[Stream, Granted]:
    """Return an open stream whose project's topic is asked again, and answers never."""
    monkeypatch.setattr(topics, "_registrations", {})
    topics.topic("room.<int:n>")(lambda user, n: True)
    court, hub = site
    stream = new_stream(hub, court, asked=(topics.find("room.1"),))
    joining = asyncio.create_task(stream.join())
    granted = replace(begins(), user=User(pk=1))
    await decide_next(court, granted)
    await joining
    assert await read_again(stream, court) == b"hello\n\n"
    run = court.run

    async def hang(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if function is authorisers.may_listen:
            await asyncio.Event().wait()
        return await run(function, *args, **kwargs)

    monkeypatch.setattr(hub._monitor._authorisers, "_run", hang)
    return stream, granted


@pytest.mark.asyncio
async def test_a_function_of_an_earlier_decision_that_hangs_releases_nothing(
    site: tuple[Court, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, granted = await ask_slowly(site, monkeypatch)
    monkeypatch.setattr(monitor, "HOLD_SECONDS", 0.05)
    court, hub = site
    hub.receive(Revocation(everybody=True))
    await decide_next(court, granted)  # its function hangs
    hub.receive(Revocation(topics=(MINE,)))
    hub.receive(batch(court, MINE))
    reading = asyncio.create_task(stream.read())
    late = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.1, late.set_result, None)
    await late
    assert not reading.done()
    await decide_next(court, Ended(reason="revoked", again=False))
    assert (await asyncio.wait_for(reading, 5) or b"").startswith(b"event: bye")
    stream.close()


@pytest.mark.asyncio
@override_settings(SSE_NOTIFY={"RECHECK_INTERVAL": 0.05})
@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "no staff any more"},
        {"reader": Reader(topics=(MINE,), user_id=1)},
        {"reader": Reader(topics=(MINE, "everyone", GROUP), user_id=1)},
    ],
    ids=["flags", "left a group", "joined a group"],
)
async def test_what_a_round_alone_finds_keeps_the_topic_of_a_function_that_hangs_back(
    site: tuple[Court, Hub], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """As after a ``QuerySet.update()``, which sends no signal."""
    stream, granted = await ask_slowly(site, monkeypatch)
    court, hub = site
    reading = asyncio.create_task(stream.read())
    await decide_next(court, granted)  # in a round: the user is as before, so nothing waits
    hub.receive(Ephemeral("room.1", b"data: before\n\n"))
    assert await asyncio.wait_for(reading, 5) == b"data: before\n\n"
    monkeypatch.setattr(monitor, "HOLD_SECONDS", 0)
    await decide_next(court, replace(granted, **change))
    hub.receive(Ephemeral("room.1", b"data: after\n\n"))
    async with asyncio.timeout(10):
        while hub.listeners("room.1"):
            await court.settle()
    hub.receive(batch(court, MINE))
    written = b""
    while b"id: " not in written.replace(RESET, b""):
        written += await read_again(stream, court) or b""
    assert b"after" not in written
    stream.close()


@pytest.mark.asyncio
async def test_a_stream_that_leaves_when_its_function_is_late_is_not_listed_again(
    site: tuple[Court, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, granted = await ask_slowly(site, monkeypatch)
    court, hub = site
    later: list[Callable[[], None]] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(monitor, "HOLD_SECONDS", 3600)
    call_later = loop.call_later

    def note(delay: float, call: Callable[..., Any], *args: Any) -> Any:
        if delay == 3600:
            later.append(partial(call, *args))
        return call_later(delay, call, *args)

    monkeypatch.setattr(loop, "call_later", note)
    hub.receive(Revocation(topics=(MINE,)))
    await decide_next(court, granted)
    while not later:
        await court.settle()
    stream.close()
    later[0]()  # due in the same turn of the loop
    assert stream not in hub.listeners("room.1")
    assert stream not in hub.listeners(MINE)


@pytest.mark.asyncio
async def test_a_stream_whose_decision_cannot_be_applied_ends(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    court, hub, _, reading = opened

    def fail(*args: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(hub._monitor, "_accept", fail)
    hub.receive(Revocation(topics=(MINE,)))
    (await court.look()).set_result([FINE])
    assert (await asyncio.wait_for(reading, 5) or b"").startswith(b"event: bye")
