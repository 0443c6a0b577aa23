"""What the tests in this folder share."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.asgi.conftest import _close_the_connection_of_async_code, _no_places_of_other_tests

__all__ = ["_close_the_connection_of_async_code", "_no_places_of_other_tests"]


@pytest.fixture
def client(alice: User) -> Client:
    """A browser in which alice is signed in."""
    client = Client()
    client.force_login(alice)
    return client
