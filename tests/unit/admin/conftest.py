"""What the tests of the admin share."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.fixture
def carol() -> User:
    """Return a superuser."""
    return User.objects.create_superuser("carol")


@pytest.fixture
def client(carol: User) -> Client:
    """Return a browser in which carol is signed in."""
    client = Client()
    client.force_login(carol)
    return client
