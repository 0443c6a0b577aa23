"""The handshake: who gets a stream, where it starts, and what the refusals say. Through the wrapper and without it."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.core.asgi import get_asgi_application
from django.test import override_settings

from sse_notify import abroadcast, anotify, notify, topics
from sse_notify.asgi.app import EventStreams
from sse_notify.asgi.exchange import MARK
from sse_notify.models import LogHead
from sse_notify.streaming.limits import admission
from tests.asgi.client import GUARD, connect, cookies_of, events

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


@pytest.fixture(params=["wrapped", "wrapped, not marked", "inside Django"])
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The application, which takes one of its three ways, and more headers."""
    app = get_asgi_application()
    if request.param == "wrapped, not marked":
        monkeypatch.delattr(import_module("sse_notify.views.stream").stream, MARK)
    return app if request.param == "inside Django" else EventStreams(app), {}


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_registrations", {})
    topics.topic("wall", public=True)(lambda user: True)
    topics.topic("room.<int:n>")(lambda user, n: n == 1)


async def make_user(name: str = "alice") -> User:
    return await User.objects.acreate(username=name)


async def test_a_user_gets_hello_then_what_is_sent(site: Any) -> None:
    app, headers = site
    user = await make_user()
    await anotify(user, "Before")
    async with connect(app, headers={**headers, **await cookies_of(user)}) as stream:
        body = await stream.until(b"event: hello")
        assert (stream.status, stream.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        assert body.startswith(b"retry: ")
        (hello,) = events(body)
        assert hello[0] == "hello"
        assert hello[2] == "1"
        assert {k: hello[1][k] for k in ("v", "cursor", "head", "unread", "unseen", "ping", "state_seq")} == {
            "v": 1, "cursor": 1, "head": 1, "unread": 1, "unseen": 1, "ping": 15.0, "state_seq": None,
        }  # fmt: skip
        await anotify(user, "After")
        name, data, id = events(await stream.until(b"After"))[-1]
        assert (name, data["title"], data["seq"], id) == ("notification", "After", 2, "2")


async def test_the_headers_keep_everybody_from_buffering(site: Any) -> None:
    app, headers = site
    async with connect(app, headers={**headers, **await cookies_of(await make_user())}) as stream:
        await stream.until(b"hello")
        got = stream.headers
    assert got["cache-control"] == "no-cache, no-store, no-transform"
    assert got["x-accel-buffering"] == "no"
    assert got["content-encoding"] == "identity"
    assert got["x-content-type-options"] == "nosniff"
    assert not {"content-length", "connection", "transfer-encoding", "keep-alive"} & set(got)


@pytest.mark.parametrize(
    ("query", "signed_in", "status", "code"),
    [
        ("", False, 401, "unauthenticated"),
        ("topic=room.1", False, 401, "unauthenticated"),
        ("topic=wall&topic=room.1", False, 401, "unauthenticated"),
        ("topic=room.2", True, 403, "forbidden"),
        ("topic=unknown", True, 403, "forbidden"),
        ("topic=user:1", True, 403, "forbidden"),
        ("topic=everyone", True, 403, "forbidden"),
        ("&".join(f"topic=room.{n}" for n in range(51)), True, 400, "too_many_topics"),
    ],
)
async def test_refusals_are_json_and_never_redirects(
    site: Any, query: str, signed_in: bool, status: int, code: str
) -> None:
    app, headers = site
    cookies = await cookies_of(await make_user()) if signed_in else {}
    async with connect(app, query=query, headers={**headers, **cookies}) as stream:
        got, got_headers, body = await stream.answer()
    assert (got, body["error"]) == (status, code)
    assert body["message"]
    assert got_headers["cache-control"] == "no-store"
    assert admission.total == 0


async def test_a_refusal_names_the_topic_so_that_a_page_asks_for_the_others(site: Any) -> None:
    app, headers = site
    headers = {**headers, **await cookies_of(await make_user())}
    async with connect(
        app, query="topic=wall&topic=room.2&topic=unknown", headers=headers
    ) as stream:
        status, _, body = await stream.answer()
    assert (status, body["topic"]) == (403, "room.2")


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [({"MAX_STREAMS_PER_USER": 1}, 429, "too_many_streams"), ({"MAX_STREAMS": 1}, 503, "full")],
)
async def test_one_stream_too_many_is_told_when_to_retry(
    site: Any, limits: dict[str, int], status: int, code: str
) -> None:
    app, headers = site
    headers = {**headers, **await cookies_of(await make_user())}
    with override_settings(SSE_NOTIFY=limits):
        async with connect(app, headers=headers) as first:
            await first.until(b"hello")
            async with connect(app, headers=headers) as second:
                got, got_headers, body = await second.answer()
            assert (got, body["error"], got_headers["retry-after"]) == (status, code, "5")
        async with connect(app, headers=headers) as third:
            await third.until(b"hello")
    assert admission.total == 0


async def test_while_draining_no_stream_is_opened(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, headers = site
    monkeypatch.setattr(admission, "draining", True)
    async with connect(app, headers={**headers, **await cookies_of(await make_user())}) as stream:
        status, got, body = await stream.answer()
    assert (status, body["error"], got["retry-after"]) == (503, "draining", "5")


async def test_head_gets_the_headers_and_no_stream(site: Any) -> None:
    app, headers = site
    async with connect(
        app, method="HEAD", headers={**headers, **await cookies_of(await make_user())}
    ) as stream:
        status, got, body = await stream.answer()
    assert (status, got["content-type"], body) == (200, "text/event-stream; charset=utf-8", b"")


async def test_other_methods_are_not_allowed(site: Any) -> None:
    app, headers = site
    cookies = await cookies_of(await make_user())
    async with connect(
        app, method="POST", headers={**headers, **cookies, "content-length": "0"}
    ) as stream:
        status, _, _ = await stream.answer()
    assert status in (403, 405)  # without a token the CSRF middleware is first


CURSORS: list[tuple[str, str | None, int, str]] = [
    # query, Last-Event-ID, where the stream starts, reason of the reset
    ("", None, 5, ""),
    ("cursor=", None, 5, ""),
    ("cursor=", "", 5, ""),
    ("cursor=2", None, 2, ""),
    ("", "3", 3, ""),
    ("cursor=2", "4", 4, ""),
    ("cursor=4", "2", 4, ""),
    ("cursor=0", None, 0, ""),
    ("cursor=5", None, 5, ""),
    ("cursor=6", None, 5, "ahead"),
    ("cursor=9223372036854775807", None, 5, "ahead"),
    ("cursor=9223372036854775808", None, 5, "malformed"),
    ("cursor=" + "9" * 50, None, 5, "malformed"),
    ("cursor=-1", None, 5, "malformed"),
    ("cursor=abc", None, 5, "malformed"),
    ("cursor=1.5", None, 5, "malformed"),
    ("cursor=%D9%A1", None, 5, "malformed"),  # an Arabic digit
    ("cursor=+3", None, 5, "malformed"),
    ("cursor=abc", "3", 3, ""),
    ("cursor=2&cursor=4&cursor=3", None, 4, ""),
    ("cursor=4&cursor=", "2", 4, ""),
    ("cursor=abc&cursor=-1", "x", 5, "malformed"),
    ("cursor=2", "6", 5, "ahead"),
    ("cursor=%203", None, 5, "malformed"),
    ("cursor=3%0A", None, 5, "malformed"),
    ("cursor=%2B3", None, 5, "malformed"),
    ("cursor=3%00", None, 5, "malformed"),
    ("cursor=%FF", None, 5, "malformed"),
    ("cursor=0x3", None, 5, "malformed"),
    ("cursor=3e0", None, 5, "malformed"),
    ("cursor=3_0", None, 5, "malformed"),
    ("cursor=007", "4", 5, "ahead"),
    ("lastEventId=2", None, 2, ""),
    ("lastEventId=2&cursor=4", None, 4, ""),
    ("cursor=2&lastEventId=4", "3", 4, ""),
    ("lasteventid=2", None, 5, ""),
    ("lastEventId=x", None, 5, "malformed"),
    ("", "3, 4", 5, "malformed"),  # two headers, as servers join them
    ("", "\xb3", 5, "malformed"),  # a superscript, a digit to str.isdigit()
    ("cursor=" + "9" * 401, None, 5, "malformed"),
]


@pytest.mark.parametrize(
    ("query", "header", "start", "reason"),
    CURSORS,
    ids=[f"{q[:30]}|{h!a}" for q, h, _, _ in CURSORS],
)
async def test_every_cursor_gets_a_verdict(
    query: str, header: str | None, start: int, reason: str
) -> None:
    user = await make_user()
    await sync_to_async(lambda: [notify(user, f"N{i}") for i in range(1, 6)])()
    headers = await cookies_of(user)
    if header is not None:
        headers["last-event-id"] = header
    async with connect(
        EventStreams(get_asgi_application()), query=query, headers=headers
    ) as stream:
        await stream.until(b"event: hello")
        await anotify(user, "Live")
        got = events(await stream.until(b'"Live"'))
    if header:  # an EventSource that reconnects: what WebKit kept of a cut event spoils the first
        assert stream.body.startswith(b":\nevent: ping\n")
        assert got.pop(0) == ("ping", {"cursor": start}, "")
    assert (got[0][0], got[0][1]["cursor"], got[0][2]) == ("hello", start, str(start))
    assert [data for name, data, _ in got if name == "reset"] == (
        [{"reason": reason, "cursor": 5}] if reason else []
    )
    assert [data["title"] for name, data, _ in got if name == "notification"] == [
        f"N{i}" for i in range(start + 1, 6)
    ] + ["Live"]


async def test_a_cursor_older_than_the_retention_is_reset() -> None:
    user = await make_user()
    await sync_to_async(lambda: [notify(user, "x") for _ in range(5)])()
    await LogHead.objects.aupdate(floor=3)
    app = EventStreams(get_asgi_application())
    headers = await cookies_of(user)
    async with connect(app, query="cursor=2", headers=headers) as stream:
        assert events(await stream.until(b"reset"))[1][1] == {"reason": "expired", "cursor": 5}
    async with connect(app, query="cursor=3", headers=headers) as stream:
        await stream.until(b"id: 5")
        assert b"reset" not in stream.body


@override_settings(SSE_NOTIFY={"REPLAY_LIMIT": 3})
async def test_who_missed_too_much_is_reset_and_others_events_do_not_count() -> None:
    alice, bob = await make_user("alice"), await make_user("bob")
    await sync_to_async(
        lambda: [notify(user, f"N{i}") for i in range(4) for user in (alice, bob, bob)]
    )()
    app = EventStreams(get_asgi_application())
    async with connect(app, query="cursor=0", headers=await cookies_of(alice)) as stream:
        assert events(await stream.until(b"reset"))[1][1] == {"reason": "too_many", "cursor": 12}
    async with connect(app, query="cursor=1", headers=await cookies_of(alice)) as stream:
        await stream.until(b"N3")
        assert b"reset" not in stream.body


async def test_a_public_topic_is_open_to_anonymous_visitors(
    site: Any, joined: asyncio.Event
) -> None:
    from sse_notify import broadcast, publish

    app, headers = site
    async with connect(app, query="topic=wall", headers=headers) as stream:
        await stream.until(b"hello")
        await sync_to_async(broadcast)("Not for visitors")
        await asyncio.wait_for(joined.wait(), GUARD)  # what is published is live only
        publish("wall", "painted")
        await stream.until(b"painted")
        assert b"visitors" not in stream.body


async def test_nobody_sees_what_is_anothers() -> None:
    alice, bob = await make_user("alice"), await make_user("bob")
    app = EventStreams(get_asgi_application())
    async with connect(app, query="cursor=0", headers=await cookies_of(bob)) as stream:
        await stream.until(b"hello")
        await anotify(alice, "Secret")
        await anotify(bob, "Mine")
        await stream.until(b"Mine")
    assert b"Secret" not in stream.body
    async with connect(app, query="cursor=0", headers=await cookies_of(bob)) as stream:
        await stream.until(b"Mine")
    assert b"Secret" not in stream.body


async def test_a_member_of_a_group_gets_what_is_broadcast_to_it(site: Any) -> None:
    app, headers = site
    group = await Group.objects.acreate(name="team")
    member, other = await make_user("alice"), await make_user("bob")
    await sync_to_async(member.groups.add)(group)
    headers_of = {user: {**headers, **await cookies_of(user)} for user in (member, other)}
    async with (
        connect(app, headers=headers_of[member]) as theirs,
        connect(app, headers=headers_of[other]) as others,
    ):
        await theirs.until(b"hello")
        await others.until(b"hello")
        await abroadcast("For the team", audience=group)
        await abroadcast("For all")
        assert b"For the team" in await theirs.until(b"For all")
        assert b"For the team" not in await others.until(b"For all")


async def test_middleware_that_requires_a_login_leaves_the_answer_to_the_handshake(
    site: Any, settings: Any
) -> None:
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    app = (
        EventStreams(get_asgi_application())
        if isinstance(site[0], EventStreams)
        else get_asgi_application()
    )
    async with connect(app, headers=site[1]) as stream:
        status, _, body = await stream.answer()
    assert (status, body["error"]) == (401, "unauthenticated")


async def test_hello_names_the_user_without_telling_who_it_is(site: Any) -> None:
    """A page that was opened before somebody else signed in sees that the stream is not its user's."""
    app, headers = site
    keys = []
    for name in ("alice", "bob"):
        async with connect(
            app, headers={**headers, **await cookies_of(await make_user(name))}
        ) as stream:
            keys.append(events(await stream.until(b"event: hello"))[0][1]["key"])
    assert len(set(keys)) == 2
    assert all(len(key) == 32 for key in keys)
    async with connect(app, query="topic=wall", headers=headers) as stream:
        assert events(await stream.until(b"event: hello"))[0][1]["key"] is None
