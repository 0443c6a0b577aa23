"""Who may listen is decided whatever a project's own code does: slow, broken, or asked in the wrong moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User, UserManager
from django.core.asgi import get_asgi_application
from django.db import DataError
from django.http import HttpResponse
from django.test import override_settings
from django.urls import register_converter

from sse_notify import abroadcast, anotify, arecheck, notify, publish, topics
from sse_notify.access import authorisers, decisions, monitor
from sse_notify.asgi.app import EventStreams
from sse_notify.concurrency import threadpool
from sse_notify.log.sequence import get_position, number_pending
from sse_notify.streaming import hub, registry
from sse_notify.streaming.limits import admission
from tests.asgi.client import GUARD, Connection, connect, cookies_of, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_registrations", {})


@pytest.fixture
def app() -> EventStreams:
    return EventStreams(get_asgi_application())


async def people(*names: str) -> list[User]:
    return [await User.objects.acreate(username=name) for name in names]


class Gate:
    """A topic function that can be made to wait."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.entries: list[Any] = []

    def __call__(self, user: Any) -> bool:
        self.entries.append(user.pk)
        self.entered.set()
        return self.open.wait(GUARD)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    topics.topic("slow", public=True)(gate)
    yield gate
    gate.open.set()


class Slow:
    """A path converter of the project that looks a row up, and can be made to wait."""

    regex = "[a-z]+"
    goes_on = threading.Event()
    entered = threading.Event()

    def to_python(self, value: str) -> str:
        self.entered.set()
        if value == "unknown":
            raise ValueError
        if value == "bad":
            raise DataError
        assert self.goes_on.wait(GUARD)
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Slow, "slow_of_a_test")


@override_settings(SSE_NOTIFY={"HANDSHAKE_THREADS": 2})  # one for handshakes
@pytest.mark.parametrize("visits", [True, False], ids=["a visitor", "a user"])
async def test_a_converter_that_hangs_keeps_nobody_elses_handshake_back(
    app: EventStreams, monkeypatch: pytest.MonkeyPatch, visits: bool
) -> None:
    monkeypatch.setattr(threadpool, "streams", threadpool.Pool("stream", lambda: 1))
    topics.topic("room.<slow_of_a_test:name>", public=True)(lambda user, name: name == "open")
    alice, bob = await people("alice", "bob")
    headers = {} if visits else await cookies_of(alice)
    Slow.goes_on.clear()
    Slow.entered.clear()
    try:
        async with connect(app, query="topic=room.open&topic=room.open", headers=headers) as hers:
            await asyncio.to_thread(Slow.entered.wait, GUARD)
            async with connect(app, headers=await cookies_of(bob)) as his:
                await his.until(b"hello")
            assert hers.sent == []
            Slow.goes_on.set()
            await hers.until(b"hello")
        for name in ("shut", "unknown", "bad"):
            query = f"topic=room.open&topic=room.{name}"
            async with connect(app, query=query, headers=headers) as refused:
                status, _, body = await refused.answer()
            assert (status, body["error"]) == (
                (401, "unauthenticated") if visits else (403, "forbidden")
            )
    finally:
        Slow.goes_on.set()


def authenticate(request: Any) -> None:
    """Wait for the project's own server of tokens, if the request has one."""
    if "authorization" in request.headers:
        Slow.entered.set()
        assert Slow.goes_on.wait(GUARD)


@override_settings(SSE_NOTIFY={"AUTHENTICATE": f"{__name__}.authenticate", "POLL_INTERVAL": 1000})
async def test_an_authentication_that_hangs_keeps_new_streams_back_and_no_open_one(
    app: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows no user yet whose share it could take: it has the threads of the handshakes alone."""
    monkeypatch.setattr(threadpool, "streams", threadpool.Pool("stream", lambda: 1))
    alice, bob, carol = await people("alice", "bob", "carol")
    Slow.goes_on.clear()
    Slow.entered.clear()
    try:
        async with (
            connect(app, headers=await cookies_of(alice)) as hers,
            connect(app, headers=await cookies_of(bob)) as his,
        ):
            await hers.until(b"hello")
            await his.until(b"hello")
            hanging = Connection(
                app, "/notifications/stream/", headers={"authorization": "Bearer x"}
            )
            await asyncio.to_thread(Slow.entered.wait, GUARD)
            async with connect(app, headers=await cookies_of(carol)) as new:
                await anotify(alice, "For her")
                await hers.until(b"For her")
                bob.is_active = False
                await bob.asave()
                await his.until(b"event: bye")
                assert new.sent == []
                Slow.goes_on.set()
                await new.until(b"hello")
            assert (await hanging.answer())[0] == 401
    finally:
        Slow.goes_on.set()


@pytest.mark.parametrize("error", [DataError("out of range"), ValueError()], ids=repr)
async def test_a_function_that_fails_loses_its_topic_and_everybody_else_is_decided(
    app: EventStreams, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    fails: list[bool] = []

    @topics.topic("bad")
    def failing(user: Any) -> bool:
        if fails:
            raise error
        return True

    topics.topic("good")(lambda user: True)
    alice, bob = await people("alice", "bob")
    async with (
        connect(app, query="topic=bad&topic=good", headers=await cookies_of(alice)) as hers,
        connect(app, query="topic=bad", headers=await cookies_of(bob)) as his,
    ):
        await hers.until(b"hello")
        await his.until(b"hello")
        fails.append(True)
        await User.objects.filter(pk=bob.pk).aupdate(is_active=False)
        await arecheck()
        assert b'"reason":"revoked","retry_after":null' in await his.until(b"event: bye")
        while registry.listeners("bad"):
            await asyncio.sleep(0)
        publish("bad", "for nobody")
        publish("good", "for her")
        await anotify(alice, "And this")
        assert b"for nobody" not in await hers.until(b"And this")
        assert b"data: for her" in hers.body
    async with connect(app, query="topic=bad", headers=await cookies_of(alice)) as refused:
        status, _, body = await refused.answer()
        assert (status, body["error"], body["topic"]) == (403, "forbidden", "bad")
    assert caplog.text.count("The function of topic 'bad' failed") == 2
    assert admission.total == 0


@override_settings(SSE_NOTIFY={"POLL_INTERVAL": 1000})
async def test_project_code_that_hangs_delays_no_repair_and_nobody_elses_end(
    app: EventStreams, gate: Gate
) -> None:
    """Five streams with a topic function of 0.3 s had a repair wait for 1.5 s."""
    alice, bob, carol = await people("alice", "bob", "carol")
    async with connect(app, headers=await cookies_of(bob)) as his:
        await his.until(b"hello")
        hers = [
            Connection(app, "/notifications/stream/", query="topic=slow", headers=headers)
            for headers in [await cookies_of(alice)] * 5
        ]
        for stream in hers:
            await stream.until(b"hello")
        async with connect(app, headers=await cookies_of(carol)) as hers_too:
            await hers_too.until(b"hello")
            gate.open.clear()
            gate.entered.clear()
            await arecheck()
            await asyncio.to_thread(gate.entered.wait, GUARD)
            # Numbered by a process that died before it could ring.
            await sync_to_async(lambda: (notify(bob, "Repaired"), list(number_pending())))()
            await registry.current().poll()
            await his.until(b"Repaired")
            carol.is_active = False
            await carol.asave()
            await hers_too.until(b"event: bye")
            # Neither does it keep alice, whose topics these are.
            await User.objects.filter(pk=alice.pk).adelete()
            for stream in hers:
                await stream.until(b"event: bye")
        async with connect(app, headers=await cookies_of(bob)) as new:
            await new.until(b"hello")
        gate.open.set()
        for stream in hers:
            await stream.leave()


@override_settings(SSE_NOTIFY={"POLL_INTERVAL": 1000})
async def test_whatever_topics_cost_who_left_a_group_hears_so_before_its_next_event(
    app: EventStreams, gate: Gate
) -> None:
    """Four users with spellings of a slow topic had it take half a minute, and the event arrived."""
    topics.topic("room.<int:n>")(lambda user, n: gate(user))
    group = await Group.objects.acreate(name="team")
    bob, carol, *others = await people("bob", "carol", "one", "two", "three", "four")
    await sync_to_async(group.user_set.add)(bob, carol)
    async with AsyncExitStack() as stack:
        for user in others:
            query = "&".join(f"topic=room.{'0' * n}2" for n in range(20))
            opened = connect(app, query=query, headers=await cookies_of(user))
            await (await stack.enter_async_context(opened)).until(b"hello")
        his, hers = [
            await stack.enter_async_context(connect(app, headers=await cookies_of(user)))
            for user in (bob, carol)
        ]
        await his.until(b"hello")
        await hers.until(b"hello")
        gate.entries.clear()
        gate.open.clear()
        await arecheck()
        await until(lambda: len(gate.entries) == authorisers.TURNS)  # no turn is left
        await sync_to_async(group.user_set.remove)(bob)
        await abroadcast("For the team", audience=group)
        await anotify(bob, "For you")
        await hers.until(b"For the team")
        assert b"For the team" not in await his.until(b"For you")
        assert b'event: reset\ndata: {"reason":"topics"' in his.body
        # All spellings of a topic are one question about each user.
        gate.open.set()
        await until(lambda: len(gate.entries) >= len(others))
        assert sorted(gate.entries) == sorted(user.pk for user in others)


async def test_a_stream_whose_topics_are_slow_waits_alone_and_is_refused_as_it_was(
    app: EventStreams, gate: Gate
) -> None:
    gate.open.clear()
    (alice,) = await people("alice")
    headers = await cookies_of(alice)
    async with connect(app, query="topic=slow", headers=headers) as slow:
        await asyncio.to_thread(gate.entered.wait, GUARD)
        async with connect(app, headers=headers) as quick:
            await quick.until(b"hello")
        assert slow.sent == [], "neither headers nor hello"
        gate.open.set()
        await slow.until(b"hello")


async def test_a_client_that_leaves_while_it_is_decided_gives_its_place_back(
    app: EventStreams, gate: Gate
) -> None:
    gate.open.clear()
    (alice,) = await people("alice")
    async with connect(app, query="topic=slow", headers=await cookies_of(alice)) as slow:
        await asyncio.to_thread(gate.entered.wait, GUARD)
        await slow.leave()
        assert slow.sent == []
        assert admission.total == 0
    assert not registry.with_streams()


async def test_a_user_who_is_deactivated_before_the_stream_is_decided_gets_none(
    app: EventStreams, gate: Gate
) -> None:
    """The handshake has passed, and nobody looked again since."""
    gate.open.clear()
    (alice,) = await people("alice")
    async with connect(app, query="topic=slow", headers=await cookies_of(alice)) as stream:
        await asyncio.to_thread(gate.entered.wait, GUARD)
        alice.is_active = False
        await alice.asave()
        status, headers, body = await stream.answer()
    assert (status, body["error"]) == (401, "unauthenticated")
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(stream.body))
    assert "x-accel-buffering" not in headers
    assert "cookie" in headers["vary"].lower(), "what the middleware has added stays"


async def test_the_same_user_saved_twenty_times_is_looked_at_no_more(
    app: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sse_notify.access import decisions, monitor

    decided: list[int] = []
    real: Callable[[Any], Any] = decisions.decide

    def counted(questions: Any) -> Any:
        decided.append(len(questions))
        return real(questions)

    monkeypatch.setattr(monitor, "decide", counted)
    with override_settings(SSE_NOTIFY={"RECHECK_INTERVAL": 1000}):
        (alice,) = await people("alice")
        async with connect(app, headers=await cookies_of(alice)) as stream:
            await stream.until(b"hello")
            decided.clear()
            for number in range(20):
                alice.first_name = f"Alice {number}"
                await alice.asave()
            await anotify(alice, "Heard")
            await stream.until(b"Heard")
            assert decided == []
            alice.is_staff = True
            await alice.asave()
            await stream.until(b"event: reset")
            assert decided == [1]


@pytest.mark.parametrize("change", ["left the group", "deactivated"])
async def test_a_stream_that_its_view_decided_sends_nothing_that_was_lost_meanwhile(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the wrapper, the view decides; the hub may start seconds later, when other messages have come and gone."""
    (alice,) = await people("alice")
    group = await Group.objects.acreate(name="editors")
    await alice.groups.aset([group])
    starts, decides = threading.Event(), threading.Event()
    position, decide = get_position, decisions.decide
    monkeypatch.setattr(hub, "get_position", lambda: (starts.wait(GUARD), position())[1])
    monkeypatch.setattr(monitor, "decide", lambda asked: (decides.wait(GUARD), decide(asked))[1])
    stream = Connection(
        get_asgi_application(), "/notifications/stream/", headers=await cookies_of(alice)
    )
    try:
        await until(lambda: admission.total)
        if change == "deactivated":
            alice.is_active = False
            await alice.asave()
            await anotify(alice, "SECRET")
        else:
            await alice.groups.aremove(group)
            await abroadcast("SECRET", audience=group)
        starts.set()
        await until(lambda: registry.current()._by_topic)
        await asyncio.sleep(0)
        assert b"SECRET" not in stream.body
        decides.set()
        await stream.until(b"event: bye" if change == "deactivated" else b"event: hello")
        if change != "deactivated":
            await anotify(alice, "After")
            await stream.until(b"After")
        assert b"SECRET" not in stream.body
    finally:
        starts.set()
        decides.set()
        await stream.leave()


def paywall_whole(get_response: Any) -> Any:
    """A middleware that looks at the answer of the view, and gives another one."""

    def ask(request: Any) -> Any:
        get_response(request)
        return HttpResponse("event: paywall\ndata: x\n\n", content_type="text/event-stream")

    return ask


def paywall_status(get_response: Any) -> Any:
    def ask(request: Any) -> Any:
        get_response(request)
        return HttpResponse("Pay", status=402)

    return ask


@pytest.mark.parametrize("kind", ["whole", "status"])
@pytest.mark.parametrize("accept", ["text/event-stream", "*/*"])
async def test_what_a_middleware_answers_instead_of_a_stream_is_the_answer(
    kind: str, accept: str, settings: Any
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.paywall_{kind}"]
    app = EventStreams(get_asgi_application())
    (alice,) = await people("alice")
    headers = {**await cookies_of(alice), "accept": accept}
    async with connect(app, headers=headers) as answer:
        status, _, body = await answer.answer()
        assert (status, body) == (
            (200, b"event: paywall\ndata: x\n\n") if kind == "whole" else (402, b"Pay")
        )
    await until(lambda: not admission.total)


class Living(UserManager[User]):
    """The manager of a model with soft deletes."""

    def get_queryset(self) -> Any:
        return super().get_queryset().exclude(last_name="deleted")


@override_settings(SSE_NOTIFY={"POLL_INTERVAL": 0.1, "RECHECK_INTERVAL": 0.2})
@pytest.mark.parametrize("recheck", [False, True], ids=["a round", "recheck"])
async def test_a_user_who_was_deleted_softly_loses_the_stream_and_no_handshake_opens_another(
    app: EventStreams, monkeypatch: pytest.MonkeyPatch, *, recheck: bool
) -> None:
    """``is_active`` stays, and the row: the stream went on for as long as a stream may."""
    manager = Living()
    manager.model = User
    monkeypatch.setattr(User._meta, "default_manager", manager)
    if recheck:
        monkeypatch.setattr("random.uniform", lambda *_: 1e6)  # no round comes
    alice, bob = await people("alice", "bob")
    hers, his = await cookies_of(alice), await cookies_of(bob)
    async with connect(app, headers=hers) as stream, connect(app, headers=his) as other:
        await stream.until(b"hello")
        await other.until(b"hello")
        await User.objects.filter(pk=alice.pk).aupdate(last_name="deleted")
        if recheck:
            await arecheck(alice)
        await stream.until(b'"reason":"revoked"')
        await anotify(bob, "Still there")
        await other.until(b"Still there")
    async with connect(app, headers=hers) as refused:
        assert (await refused.answer())[0] == 401
