"""Fixtures for the demo's own tests."""

from __future__ import annotations

import os

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

# A test process has one settings module, and in the main run it is another.
collect_ignore_glob = (
    [] if os.environ.get("DJANGO_SETTINGS_MODULE") == "demo_project.settings" else ["test_*.py"]
)


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Settings) -> None:
    # Hashing slowly is for real passwords.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def people(db: None) -> dict[str, User]:
    """The demo's users and content, as ``setup_demo`` makes them; by name."""
    from demo_project.gallery.seed import seed

    seed()
    return {user.username: user for user in User.objects.all()}


@pytest.fixture
def alice(people: dict[str, User]) -> User:
    """An ordinary user."""
    return people["alice"]


@pytest.fixture
def page(alice: User) -> Client:
    """A browser in which Alice is signed in."""
    client = Client()
    client.force_login(alice)
    return client
