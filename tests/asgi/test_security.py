"""What a site needs to be safe, over HTTP: other origins, forged requests, caches, and methods that must not change anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.core.cache import cache
from django.test import Client, override_settings
from django.urls import reverse

from sse_notify import Progress, notify, topics, urls
from sse_notify.asgi.app import EventStreams
from sse_notify.log.announcing import announce
from sse_notify.models import Exclusion, Inbox, LogHead, Mute, Notification, Receipt
from tests.asgi.client import connect, cookies_of

pytestmark = [pytest.mark.django_db(transaction=True)]

#: Every address of the app, by name.
NAMES = [pattern.name for pattern in urls.urlpatterns]
MARKS = ["read", "unread", "seen", "archive", "unarchive", "cancel"]
STREAM = "/notifications/stream/"


def url(name: str) -> str:
    return reverse(f"sse_notify:{name}")


def signed_in(user: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


def everything() -> list[Any]:
    models: list[Any] = [Notification, Inbox, Receipt, LogHead, Exclusion, Mute, User]
    return [list(model.objects.order_by("pk").values()) for model in models]


# --- methods and forged requests ---------------------------------------------------------------------------------------------


def test_every_address_is_covered_here() -> None:
    assert set(NAMES) == {
        "list",
        "stream",
        "items",
        "state",
        "preferences",
        "health-live",
        "health-ready",
        *MARKS,
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_a_safe_method_changes_nothing_at_any_address(alice: User, name: str, method: str) -> None:
    row = notify(alice, "Hello")
    announce()
    client = signed_in(alice)
    before = everything()
    query = f"?ids={row.pk}&up_to=1&cursor=0&state=unread&_method=POST"
    override = {"x-http-method-override": "POST"}
    response = getattr(client, method)(url(name) + query, headers=override)
    if response.streaming:
        b"".join(response)
    assert response.status_code < 500
    assert everything() == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("origin", [None, "https://evil.example"])
def test_a_post_that_another_site_forged_changes_nothing(
    alice: User, name: str, origin: str | None
) -> None:
    """The browser adds the cookies by itself; what the other site cannot know is the token, and its origin it cannot hide."""
    row = notify(alice, "Hello")
    work = Progress(alice, "Export").__enter__()
    announce()
    ids = [row.pk, work.id]
    client = signed_in(alice, enforce_csrf_checks=True)
    token = client.get(url("state")).json()["csrf"]
    before = everything()
    headers = {"origin": origin} if origin else {}
    for body, kind in (
        (f"ids={row.pk}&ids={work.id}", "application/x-www-form-urlencoded"),
        (json.dumps({"ids": ids}), "application/json"),
        (
            json.dumps({"ids": ids}),
            "text/plain",
        ),  # what a form of another site can send without a preflight
    ):
        assert client.post(url(name), body, content_type=kind, headers=headers).status_code in (
            403,
            405,
        )
        if origin:
            headers["x-csrftoken"] = token
            assert client.post(url(name), body, content_type=kind, headers=headers).status_code in (
                403,
                405,
            )
    assert everything() == before


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"ids": ' + b"[" * 100_000,
        b'{"ids": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
        b'{"ids": [' + b"9" * 10_000 + b"]}",
        b'{"ids": [1e400]}',
        b'{"up_to": NaN}',
        b'{"ids": [' + b",".join([b"1"] * 10_000) + b"]}",
        b'{"client": "' + b"x" * 100_000 + b'", "ids": []}',
        b'{"ids": "\\ud800"}',
        b"\xff\xfe\x00",
        b"x" * 3_000_000,
    ],
    ids=[
        "deep",
        "deep list",
        "deep object",
        "long number",
        "infinite",
        "NaN",
        "many",
        "client",
        "surrogate",
        "no text",
        "3 MB",
    ],
)
def test_a_hostile_body_is_400(alice: User, name: str, body: bytes) -> None:
    response = signed_in(alice).post(url(name), body, content_type="application/json")
    assert response.status_code == 400
    assert not Inbox.objects.exists()


def test_a_form_with_too_many_fields_is_400(alice: User) -> None:
    assert (
        signed_in(alice).post(url("read"), {f"f{n}": "" for n in range(1_001)}).status_code == 400
    )


# --- bombs at the handshake --------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("limit", [1000, None], ids=["Django's limit", "without a limit"])
async def test_ten_thousand_topics_are_refused_without_a_look_at_one(
    wrapped: bool, limit: int | None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = limit
    asked: list[str] = []
    monkeypatch.setattr(topics, "_registrations", {})

    @topics.topic("room.<int:n>")
    def can_watch(user: Any, n: int) -> bool:
        asked.append(str(n))
        return True

    headers = await cookies_of(await User.objects.acreate(username="alice"))
    app: Any = get_asgi_application()
    app = EventStreams(app) if wrapped else app
    for query in (
        "&".join(f"topic=room.{n}" for n in range(10_000)),
        "&".join(f"topic=room.{n}" for n in range(900)),
    ):
        async with connect(app, query=query, headers=headers) as stream:
            assert (await stream.answer())[0] == 400
    async with connect(app, query="topic=room." + "9" * 100_000, headers=headers) as stream:
        assert (await stream.answer())[0] == 403
    assert asked == []


@pytest.mark.django_db
@pytest.mark.asyncio
async def test_too_many_parameters_are_400_also_if_the_request_names_a_charset() -> None:
    """Django then counts them while it makes the request: it was raised to the server."""
    query = "&".join(f"x={n}" for n in range(1001))
    headers = {"content-type": "text/plain; charset=utf-7"}
    async with connect(
        EventStreams(get_asgi_application()), query=query, headers=headers
    ) as stream:
        assert (await stream.answer())[0] == 400


# --- other origins -----------------------------------------------------------------------------------------------------------

SHOP = "https://shop.example"
CORS = {
    "CORS_ALLOWED_ORIGINS": [SHOP],
    "CORS_ALLOW_CREDENTIALS": True,
    "CORS_URLS_REGEX": r"^/notifications/.*$",
    "CORS_ALLOW_HEADERS": (
        "accept",
        "cache-control",
        "content-type",
        "last-event-id",
        "x-csrftoken",
    ),
}


@pytest.fixture
def cors(settings: Any) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "corsheaders"]
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    for name, value in CORS.items():
        setattr(settings, name, value)


@pytest.fixture(params=["wrapped", "inside Django"])
def app(request: pytest.FixtureRequest, cors: None) -> Any:
    application = get_asgi_application()
    return EventStreams(application) if request.param == "wrapped" else application


def cors_headers(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


ALLOWED = {"access-control-allow-origin": SHOP, "access-control-allow-credentials": "true"}


@pytest.mark.asyncio
async def test_an_allowed_origin_may_read_the_stream_with_the_users_cookies_and_no_other_may(
    app: Any,
) -> None:
    headers = await cookies_of(await User.objects.acreate(username="alice"))
    async with connect(app, headers={**headers, "origin": SHOP}) as stream:
        await stream.until(b"hello")
        assert cors_headers(stream.headers) == ALLOWED
        # So that no cache hands this answer to another origin.
        assert "origin" in stream.headers["vary"].lower()
    for other in (
        "https://evil.example",
        "https://shop.example.evil.example",
        "http://shop.example",
        "null",
    ):
        async with connect(app, headers={**headers, "origin": other}) as stream:
            await stream.until(b"hello")
            assert cors_headers(stream.headers) == {}
            assert "origin" in stream.headers["vary"].lower()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "status"),
    [("", 401), ("topic=secret", 403), ("&".join(["topic=a", "topic=b"] * 30), 403)],
)
async def test_refusals_carry_the_headers_too_so_that_a_page_can_tell_them_from_a_broken_network(
    app: Any, query: str, status: int
) -> None:
    headers = (
        await cookies_of(await User.objects.acreate(username="alice")) if status != 401 else {}
    )
    async with connect(app, query=query, headers={**headers, "origin": SHOP}) as stream:
        got, got_headers, body = await stream.answer()
    assert got == status
    assert body["error"] in ("unauthenticated", "forbidden")
    assert cors_headers(got_headers) == ALLOWED


@pytest.mark.asyncio
async def test_a_preflight_is_answered_for_an_allowed_origin_alone(app: Any) -> None:
    asks = {
        "access-control-request-method": "GET",
        "access-control-request-headers": "last-event-id,cache-control",
    }
    async with connect(app, method="OPTIONS", headers={"origin": SHOP, **asks}) as stream:
        status, headers, _ = await stream.answer()
    assert status == 200
    assert headers.items() >= ALLOWED.items()
    assert {"last-event-id", "cache-control"} <= set(
        headers["access-control-allow-headers"].split(", ")
    )
    async with connect(
        app, method="OPTIONS", headers={"origin": "https://evil.example", **asks}
    ) as stream:
        assert cors_headers((await stream.answer())[1]) == {}


@pytest.mark.asyncio
async def test_where_every_origin_is_allowed_none_is_with_the_users_cookies(
    app: Any, settings: Any
) -> None:
    (
        settings.CORS_ALLOWED_ORIGINS,
        settings.CORS_ALLOW_CREDENTIALS,
        settings.CORS_ALLOW_ALL_ORIGINS,
    ) = [], False, True
    headers = await cookies_of(await User.objects.acreate(username="alice"))
    # The middleware reads its settings when it is made.
    application: Any = get_asgi_application()
    async with connect(
        type(app)(application) if isinstance(app, EventStreams) else application,
        headers={**headers, "origin": SHOP},
    ) as stream:
        await stream.until(b"hello")
        assert cors_headers(stream.headers) == {"access-control-allow-origin": "*"}


@pytest.mark.asyncio
async def test_without_a_word_in_the_settings_no_other_origin_reads_anything() -> None:
    headers = await cookies_of(await User.objects.acreate(username="alice"))
    app = EventStreams(get_asgi_application())
    async with connect(app, headers={**headers, "origin": SHOP}) as stream:
        await stream.until(b"hello")
        assert cors_headers(stream.headers) == {}
    async with connect(
        app, method="OPTIONS", headers={"origin": SHOP, "access-control-request-method": "GET"}
    ) as stream:
        assert (await stream.answer())[0] == 405


# --- users without an account ------------------------------------------------------------------------------------------------


class TokenUser:
    """A user whom a signed token describes, without a row; its key is that of somebody's account."""

    is_authenticated = is_active = is_staff = True
    is_anonymous = False
    groups = property(lambda self: pytest.fail("who is not in the database has no groups"))

    def __init__(self, pk: Any) -> None:
        self.id = self.pk = pk

    def __iter__(self) -> Any:
        raise AssertionError("it is one user")


def signs_in_by_token(get_response: Any) -> Any:
    def ask(request: Any) -> Any:
        request.user = TokenUser(int(request.headers["x-user"]))
        return get_response(request)

    return ask


@pytest.mark.parametrize("name", [name for name in NAMES if "health" not in str(name)])
def test_a_user_without_a_row_is_refused_at_every_address(
    alice: User, settings: Any, name: str
) -> None:
    """It read and marked the inbox of the account with the same key, or had an error of the server."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.signs_in_by_token"]
    row = notify(alice, "For Alice")
    announce()
    before, client = everything(), Client(headers={"x-user": str(alice.pk)})
    body = json.dumps({"ids": [row.pk]})
    answers = [client.post(url(name), body, content_type="application/json")]
    if name not in MARKS:
        answers = [client.get(url(name)), *(answers if name == "preferences" else ())]
    for answer in answers:
        assert answer.status_code == 403
        assert b"For Alice" not in answer.content
        if name not in ("list", "preferences"):
            assert answer.json()["error"] == "forbidden"
    assert everything() == before


# --- caches ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shared_cache(settings: Any) -> Iterator[None]:
    """Django's cache of whole answers, as greedy as it can be made."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": "security",
        }
    }
    settings.CACHE_MIDDLEWARE_SECONDS = 3600
    update, fetch = (
        f"django.middleware.cache.{name}CacheMiddleware" for name in ("Update", "FetchFrom")
    )
    settings.MIDDLEWARE = [update, *settings.MIDDLEWARE, fetch]
    cache.clear()
    yield
    cache.clear()


def stored() -> int:
    return len(cache._cache)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("name", NAMES)
def test_no_answer_is_kept_by_a_cache_that_others_share(alice: User, bob: User, name: str) -> None:
    notify(alice, "For Alice")
    announce()
    # The cache works: what is not private it keeps.
    assert Client().get("/admin/login/").status_code == 200
    clients = [signed_in(alice), signed_in(bob), Client()]
    before = stored()
    for method in ("get", "head", "post"):
        for client in clients:
            response = getattr(client, method)(url(name))
            body = b"".join(response) if response.streaming else response.content
            assert not (client is not clients[0] and b"For Alice" in body)
            if method == "get" and response.status_code == 200:
                assert {"private", "no-store"} & {
                    word.strip() for word in response["Cache-Control"].split(",")
                }
                assert name.startswith("health-") or "Cookie" in response["Vary"], (
                    "who asks makes a difference"
                )
    assert stored() == before


@pytest.mark.usefixtures("shared_cache")
@pytest.mark.asyncio
async def test_a_stream_is_kept_by_no_cache(settings: Any) -> None:
    user = await User.objects.acreate(username="alice")
    before = stored()
    for app in (EventStreams(get_asgi_application()), get_asgi_application()):
        async with connect(app, headers=await cookies_of(user)) as stream:
            await stream.until(b"hello")
            assert "no-store" in stream.headers["cache-control"]
            assert "cookie" in stream.headers["vary"].lower()
        async with connect(app) as stream:
            assert (await stream.answer())[0] == 401
    assert await sync_to_async(stored)() == before


def test_the_cache_of_these_tests_keeps_what_is_public(
    shared_cache: None, alice: User, settings: Any
) -> None:
    """Otherwise the tests above could not fail."""
    from django.http import HttpResponse

    from tests import urls as project

    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": [*project.urlpatterns]})
    from django.urls import path

    settings.ROOT_URLCONF.urlpatterns.append(
        path("public/", lambda request: HttpResponse("public"))
    )
    before = stored()
    assert Client().get("/public/").content == b"public"
    assert stored() > before


@override_settings(SSE_NOTIFY={})
def test_the_etag_of_one_users_state_is_not_anothers(alice: User, bob: User) -> None:
    tags = {signed_in(user).get(url("state"))["ETag"] for user in (alice, bob)}
    assert len(tags) == 2
    tag = signed_in(alice).get(url("state"))["ETag"]
    assert signed_in(bob).get(url("state"), headers={"if-none-match": tag}).status_code == 200
