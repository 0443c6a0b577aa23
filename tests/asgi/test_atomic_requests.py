"""Projects whose views run inside transactions: what a view's request has open is no test's transaction, and streams outlive it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.db import connections, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import Client, override_settings
from django.urls import include, path

from sse_notify import EventStreamResponse, notify
from sse_notify.asgi.app import EventStreams
from sse_notify.streaming.limits import admission
from sse_notify.views import health
from tests.asgi.client import GUARD, connect, cookies_of, events, until

pytestmark = [
    pytest.mark.django_db(transaction=True, databases="__all__"),
    pytest.mark.asyncio,
    pytest.mark.urls(__name__),
]


class Rows:
    """A synchronous iterator that queries, says so, and goes on when it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.goes_on = threading.Event()
        self.connections: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        yield f"{self.name} {User.objects.count()}"
        self.connections.append(connections["default"])
        assert self.goes_on.wait(GUARD)
        yield f"{self.name} ends"


#: The iterators of the test at hand, by name.
made: dict[str, Rows] = {}


def rows(request: HttpRequest, name: str) -> HttpResponseBase:
    assert transaction.get_connection().in_atomic_block
    made[name] = Rows(name)
    return EventStreamResponse(made[name])


urlpatterns = [path("rows/<str:name>/", rows), path("notifications/", include("sse_notify.urls"))]


@pytest.fixture(params=["wrapped", "inside Django"])
def app(request: pytest.FixtureRequest) -> Any:
    inner = get_asgi_application()
    return EventStreams(inner) if request.param == "wrapped" else inner


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


@pytest.fixture(scope="module", autouse=True)
def _other(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have a database beside the one that has the log. It is empty, so it passes for a mirror, which no test empties."""
    name = str(tmp_path_factory.mktemp("other") / "other.sqlite3")
    other = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "TEST": {"MIRROR": "default"}}
    configured = connections.configure_settings(
        {"default": dict(connections.settings["default"]), "other": other}
    )
    connections.settings["other"] = configured["other"]
    yield
    connections["other"].close()
    del connections["other"], connections.settings["other"]


@pytest.fixture
def atomic_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has a transaction in the other database, and none in that of the log."""
    monkeypatch.setitem(connections.settings["other"], "ATOMIC_REQUESTS", True)


@pytest.fixture
def shared_thread() -> Iterator[None]:
    """The one thread that code outside a request shares is held by something else."""
    goes_on = threading.Event()
    held = SyncToAsync.single_thread_executor.submit(goes_on.wait, GUARD)
    yield
    goes_on.set()
    assert held.result()


@pytest.mark.usefixtures("atomic_requests")
async def test_an_iterator_that_waits_holds_up_no_other(app: Any) -> None:
    """Each has a thread of its own, and a connection that ends with it."""
    async with connect(app, "/rows/first/") as first, connect(app, "/rows/second/") as second:
        await first.until(b"first 0")
        await second.until(b"second 0")
        made["second"].goes_on.set()
        assert (await second.answer())[2].endswith(b"data: second ends\n\n")
        made["first"].goes_on.set()
        assert (await first.answer())[2].endswith(b"data: first ends\n\n")
    used = [connection for name in ("first", "second") for connection in made[name].connections]
    assert len({id(connection) for connection in used}) == 2
    assert [connection.connection for connection in used] == [None, None]
    assert admission.total == 0


@pytest.mark.usefixtures("atomic_elsewhere")
async def test_a_transaction_of_another_database_leaves_streams_on_threads_of_their_own(
    app: Any, request: Any
) -> None:
    """The handshake, the replay and the hub: whatever code of the project holds the thread that all of it shares."""
    user = await User.objects.acreate(username="alice")
    headers = await cookies_of(user)

    def send(title: str) -> None:
        notify(user, title)
        connections.close_all()

    await asyncio.to_thread(send, "Missed")
    request.getfixturevalue("shared_thread")
    async with connect(app, query="cursor=0", headers=headers) as stream:
        await stream.until(b"Missed")
        await asyncio.to_thread(send, "Live")
        body = await stream.until(b"Live")
    assert [data["title"] for name, data, _ in events(body) if name == "notification"] == [
        "Missed",
        "Live",
    ]
    await until(lambda: admission.total == 0)


@pytest.mark.usefixtures("atomic_elsewhere")
@override_settings(MIDDLEWARE=[])
async def test_a_transaction_of_another_database_has_the_health_page_wait_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(health, "get_position", lambda: goes_on.wait(GUARD))
    monkeypatch.setattr(health, "SECONDS", 0.05)

    def ask() -> int:
        status = Client().get("/notifications/health/ready/").status_code
        connections.close_all()
        return status

    assert await asyncio.to_thread(ask) == 503
    goes_on.set()
