"""A project's own topics, from the pattern to the client: who may listen, several on one stream, and what a slow client is told."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application

from sse_notify import anotify, apublish, counters, publish, topics
from sse_notify.access import authorisers
from sse_notify.asgi.app import EventStreams
from tests.asgi.client import GUARD, Connection, connect, cookies_of, events

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> EventStreams:
    """The application, with topics whose authorisers are sync and async, for users and for everybody."""
    monkeypatch.setattr(topics, "_registrations", {})

    @topics.topic("wall", public=True)
    async def anybody(user: Any) -> bool:
        return True

    @topics.topic("price.<slug:name>", public=True)
    def listed(user: Any, name: str) -> bool:
        return name != "secret"

    @topics.topic("desk.<int:pk>")
    async def own(user: Any, pk: int) -> bool:
        return bool(await User.objects.filter(pk=pk, username=user.username).aexists())

    return EventStreams(get_asgi_application())


async def test_topics_on_one_stream_tell_themselves_apart_beside_the_users_notifications(
    app: EventStreams, joined: asyncio.Event
) -> None:
    user = await User.objects.acreate(username="alice")
    query = f"topic=wall&topic=price.gold&topic=desk.{user.pk}"
    async with connect(app, query=query, headers=await cookies_of(user)) as stream:
        await asyncio.wait_for(joined.wait(), GUARD)
        await asyncio.to_thread(publish, "price.gold", {"is": 1})
        await apublish("wall", "painted")
        await apublish(f"desk.{user.pk}", "own", event="tidy")
        await apublish("price.silver", {"is": 2})
        await anotify(user, "And last")
        await stream.until(b"And last")
    blocks = [
        block
        for block in stream.body.decode().split("\n\n")
        if "event: hello" not in block and "retry:" not in block
    ]
    assert blocks[:3] == [
        'event: price.gold\ndata: {"is":1}',
        "event: wall\ndata: painted",
        f"event: tidy\ntopic: desk.{user.pk}\ndata: own",
    ]
    assert blocks[3].startswith("event: notification\n")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("topic=wall&topic=price.gold", 200),
        ("topic=price.secret", 401),
        ("topic=wall&topic=price.secret", 401),
        ("topic=desk.1", 401),
    ],
)
async def test_a_visitor_has_what_is_public_and_allowed_and_is_asked_to_sign_in_for_the_rest(
    app: EventStreams, query: str, status: int
) -> None:
    async with connect(app, query=query) as stream:
        if status == 200:
            assert events(await stream.until(b"event: hello"))[0][0] == "hello"
        else:
            assert (await stream.answer())[0] == status


async def test_an_async_authoriser_decides_for_each_user(app: EventStreams) -> None:
    alice, bob = (
        await User.objects.acreate(username="alice"),
        await User.objects.acreate(username="bob"),
    )
    async with connect(
        app, query=f"topic=desk.{alice.pk}", headers=await cookies_of(alice)
    ) as stream:
        await stream.until(b"event: hello")
    async with connect(
        app, query=f"topic=desk.{alice.pk}", headers=await cookies_of(bob)
    ) as stream:
        status, _, body = await stream.answer()
    assert (status, body["error"]) == (403, "forbidden")


async def test_a_function_that_hangs_says_not_now_and_keeps_no_other_topic_back(
    app: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four hung calls refused every topic to everybody, with a 403, even when their clients had left."""
    begun, goes_on = threading.Semaphore(0), threading.Event()

    @topics.topic("hang.<int:n>", public=True)
    def hang(user: Any, n: int) -> bool:
        begun.release()
        return goes_on.wait(GUARD)

    people = [await User.objects.acreate(username=f"user-{n}") for n in range(5)]
    headers: list[dict[str, str]] = [await cookies_of(user) for user in people]
    others: list[dict[str, str]] = [{}, *headers[:4]]
    hanging = [
        Connection(app, "/notifications/stream/", query=f"topic=hang.{n}", headers=each)
        for each in others
        for n in range(4)
    ]
    try:
        for _ in range(2 * authorisers.TURNS):
            assert await asyncio.to_thread(begun.acquire, timeout=GUARD)
        for each in headers[4], {}:
            query = "topic=wall&topic=price.gold"
            async with connect(app, query=query, headers=each) as stream:
                await stream.until(b"event: hello")
        monkeypatch.setattr(authorisers, "ANSWER_SECONDS", 0.01)
        async with connect(app, query="topic=wall&topic=hang.1", headers=headers[4]) as stream:
            status, got, body = await stream.answer()
        assert (status, body["error"], got["retry-after"]) == (503, "unchecked", "30")
    finally:
        goes_on.set()
        for connection in hanging:
            await connection.leave()


async def test_a_slow_client_is_told_how_many_ephemeral_events_it_lost_and_goes_on_with_the_newest(
    app: EventStreams, joined: asyncio.Event, settings: Any
) -> None:
    settings.SSE_NOTIFY = {"BUFFER_BYTES": 65_536}
    user = await User.objects.acreate(username="alice")
    told = counters.get("lost")
    async with connect(app, query="topic=wall", headers=await cookies_of(user)) as stream:
        await asyncio.wait_for(joined.wait(), GUARD)
        await stream.until(b"event: hello")
        slow = counters.get("slow")
        # One turn of the loop takes none of these off, as a client that does not read.
        for number in range(2000):
            publish("wall", f"{number:0100d}")
        await anotify(user, "Not lost")
        await stream.until(b"Not lost")
    found = [block.split("\n") for block in stream.body.decode().split("\n\n")]
    numbers = [int(block[1][6:]) for block in found if block[0] == "event: wall"]
    lost = sum(json.loads(block[1][6:])["count"] for block in found if block[0] == "event: lost")
    assert numbers == sorted(numbers)
    assert numbers[-1] == 1999, "the newest came"
    assert lost > 0
    assert len(numbers) + lost == 2000
    assert counters.get("lost") == told + lost
    assert counters.get("slow") == slow, "nobody went back to the log for what is not in it"
