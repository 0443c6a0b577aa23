"""Who may listen to what."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User

from sse_notify import topics
from sse_notify.exceptions import UnknownTopic
from sse_notify.topics import find, topic, topics_of
from tests.support import GUARD, ROOT
from tests.support.readers import is_allowed


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_registrations", {})


@pytest.mark.django_db
def test_a_user_has_own_everyones_groups_and_staff_topics() -> None:
    user = User.objects.create_user("alice", is_staff=True)
    group = Group.objects.create(name="team")
    user.groups.add(group)
    assert topics_of(user) == (f"user:{user.pk}", "everyone", "staff", f"group:{group.pk}")
    assert topics_of(User.objects.create_user("bob"))[1:] == ("everyone",)


def test_a_pattern_captures_what_its_converters_say() -> None:
    seen: list[Any] = []

    @topic("order.<int:pk>.<slug:part>")
    def can_watch(user: Any, pk: int, part: str) -> bool:
        seen.append((pk, part))
        return pk == 7

    user = User(pk=1)
    assert is_allowed(user, "order.7.lines")
    assert not is_allowed(user, "order.8.lines")
    assert seen == [(7, "lines"), (8, "lines")]
    assert find("order.7.lines").authorise is can_watch


@pytest.mark.parametrize(
    "name", ["order.x", "order.7.more", "prefix.order.7", "", "x" * 200, "order.7\n"]
)
def test_what_matches_no_pattern_is_nobodys(name: str) -> None:
    topic("order.<int:pk>")(lambda user, pk: True)
    assert not is_allowed(User(pk=1), name)
    with pytest.raises(UnknownTopic):
        find(name)


@pytest.mark.parametrize("name", ["user:2", "everyone", "staff", "group:1"])
def test_the_packages_own_topics_are_never_had_by_name(name: str) -> None:
    topic("<path:anything>")(lambda user, anything: True)
    assert not is_allowed(User(pk=1, is_staff=True), name)


def test_anonymous_visitors_ask_for_public_topics_only() -> None:
    topic("wall", public=True)(lambda user: True)
    topic("closed", public=True)(lambda user: user.is_authenticated)
    topic("private")(lambda user: True)
    assert [is_allowed(AnonymousUser(), name) for name in ("wall", "closed", "private")] == [
        True,
        False,
        False,
    ]
    assert [is_allowed(User(pk=1), name) for name in ("wall", "closed", "private")] == [
        True,
        True,
        True,
    ]


def test_an_authoriser_may_be_async() -> None:
    @topic("room.<int:n>")
    async def can_enter(user: Any, n: int) -> bool:
        return n == 1

    assert is_allowed(User(pk=1), "room.1")
    assert not is_allowed(User(pk=1), "room.2")


@pytest.mark.parametrize("pattern", ["", "everyone", "user:<int:pk>", "group:1", "staff"])
def test_a_pattern_that_cannot_be_had_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        topic(pattern)


def test_a_pattern_is_registered_once() -> None:
    topic("wall")(lambda user: True)
    with pytest.raises(ValueError, match="already registered"):
        topic("wall")(lambda user: True)


BROKEN = {
    "import": "import nothing_of_this_name",
    "half": """
from sse_notify import topic
@topic("order.<int:pk>")
def can_watch(user, pk):
    return True
raise ZeroDivisionError
""",
    "twice": """
from sse_notify import topic
topic("wall")(lambda user: True)
topic("wall")(lambda user: False)
""",
}
START = """
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="only-for-this-test",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "sse_notify", "shop"],
)
try:
    django.setup()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("import", "ModuleNotFoundError No module named 'nothing_of_this_name'"),
        ("half", "ZeroDivisionError "),
        ("twice", "ValueError pattern 'wall' is already registered"),
    ],
)
def test_a_topics_module_that_is_broken_is_seen_at_the_start(
    tmp_path: Path, kind: str, expected: str
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/topics.py").write_text(BROKEN[kind])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-c", START]
    ran = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=GUARD, check=False
    )
    assert ran.stdout.startswith(expected), ran.stderr


def test_a_user_model_that_has_taken_its_groups_away_has_none() -> None:
    class Customer:
        pk, is_staff, groups = 1, False, None

    assert topics.topics_of(Customer()) == ("user:1", "everyone")
