"""Handshakes that wait share the queries for their sessions and users, and nobody gets in whom Django would refuse."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import User
from django.contrib.sessions.middleware import SessionMiddleware
from django.contrib.sessions.models import Session
from django.core.asgi import get_asgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from sse_notify.access import logins
from sse_notify.access.logins import Logins
from sse_notify.asgi.app import EventStreams
from sse_notify.concurrency import threadpool
from tests.asgi.client import GUARD, Connection, connect, cookies_of, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

MODEL = "django.contrib.auth.backends.ModelBackend"


class OnlyActive(ModelBackend):
    """A backend that loads users in its own way."""

    def get_user(self, user_id: Any) -> Any:
        return None if user_id is None else super().get_user(user_id)


class Chosen(ModelBackend):
    """A backend that loads users as Django does, and refuses some."""

    def user_can_authenticate(self, user: Any) -> bool:
        return bool(user.username != "user1")


class Thread:
    """The one thread of the handshakes: it notes its queries, and can be kept busy."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    def of(self, table: str) -> int:
        return sum(f'FROM "{table}"' in sql for sql in self.queries)

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        goes_on, arrived = threading.Event(), threading.Event()

        def wait() -> None:
            if self._note not in connection.execute_wrappers:
                connection.execute_wrappers.append(self._note)
            arrived.set()
            assert goes_on.wait(GUARD)

        waiting = asyncio.ensure_future(threadpool.streams(wait))
        await asyncio.to_thread(arrived.wait, GUARD)
        try:
            yield
        finally:
            goes_on.set()
            await waiting

    def _note(self, execute: Any, sql: str, *args: Any) -> Any:
        self.queries.append(sql.replace("`", '"'))
        return execute(sql, *args)


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[Thread]:
    pool = threadpool.Pool("one", lambda: 1)
    monkeypatch.setattr(threadpool, "streams", pool)
    yield Thread()
    pool.submit(connection.execute_wrappers.clear).result(GUARD)


async def signed_in(number: int) -> list[dict[str, str]]:
    """Return the headers of new users, user0 and so on."""
    return [
        await cookies_of(await User.objects.acreate(username=f"user{index}"))
        for index in range(number)
    ]


async def ask_together(thread: Thread, headers: list[dict[str, str]]) -> list[int]:
    """Return the statuses of handshakes that wait for a thread together."""
    app = EventStreams(get_asgi_application())
    async with AsyncExitStack() as stack:
        async with thread.busy():
            asked: list[Connection] = []
            for number, each in enumerate(headers, start=1):
                asked.append(await stack.enter_async_context(connect(app, headers=each)))
                await until(lambda number=number: app._waiting == number)  # type: ignore[misc]
        for connected in asked:
            await until(lambda connected=connected: connected.sent)  # type: ignore[misc]
        return [each.status for each in asked]


async def test_those_who_wait_together_take_two_queries(thread: Thread) -> None:
    assert await ask_together(thread, await signed_in(5)) == [200] * 5
    assert (thread.of("django_session"), thread.of("auth_user")) == (1, 1)
    assert len(thread.queries) == 2


async def test_requests_share_no_user(thread: Thread) -> None:
    """What a project keeps at ``request.user`` is of one request."""
    (alice,) = await signed_in(1)
    assert await ask_together(thread, [alice, alice]) == [200, 200]
    assert (thread.of("django_session"), thread.of("auth_user")) == (1, 2)


def change_session(index: int, **changes: Any) -> None:
    row = Session.objects.get(session_key=keys()[index])
    store = import_module("django.contrib.sessions.backends.db").SessionStore(row.session_key)
    store.update(changes)
    store.save()


def keys() -> list[str]:
    """Return the sessions' keys in the order of the users."""
    by_user = {row.get_decoded()["_auth_user_id"]: row.pk for row in Session.objects.all()}
    return [
        by_user[str(pk)] for pk in User.objects.order_by("username").values_list("pk", flat=True)
    ]


REFUSED: dict[str, Callable[[], Any]] = {
    "the session has expired": lambda: Session.objects.filter(pk=keys()[1]).update(
        expire_date=timezone.now()
    ),
    "the session is gone": lambda: Session.objects.filter(pk=keys()[1]).delete(),
    "the session is damaged": lambda: Session.objects.filter(pk=keys()[1]).update(session_data="x"),
    "another password": lambda: User.objects.filter(username="user1").update(password="other"),
    "no hash": lambda: change_session(1, **{HASH_SESSION_KEY: ""}),
    "inactive": lambda: User.objects.filter(username="user1").update(is_active=False),
    "an unknown backend": lambda: change_session(1, **{BACKEND_SESSION_KEY: f"{__name__}.Chosen"}),
    "no backend": lambda: change_session(1, **{BACKEND_SESSION_KEY: ""}),
    "the user is gone": lambda: User.objects.get(username="user1").delete(),
    "a user that cannot be": lambda: change_session(1, _auth_user_id="x"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
async def test_whom_django_refuses_is_refused_beside_others(thread: Thread, what: str) -> None:
    headers = await signed_in(3)
    await sync_to_async(REFUSED[what])()
    statuses = await ask_together(thread, headers)
    # Django fails for a session whose user cannot be a key.
    assert statuses == [200, 500 if "cannot be" in what else 401, 200]


async def test_a_backend_that_refuses_a_user_is_asked(thread: Thread, settings: Any) -> None:
    headers = await signed_in(3)
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Chosen"]
    for index in range(3):
        await sync_to_async(change_session)(index, **{BACKEND_SESSION_KEY: f"{__name__}.Chosen"})
    assert await ask_together(thread, headers) == [200, 401, 200]


async def test_a_backend_that_loads_users_itself_does_so(thread: Thread, settings: Any) -> None:
    headers = await signed_in(2)
    settings.AUTHENTICATION_BACKENDS = [MODEL, f"{__name__}.OnlyActive"]
    await sync_to_async(change_session)(1, **{BACKEND_SESSION_KEY: f"{__name__}.OnlyActive"})
    assert await ask_together(thread, headers) == [200, 200]
    assert (thread.of("django_session"), thread.of("auth_user")) == (1, 2)


async def test_a_session_of_an_older_secret_is_left_to_django(
    thread: Thread, settings: Any
) -> None:
    headers = await signed_in(2)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a newer secret"
    assert await ask_together(thread, headers) == [200, 200]
    assert await sync_to_async(Session.objects.count)() == 2


@pytest.mark.parametrize("engine", ["cached_db", "cache", "signed_cookies"])
async def test_other_engines_load_their_sessions_themselves(
    thread: Thread, settings: Any, engine: str
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    assert await ask_together(thread, await signed_in(2)) == [200, 200]
    assert thread.of("auth_user") == 2


async def test_what_changed_since_it_was_loaded_is_decided_anew(
    thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the loading and the decision, without a word to anybody."""
    headers = await signed_in(2)
    view: Any = import_module("sse_notify.views.stream")
    make_stream = view.make_stream

    def change_and_make(subscriber: Any) -> Any:
        User.objects.filter(username="user1").update(is_active=False)
        return make_stream(subscriber)

    monkeypatch.setattr(view, "make_stream", change_and_make)
    assert await ask_together(thread, headers) == [200, 401]


@pytest.mark.parametrize("what", ["stale", "failed"])
async def test_what_is_not_loaded_or_too_old_is_loaded_by_django(
    thread: Thread, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "stale":
        monkeypatch.setattr(logins, "FRESH_SECONDS", 0.0)
    else:
        monkeypatch.setattr(logins, "_load_sessions", lambda *args: 1 / 0)
    assert await ask_together(thread, await signed_in(2)) == [200, 200]
    assert thread.of("auth_user") >= 2


def request_of(cookies: str) -> HttpRequest:
    request = RequestFactory().get("/", headers={"cookie": cookies})
    chain = AuthenticationMiddleware(lambda request: HttpResponse())
    SessionMiddleware(chain)(request)
    return request


async def test_django_finds_what_was_put_there(django_assert_num_queries: Any) -> None:
    """The names ``_session_cache`` and ``_cached_user`` are Django's own."""
    await signed_in(1)

    def look() -> None:
        cookies = f"sessionid={keys()[0]}"
        login, request = Logins().add(cookies), request_of(cookies)
        with django_assert_num_queries(2):
            login.prepare(request)
        with django_assert_num_queries(0):
            assert request.user.username == "user0"
            assert request.session["_auth_user_id"]

    await sync_to_async(look)()


@pytest.mark.parametrize("read", ["session", "user"])
async def test_what_a_middleware_has_read_is_not_replaced(
    read: str, django_assert_num_queries: Any
) -> None:
    await signed_in(1)

    def look() -> None:
        cookies = f"sessionid={keys()[0]}"
        login, request = Logins().add(cookies), request_of(cookies)
        found = request.session["_auth_user_id"] if read == "session" else request.user.pk
        with django_assert_num_queries(0):
            login.prepare(request)
        assert found in (request.session["_auth_user_id"], request.user.pk)

    await sync_to_async(look)()


async def test_who_loads_for_long_keeps_nobody_else_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "WAIT_SECONDS", 0.0)
    await signed_in(1)

    def look() -> None:
        cookies = f"sessionid={keys()[0]}"
        everybody = Logins()
        login, request = everybody.add(cookies), request_of(cookies)
        with everybody.loading:
            login.prepare(request)
        assert not hasattr(request, "_cached_user")
        assert request.user.is_authenticated

    await sync_to_async(look)()
