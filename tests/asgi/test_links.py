"""Signed links: what they open, for how long, and that nothing else opens with them."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User, UserManager
from django.core import signing
from django.core.asgi import get_asgi_application
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.views.debug import ExceptionReporter

from sse_notify import anotify, apublish, signed_stream_url, topic, topics
from sse_notify.access import links
from sse_notify.asgi.app import EventStreams
from tests.asgi.client import connect, cookies_of, events

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


@pytest.fixture(autouse=True)
def _rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_registrations", {})
    topic("room.<int:number>")(lambda user, number: number < 10 and user.username == "alice")


@pytest.fixture
def app() -> EventStreams:
    return EventStreams(get_asgi_application())


async def alice() -> User:
    return await User.objects.acreate(username="alice")


async def answer(app: EventStreams, link: str, **headers: str) -> tuple[int, Any]:
    """Open the link; return the status, and of a refusal the code."""
    address = urlsplit(link)
    async with connect(app, address.path, query=address.query, headers=headers) as stream:
        await stream.until(b"{")
        return stream.status, None if stream.status == 200 else (await stream.answer())[2]["error"]


async def test_a_link_opens_the_users_stream_and_the_topics_that_it_names(
    app: EventStreams,
) -> None:
    user = await alice()
    address = urlsplit(signed_stream_url(user, topics=["room.1", "room.1", "room.2"]))
    async with connect(app, address.path, query=address.query) as stream:
        await stream.until(b"hello")
        await anotify(user, "Hers")
        await stream.until(b"Hers")
        for number in (1, 3, 2):
            await apublish(f"room.{number}", str(number))
        body = await stream.until(b"event: room.2")
    assert [name for name, _, _ in events(body)] == ["hello", "notification", "room.1", "room.2"]


async def test_it_is_the_link_that_says_who_not_the_session(app: EventStreams) -> None:
    link = urlsplit(signed_stream_url(await alice()))
    bobs = await cookies_of(await User.objects.acreate(username="bob"))
    async with connect(app, link.path, query=link.query, headers=bobs) as stream:
        await stream.until(b"hello")
        await anotify(await User.objects.aget(username="bob"), "His")
        await anotify(await User.objects.aget(username="alice"), "Hers")
        body = await stream.until(b"Hers")
    assert b"His" not in body


async def test_a_topic_that_the_link_does_not_name_is_refused_and_one_that_it_names_is_asked_for_anew(
    app: EventStreams,
) -> None:
    user = await alice()
    assert await answer(app, signed_stream_url(user, ["room.1"]) + "&topic=room.1") == (200, None)
    assert await answer(app, signed_stream_url(user, ["room.1"]) + "&topic=room.2") == (
        403,
        "forbidden",
    )
    assert await answer(app, signed_stream_url(user, ["room.77"])) == (403, "forbidden")
    link = urlsplit(signed_stream_url(user, ["room.1"]) + "&topic=room.1&topic=room.2")
    async with connect(app, link.path, query=link.query) as stream:
        assert (await stream.answer())[2]["topic"] == "room.2"


async def _change_password(user: User) -> None:
    user.set_password("another")
    await user.asave()


async def _deactivate(user: User) -> None:
    await User.objects.filter(pk=user.pk).aupdate(is_active=False)


async def _delete(user: User) -> None:
    await user.adelete()


async def _delete_softly(user: User) -> None:
    await User.objects.filter(pk=user.pk).aupdate(last_name="deleted")


class Living(UserManager[User]):
    """The default manager of a model with soft deletes, with which Django authenticates."""

    def get_queryset(self) -> Any:
        return super().get_queryset().exclude(last_name="deleted")


@pytest.mark.parametrize("happens", [_change_password, _deactivate, _delete, _delete_softly])
async def test_a_link_ends_with_what_it_rests_on(
    app: EventStreams,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[User], Awaitable[None]],
) -> None:
    manager = Living()
    manager.model = User
    monkeypatch.setattr(User._meta, "default_manager", manager)
    user = await alice()
    link = signed_stream_url(user)
    assert (await answer(app, link))[0] == 200
    await happens(user)
    assert await answer(app, link) == (401, "invalid_token")


async def test_a_link_ends_with_its_time(
    app: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = signed_stream_url(await alice(), max_age=60)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 58)
    assert (await answer(app, link))[0] == 200
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert await answer(app, link) == (401, "expired_token")


async def test_what_is_not_signed_by_this_site_for_this_purpose_opens_nothing(
    app: EventStreams,
) -> None:
    user = await alice()
    good = signed_stream_url(user)
    stream, token = good.split("?token=")
    headers = await cookies_of(user)  # not even for who is signed in
    with override_settings(SECRET_KEY="another"):
        foreign = signed_stream_url(user)
    forged = signing.dumps(
        {"user": str(user.pk), "topics": [], "until": 2**40, "auth": ""}, salt="other"
    )
    for bad in (
        foreign,
        f"{stream}?{urlencode({'token': forged})}",
        f"{stream}?token={token[:-1]}",
        f"{stream}?token=",
        f"{stream}?token=%00",
    ):
        assert await answer(app, bad, **headers) == (401, "invalid_token")


@pytest.mark.parametrize(
    ("signs", "opens", "is_good"),
    [
        (("old",), ("new", "old"), True),
        (("old",), ("new", "middle", "old"), True),
        (("old",), ("new",), False),
        (("old", "new"), ("new", "old"), True),
        (("new", "old"), ("old", "new"), True),
        (("new", "old"), ("old",), False),
    ],
)
async def test_a_link_outlives_the_secret_key_as_a_session_does(
    app: EventStreams, signs: tuple[str, ...], opens: tuple[str, ...], is_good: bool
) -> None:
    """Django's hash of the password that the link contains has been made with the key, too."""
    user = await alice()
    with override_settings(SECRET_KEY=signs[0], SECRET_KEY_FALLBACKS=signs[1:]):
        link = signed_stream_url(user)
    with override_settings(SECRET_KEY=opens[0], SECRET_KEY_FALLBACKS=opens[1:]):
        expected = (200, None) if is_good else (401, "invalid_token")
        assert await answer(app, link) == expected
        await _change_password(user)
        assert await answer(app, link) == (401, "invalid_token")


def failing(get_response: Any) -> Any:
    """A middleware that fails before the view."""

    def fail(request: Any) -> Any:
        raise RuntimeError("the database is away")

    return fail


def of_wsgi(path: str, query: str) -> dict[str, Any]:
    """Have a WSGI server's request answered; return what it was made of."""
    environ = RequestFactory().get(f"{path}?{query}").environ
    # gunicorn's and uWSGI's, which the access log may need when the request has ended.
    environ |= {"RAW_URI": f"{path}?{query}", "REQUEST_URI": f"{path}?{query}"}
    status: list[str] = []
    handler: Any = WSGIHandler()
    answer = handler(environ, lambda said, _: status.append(said))
    answer.close()
    assert status[0].startswith("500")
    assert environ["RAW_URI"] == environ["REQUEST_URI"]
    assert environ["RAW_URI"].startswith(path)
    return environ


async def test_a_link_opens_the_stream_by_djangos_test_clients_too() -> None:
    """The scope that its asynchronous client makes has text for the query."""
    link = await sync_to_async(signed_stream_url)(await alice())
    by_asgi = await AsyncClient().get(link)
    by_wsgi = await sync_to_async(Client().get)(link)
    assert (by_asgi.status_code, by_wsgi.status_code) == (200, 200)
    assert (await AsyncClient().get(f"{link}x")).status_code == 401


@pytest.mark.parametrize("where", ["a middleware", "the view"])
@pytest.mark.parametrize("way", ["wrapped", "unwrapped", "WSGI"])
@pytest.mark.parametrize("order", ["{0}&cursor=5", "cursor=5&{0}", "token=1&cursor=5&{0}"])
async def test_an_error_report_does_not_show_the_link(
    monkeypatch: pytest.MonkeyPatch, settings: Any, way: str, where: str, order: str
) -> None:
    """Whoever reads the report could open the stream; it shows the query and the variables of each frame."""
    if where == "a middleware":
        settings.MIDDLEWARE = [f"{__name__}.failing", *settings.MIDDLEWARE]
    link = await sync_to_async(signed_stream_url)(await alice(), ["room.7"])
    path, _, given = link.partition("?")
    query = order.format(given)
    reports: list[str] = []

    def fail(pk: str) -> None:
        raise RuntimeError("the database is away")

    def report(request: HttpRequest, **kwargs: Any) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.extend(
            [reporter.get_traceback_html(), reporter.get_traceback_text(), repr(request)]
        )
        reports.append(f"cursor {request.META} {getattr(request, 'scope', '')}")

    monkeypatch.setattr(links, "_find", fail)
    got_request_exception.connect(report)
    try:
        if way == "WSGI":
            reports.append(repr(await sync_to_async(of_wsgi)(path, query)))
        else:
            inner = get_asgi_application()
            app = EventStreams(inner) if way == "wrapped" else inner
            async with connect(app, path, query=query) as stream:
                assert (await stream.answer())[0] == 500
    finally:
        got_request_exception.disconnect(report)
    assert len(reports) >= 4
    for text in reports:
        assert "cursor" in text
        for secret in (given.partition("=")[2], unquote(given.partition("=")[2])):
            assert secret not in text


@pytest.mark.parametrize(
    ("arguments", "error", "names"),
    [
        ({"user": AnonymousUser()}, TypeError, "user"),
        ({"user": User(username="new")}, ValueError, "user"),
        ({"topics": "room.1"}, TypeError, "topics"),
        ({"topics": [""]}, ValueError, "topic"),
        ({"topics": [7]}, TypeError, "topic"),
        ({"topics": [f"room.{number}" for number in range(51)]}, ValueError, "topics"),
        ({"max_age": 0}, ValueError, "max_age"),
        ({"max_age": 86_401}, ValueError, "max_age"),
        ({"max_age": 1.5}, TypeError, "max_age"),
        ({"max_age": True}, TypeError, "max_age"),
    ],
)
async def test_a_wrong_argument_is_named(
    arguments: dict[str, Any], error: type[Exception], names: str
) -> None:
    user = await alice()
    with pytest.raises(error, match=f"^{names} must "):
        await sync_to_async(signed_stream_url)(**{"user": user, **arguments})
