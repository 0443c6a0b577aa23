"""What the tests in this folder share."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.db import connections

from sse_notify.signals import stream_opened
from sse_notify.streaming import generator
from sse_notify.streaming.limits import admission
from tests.support import GUARD


@pytest.fixture(autouse=True, scope="session")
def _close_the_connection_of_async_code(
    django_db_setup: None, django_db_blocker: Any
) -> Iterator[None]:
    """Async code outside a request runs its queries in one thread, whose connection would keep the database from being dropped.

    So would that of a thread that has ended, until the garbage collector finds it. What is open after that is a fault of a test or of
    the package, and the error shows what it did last.
    """
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
    gc.collect()
    connection = connections["default"]
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock():
            deadline = time.monotonic() + GUARD
            while (others := _others(connection)) and time.monotonic() < deadline:
                time.sleep(0.05)  # PostgreSQL tells nobody
        assert not others, "connections that nobody closed"


def _others(connection: Any) -> list[Any]:
    """Who else is connected to the tests' database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT backend_type, state, state_change, query FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        found: list[Any] = cursor.fetchall()
        return found


@pytest.fixture(autouse=True)
def _no_opening_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no stream begin with a comment because the machine is slow."""
    monkeypatch.setattr(generator, "OPENING_SECONDS", 600.0)


@pytest.fixture(autouse=True)
def _no_places_of_other_tests() -> None:
    """Free the places of streams that other tests of this process made and never closed."""
    if admission.total:
        gc.collect()


@pytest.fixture
def joined() -> Iterator[asyncio.Event]:
    """Set when a stream has joined its hub, which is after its ``hello``: from then on it gets what is only told live."""
    event = asyncio.Event()

    def hear(**_: Any) -> None:
        event.set()

    stream_opened.connect(hear)
    yield event
    stream_opened.disconnect(hear)
