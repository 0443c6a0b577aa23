"""What load balancers are told. That it turns false on a real server that is ending is in ``tests/servers/test_operations.py``."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import redis
from django.db import OperationalError
from django.test import Client, override_settings
from django.urls import reverse

from sse_notify.bus import publisher
from sse_notify.streaming.limits import admission
from sse_notify.views import health
from tests.support import GUARD
from tests.support.processes import free_port

LAYERS = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
}


def ask(name: str = "ready", **query: str) -> tuple[int, dict[str, Any]]:
    response = Client().get(reverse(f"sse_notify:health-{name}"), query)
    assert response["Cache-Control"] == "no-store"
    return response.status_code, response.json()


@pytest.mark.django_db
@override_settings(MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                               "django.contrib.auth.middleware.AuthenticationMiddleware",
                               "django.contrib.auth.middleware.LoginRequiredMiddleware"])  # fmt: skip
def test_a_process_that_works_is_alive_and_ready_for_anybody_who_asks() -> None:
    assert ask("live") == (200, {"status": "ok"})
    assert ask() == (200, {"status": "ready", "database": "ok", "layer": "none"})
    assert Client().head(reverse("sse_notify:health-ready")).status_code == 200
    assert Client().post(reverse("sse_notify:health-ready")).status_code == 405


def test_a_process_that_ends_is_alive_and_not_ready_and_asks_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "draining", True)
    assert ask() == (503, {"status": "draining"})
    assert ask("live")[0] == 200


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_or_hangs_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask()[1]["database"] == "ok", "over a connection of its own"
    away = (503, {"status": "unavailable", "database": "unreachable", "layer": "none"})

    def refuse() -> None:
        raise OperationalError("away")

    monkeypatch.setattr(health, "get_position", refuse)
    assert ask() == away
    goes_on = threading.Event()
    asked = []

    def hang() -> None:
        asked.append(1)
        goes_on.wait(60)

    monkeypatch.setattr(health, "get_position", hang)
    monkeypatch.setattr(health, "SECONDS", 0.05)
    assert [ask(), ask(), ask()] == [away] * 3
    assert asked == [1], "those that come meanwhile wait for the first and cost nothing more"
    goes_on.set()
    monkeypatch.undo()
    assert ask()[0] == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("backend", LAYERS)
def test_a_layer_that_is_away_is_told_and_counts_where_that_is_asked_for(
    redis_url: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def layer(url: str) -> dict[str, Any]:
        return {"default": {"BACKEND": LAYERS[backend], "CONFIG": {"hosts": [url]}}}

    def receiving() -> set[asyncio.Task[Any]]:
        name = "RedisSingleShardConnection._do_receiving"
        tasks = asyncio.all_tasks(publisher.senders_loop())
        return {task for task in tasks if getattr(task.get_coro(), "__qualname__", "") == name}

    before = receiving()  # of the layers of other tests
    monkeypatch.setattr(health, "SECONDS", GUARD)  # however slow the machine is in this moment
    with override_settings(CHANNEL_LAYERS=layer(redis_url)):
        assert ask() == (200, {"status": "ready", "database": "ok", "layer": "ok"})
        assert ask(require="layer")[0] == 200
        # Nobody listens any more.
        with redis.Redis.from_url(redis_url) as connection:
            while connection.pubsub_channels("*sse_notify.answers*"):
                pass
    monkeypatch.setattr(health, "SECONDS", 0.5)
    with override_settings(CHANNEL_LAYERS=layer(f"redis://127.0.0.1:{free_port()}/0")):
        assert ask() == (200, {"status": "degraded", "database": "ok", "layer": "unreachable"})
        assert ask(require="layer") == (
            503,
            {"status": "unavailable", "database": "ok", "layer": "unreachable"},
        )
        # Nobody goes on trying by themselves: the check opened no connection that receives.
        while receiving() - before:
            pass
