"""What a page asks for without its user is no activity: an idle logout comes although the bell is on the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.asgi import get_asgi_application
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import sync_and_async_middleware

from sse_notify import anotify
from sse_notify.asgi.app import EventStreams
from sse_notify.asgi.exchange import MARK
from sse_notify.models import Notification
from tests.asgi.client import connect, cookies_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

BACKGROUND = ["stream", "state", "items"]
CACHE_CONTROL = {
    "stream": {"no-cache", "no-store", "no-transform"},
    "state": {"private", "no-cache"},
    "items": {"private", "no-store"},
}


@sync_and_async_middleware
def reads_the_session(get_response: Any) -> Any:
    """A middleware in both chains, which reads the session on the way out."""

    async def ask(request: Any) -> Any:
        response = await get_response(request)
        await request.session.aget("theme")
        return response

    def ask_here(request: Any) -> Any:
        response = get_response(request)
        request.session.get("theme")
        return response

    return ask if _is_async(get_response) else ask_here


@sync_and_async_middleware
def changes_the_session(get_response: Any) -> Any:
    async def ask(request: Any) -> Any:
        response = await get_response(request)
        await request.session.aset("theme", "dark")
        return response

    def ask_here(request: Any) -> Any:
        response = get_response(request)
        request.session["theme"] = "dark"
        return response

    return ask if _is_async(get_response) else ask_here


def _is_async(get_response: Callable[[Any], Any | Awaitable[Any]]) -> bool:
    from asgiref.sync import iscoroutinefunction

    return iscoroutinefunction(get_response)


@pytest.fixture(params=["wrapped", "wrapped, not marked", "inside Django"])
def ask(request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask for a name on one of the ways, as the user whose session ends soon; return headers, and whether it still does."""
    settings.SESSION_SAVE_EVERY_REQUEST = True
    if request.param == "wrapped, not marked":
        monkeypatch.delattr(import_module("sse_notify.views.stream").stream, MARK)

    async def ask(name: str, **more: str) -> tuple[dict[str, str], bool]:
        alice, _ = await User.objects.aget_or_create(username="alice")
        headers = {**await cookies_of(alice), **more}
        soon = timezone.now() + timedelta(minutes=5)
        await Session.objects.aupdate(expire_date=soon)
        app = get_asgi_application()
        if request.param != "inside Django":
            app = EventStreams(app)  # type: ignore[assignment]
        async with connect(app, reverse(f"sse_notify:{name}"), headers=headers) as answer:
            if name == "stream":
                await answer.until(b"hello")
            else:
                await answer.answer()
            assert answer.status == 200
            return answer.headers, (await Session.objects.alast()).expire_date == soon  # type: ignore[union-attr]

    return ask


@pytest.mark.parametrize("middleware", ["", "reads_the_session"])
@pytest.mark.parametrize("name", BACKGROUND)
async def test_what_a_page_asks_for_by_itself_renews_neither_the_session_nor_its_cookie(
    ask: Any, settings: Any, name: str, middleware: str
) -> None:
    if middleware:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.{middleware}"]
    headers, is_unchanged = await ask(name)
    assert is_unchanged
    assert "sessionid" not in headers.get("set-cookie", "")
    assert "cookie" in headers["vary"].lower()
    assert set(headers["cache-control"].split(", ")) == CACHE_CONTROL[name]


@pytest.mark.parametrize("name", BACKGROUND)
async def test_what_changes_the_session_saves_it(ask: Any, settings: Any, name: str) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.changes_the_session"]
    headers, is_unchanged = await ask(name)
    assert not is_unchanged
    assert "sessionid" in headers["set-cookie"]
    assert (await Session.objects.aget()).get_decoded()["theme"] == "dark"


async def test_what_the_user_asks_for_renews_the_session(ask: Any) -> None:
    headers, is_unchanged = await ask("list", accept="text/html")
    assert not is_unchanged
    assert "sessionid" in headers["set-cookie"]


async def test_a_session_that_is_over_still_loses_its_cookie(settings: Any, alice: User) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    headers = await cookies_of(alice)
    await Session.objects.all().adelete()
    app = EventStreams(get_asgi_application())
    for name in BACKGROUND:
        async with connect(app, reverse(f"sse_notify:{name}"), headers=headers) as answer:
            assert (await answer.answer())[0] == 401
        assert 'sessionid=""' in answer.headers["set-cookie"]


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "signed_cookies"])
async def test_every_engine_is_left_alone_and_saves_what_changed(
    settings: Any, alice: User, engine: str
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    client = Client()
    await sync_to_async(client.force_login)(alice)
    ask = sync_to_async(lambda: client.get(reverse("sse_notify:state")))
    assert "sessionid" not in (await ask()).cookies
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.changes_the_session"]
    client.handler.load_middleware()
    assert "sessionid" in (await ask()).cookies
    session = await sync_to_async(lambda: dict(client.session.items()))()
    assert session["theme"] == "dark"


async def test_a_token_of_the_session_from_state_opens_the_marks(
    settings: Any, alice: User
) -> None:
    """The token is made after the view, when the session was already left alone."""
    settings.SESSION_SAVE_EVERY_REQUEST = settings.CSRF_USE_SESSIONS = True

    def mark() -> int:
        client = Client(enforce_csrf_checks=True)
        client.force_login(alice)
        token = client.get(reverse("sse_notify:state")).json()["csrf"]
        headers = {"x-csrftoken": token}
        body, kind = '{"ids": []}', "application/json"
        where = reverse("sse_notify:read")
        return client.post(where, body, content_type=kind, headers=headers).status_code

    assert await sync_to_async(mark)() == 200


async def test_what_the_bell_marks_as_seen_by_itself_renews_nothing_and_is_saved(
    settings: Any, alice: User
) -> None:
    """It is the page that shows them for a second, whoever sits before it; the user's own marks renew the session."""
    settings.SESSION_SAVE_EVERY_REQUEST = True

    def mark(name: str, **body: Any) -> bool:
        client = Client(enforce_csrf_checks=True)
        client.force_login(alice)
        token = client.get(reverse("sse_notify:state")).json()["csrf"]
        Session.objects.update(expire_date=(soon := timezone.now() + timedelta(minutes=5)))
        answer = client.post(
            reverse(f"sse_notify:{name}"),
            body,
            content_type="application/json",
            headers={"x-csrftoken": token},
        )
        assert (answer.status_code, answer.json()["unseen"]) == (200, 0)
        is_left = set(Session.objects.values_list("expire_date", flat=True)) == {soon}
        assert ("sessionid" in answer.cookies) is not is_left
        return is_left

    def ask() -> None:
        for body in ({"up_to": 1}, {"ids": [row.pk]}, {"up_to": 0}):
            assert mark("seen", **body)
            assert Notification.objects.visible_to(alice).unseen().count() == 0
        assert not mark("read", up_to=1)

    row = await anotify(alice, "One")
    await sync_to_async(ask)()


@pytest.mark.parametrize(
    ("name", "method", "query", "status"),
    [
        ("seen", "post", "", 403),
        ("seen", "get", "", 405),
        ("state", "post", "", 405),
        ("items", "post", "", 405),
        ("items", "get", "limit=no", 400),
        ("items", "get", "&".join(f"x={number}" for number in range(1001)), 400),
        ("stream", "post", "", 405),
        ("stream", "get", "topic=nobodys", 403),
    ],
)
async def test_what_a_page_asks_for_by_itself_and_is_refused_renews_nothing_either(
    settings: Any, alice: User, name: str, method: str, query: str, status: int
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True

    def ask() -> None:
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        client.force_login(alice)
        soon = timezone.now() + timedelta(minutes=5)
        Session.objects.update(expire_date=soon)
        answer = getattr(client, method)(f"{reverse(f'sse_notify:{name}')}?{query}")
        assert answer.status_code == status
        assert "sessionid" not in answer.cookies
        assert Session.objects.get().expire_date == soon

    await sync_to_async(ask)()


async def test_seen_checks_the_csrf_token_without_the_middleware_and_with_it(alice: User) -> None:
    def ask() -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(alice)
        where = reverse("sse_notify:seen")
        assert client.post(where, {"up_to": 0}).status_code == 403
        token = client.get(reverse("sse_notify:state")).json()["csrf"]
        headers = {"x-csrftoken": token, "accept": "application/json"}
        assert client.post(where, {"up_to": 0}, headers=headers).status_code == 200

    await sync_to_async(ask)()
