"""System checks: every misconfiguration has a number and a hint that helps."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.checks import CheckMessage, run_checks
from django.db import connection, router
from django.test import override_settings

from sse_notify import (
    broadcast,
    mark_read,
    mute,
    notify,
    recall,
    retention,
    unread_count,
    unseen_count,
)
from sse_notify.log.reader import Reader, read_entries
from sse_notify.log.sequence import get_head
from sse_notify.models import Inbox, Notification
from sse_notify.topics import topics_of

REDIS_CORE = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer"}}
REDIS_PUBSUB = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}}


def check(*, deploy: bool = False, **settings: Any) -> list[CheckMessage]:
    with override_settings(**{"ASGI_APPLICATION": "x.application", **settings}):
        return run_checks(tags=["sse_notify"], include_deployment_checks=deploy)


@pytest.mark.parametrize(
    ("settings", "deploy", "expected"),
    [
        ({}, False, []),
        ({"CHANNEL_LAYERS": {}}, False, []),
        ({"SSE_NOTIFY": {"LAYER": "redis"}}, False, ["sse_notify.E002"]),
        ({"CHANNEL_LAYERS": REDIS_CORE}, False, ["sse_notify.W003"]),
        ({"CHANNEL_LAYERS": REDIS_PUBSUB}, True, []),
        ({}, True, ["sse_notify.W004"]),
        ({"CHANNEL_LAYERS": {}}, True, ["sse_notify.W004"]),
        ({"ASGI_APPLICATION": None}, False, ["sse_notify.W005"]),
    ],
)
def test_every_misconfiguration_has_a_number_and_a_hint(
    settings: dict[str, Any], deploy: bool, expected: list[str]
) -> None:
    found = check(deploy=deploy, **settings)
    assert [message.id for message in found] == expected
    assert all(message.hint for message in found)


# --- databases ------------------------------------------------------------------------------------


class Router:
    """Send models to databases, by name or app label. Our reads go to ``replica``, if given."""

    def __init__(self, replica: str | None = None, **places: str) -> None:
        self._replica = replica
        self._places = places

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return self._places.get(model.__name__) or self._places.get(model._meta.app_label)

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        own = model._meta.app_label == "sse_notify"
        return self._replica if self._replica and own else self.db_for_write(model, **hints)


@pytest.mark.parametrize(
    "places",
    [
        {"Inbox": "other"},
        {"Mute": "other", "LogHead": "third"},
        {"sse_notify": "other"},
        {"auth": "other", "contenttypes": "other"},
        {"User": "other"},
        {"Group": "other"},
        {"ContentType": "other"},
        {"User_groups": "other"},
    ],
    ids=str,
)
def test_tables_that_a_router_separates_are_an_error_whose_hint_mends_it(
    places: dict[str, str],
) -> None:
    """The check was silent where users, groups or content types were elsewhere."""
    separating = Router(**places)
    (error,) = check(DATABASE_ROUTERS=[separating])
    assert (error.id, error.level) == ("sse_notify.E006", 40)
    assert "in 'other'" in error.msg
    assert error.hint is not None
    _, _, code = error.hint.partition("\n\n")
    pasted: dict[str, Any] = {}
    exec(code, pasted)
    assert check(DATABASE_ROUTERS=[pasted["SseNotifyRouter"](), separating]) == []


@pytest.mark.parametrize(
    "places",
    [
        {"sse_notify": "other", "auth": "other", "contenttypes": "other"},
        {"sessions": "other", "admin": "other"},
        {"replica": "replica"},
        {"replica": "replica", "sse_notify": "other", "auth": "other", "contenttypes": "other"},
    ],
    ids=str,
)
def test_tables_that_stay_together_are_no_error(places: dict[str, str]) -> None:
    assert check(DATABASE_ROUTERS=[Router(**places)]) == []


@pytest.mark.django_db(transaction=True)
def test_the_package_reads_what_it_has_to_from_where_it_writes(alice: User, bob: User) -> None:
    """The replica of this router does not exist, so that a read from it fails."""
    ContentType.objects.get_for_model(User)
    team = Group.objects.create(name="Team")
    team.user_set.add(alice)
    with override_settings(DATABASE_ROUTERS=[Router(replica="nowhere")]):
        assert router.db_for_read(Notification) == "nowhere"
        first = notify(alice, "First", actor=bob, key="k", category="news")
        assert notify(alice, "Second", actor=bob, key="k", category="news").pk == first.pk
        once = notify(alice, "Once", idempotency_key="i")
        assert notify(alice, "Once", idempotency_key="i").pk == once.pk
        broadcast("All", exclude=[bob])
        mark_read(alice, ids=[first.pk])
        mark_read(alice, up_to=get_head())
        mute(alice, "news")
        recall(once)
        assert (unread_count(alice), unseen_count(alice)) == (0, 0)
        last, before = notify(alice, "Last"), get_head()
        mark_read(alice, ids=[last.pk])
        reader = Reader(topics=topics_of(alice), user_id=alice.pk, since=alice.date_joined)
        entries, _ = read_entries(0, before, reader=reader, limit=100)
        assert len(entries) > 1
        entries, _ = read_entries(before, get_head(), reader=reader, limit=100)
        assert [b"event: update" in entry.frame for entry in entries] == [True]
        assert retention.prune(0) == 4
        assert Inbox.objects.using("default").count() == 1


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("AUTOCOMMIT", False, ["sse_notify.E007"]),
        ("AUTOCOMMIT", True, []),
        ("ATOMIC_REQUESTS", True, []),
    ],
)
def test_a_connection_that_never_commits_is_an_error(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: bool, expected: list[str]
) -> None:
    """Rows were numbered and never committed, and no check said so."""
    monkeypatch.setitem(connection.settings_dict, setting, value)
    found = check()
    assert [error.id for error in found] == expected
    for error in found:
        assert "DATABASES['default'] has 'AUTOCOMMIT': False" in error.msg
        assert "ATOMIC_REQUESTS" in str(error.hint)


def test_a_connection_that_never_commits_is_fine_if_it_holds_none_of_the_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    together = {"sse_notify": "other", "auth": "other", "contenttypes": "other"}
    assert check(DATABASE_ROUTERS=[Router(**together)]) == []
