"""What the tests in this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asgiref.sync import SyncToAsync
from django.db import connections


@pytest.fixture(autouse=True, scope="session")
def _close_the_connection_of_async_code(django_db_setup: None) -> Iterator[None]:
    """Async code outside a request runs its queries in one thread, whose connection would keep the database from being dropped."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
