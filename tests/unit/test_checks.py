"""System checks: every misconfiguration has a number and a hint that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.checks import CheckMessage, run_checks
from django.db import connection, router
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.db.utils import ConnectionHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import include, path, re_path, set_script_prefix

from sse_notify import (
    broadcast,
    checks,
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
from sse_notify.models import Inbox, LogHead, Notification
from sse_notify.topics import topics_of

REDIS_CORE = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer"}}
REDIS_PUBSUB = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}}


def check(*, deploy: bool = False, **settings: Any) -> list[CheckMessage]:
    with override_settings(**{"ASGI_APPLICATION": "x.application", **settings}):
        return run_checks(tags=["sse_notify"], databases=[], include_deployment_checks=deploy)


def check_tables() -> list[str]:
    return [
        message.id or ""
        for message in run_checks(tags=["database"], databases=["default"])
        if (message.id or "").startswith("sse_notify")
    ]


@pytest.mark.django_db
def test_a_database_as_it_should_be_is_not_complained_of() -> None:
    assert check_tables() == []
    notify(User.objects.create_user("alice"), "Numbered")
    assert check_tables() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("head", [None, 0, 6, 7, 2**53])
def test_numbers_above_the_head_of_the_log_are_told_until_the_next_notification(
    alice: User, head: int | None
) -> None:
    """They came with a fixture or SQL; nothing said so before streams were quiet."""
    LogHead.objects.all().delete()
    if head is not None:
        LogHead.objects.create(pk=1, seq=head)
    Notification.objects.create(topic="everyone", seq=7, title="Loaded")
    assert check_tables() == ([] if head == 7 else ["sse_notify.W015"])
    notify(alice, "New")
    assert check_tables() == []


@pytest.mark.django_db
def test_the_head_is_not_asked_for_before_its_table_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``migrate`` runs the checks first."""
    monkeypatch.setattr(LogHead._meta, "db_table", "not_there_yet")
    assert check_tables() == []


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("/static/", []),
        ("static/", []),
        ("https://shop.test/static/", []),
        ("https://cdn.test/static/", ["sse_notify.W013"]),
        ("//cdn.test/static/", ["sse_notify.W013"]),
        ("https://shop.test:8443/static/", ["sse_notify.W013"]),
    ],
)
@pytest.mark.parametrize(
    "storage", ["StaticFilesStorage", "ManifestStaticFilesStorage"]
)  # the latter has no manifest before collectstatic
def test_static_files_of_another_host_need_cors(
    tmp_path: Path, url: str, found: list[str], storage: str
) -> None:
    backend = {"BACKEND": f"django.contrib.staticfiles.storage.{storage}"}
    more: dict[str, Any] = {
        "STATIC_URL": url,
        "STATIC_ROOT": tmp_path,
        "STORAGES": {**settings.STORAGES, "staticfiles": backend},
        "ALLOWED_HOSTS": ["shop.test"],
        "DEBUG": False,
        "CHANNEL_LAYERS": REDIS_PUBSUB,
    }
    messages = check(deploy=True, **more)
    assert [message.id for message in messages] == found
    assert all("Access-Control-Allow-Origin: *" in str(message.hint) for message in messages)
    assert check(**more) == []


@pytest.mark.parametrize(
    ("conf", "found"),
    [
        ({}, []),
        ({"EVENT_MAX_BYTES": 262_144}, []),
        ({"EVENT_MAX_BYTES": 262_145}, ["sse_notify.W014"]),
        ({"BUFFER_BYTES": 65_535}, ["sse_notify.W014"]),
        ({"EVENT_MAX_BYTES": 1_048_576, "BUFFER_BYTES": 1_048_576}, []),
    ],
)
def test_an_event_that_is_allowed_fits_into_a_buffer(
    conf: dict[str, int], found: list[str]
) -> None:
    messages = check(SSE_NOTIFY=conf)
    assert [message.id for message in messages] == found
    assert all(str(message.hint).startswith("In SSE_NOTIFY, make") for message in messages)


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("charset", ["utf8mb3", "latin1"])
def test_a_table_that_cannot_hold_emoji_is_named(charset: str) -> None:
    with connection.cursor() as cursor:
        change = "ALTER TABLE sse_notify_notification DEFAULT CHARACTER SET"
        cursor.execute(f"{change} {charset}")
        try:
            assert check_tables() == ["sse_notify.W011"]
        finally:
            cursor.execute(f"{change} utf8mb4")


@pytest.mark.mariadb
@pytest.mark.django_db
def test_a_server_without_time_zones_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers about every zone as about one that there is not. The tests' own server keeps those that it has read."""
    asked = checks._MYSQL.replace("'UTC', 'UTC'", "'No/Where', 'UTC'")
    monkeypatch.setattr(checks, "_MYSQL", asked)
    assert check_tables() == ["sse_notify.W012"]
    with override_settings(USE_TZ=False):
        assert check_tables() == []


@pytest.mark.mariadb
@pytest.mark.parametrize("level", ["repeatable read", "SERIALIZABLE", None])
def test_an_isolation_level_of_the_projects_own_is_named(
    level: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", level)
    assert [message.id for message in check()] == ["sse_notify.W010"]
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", "Read Committed")
    assert check() == []


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


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (None, "CHANNEL_LAYERS must be a dict, not NoneType"),
        ("redis", "CHANNEL_LAYERS must be a dict, not str"),
        ([10**5000], "CHANNEL_LAYERS must be a dict, not list"),
        ({"default": None}, "CHANNEL_LAYERS['default'] must be a dict with the path"),
        ({"default": "redis"}, "CHANNEL_LAYERS['default'] must be a dict with the path"),
        ({"default": {}}, "CHANNEL_LAYERS['default'] must be a dict with the path"),
        ({"default": {"BACKEND": None}}, "CHANNEL_LAYERS['default'] must be a dict with the path"),
        ({"default": {"BACKEND": "nowhere.X"}}, "CHANNEL_LAYERS['default']['BACKEND'] cannot be"),
        ({"default": {"BACKEND": ""}}, "CHANNEL_LAYERS['default']['BACKEND'] cannot be"),
        ({"default": {"BACKEND": "channels.layers.X"}}, "['BACKEND'] cannot be imported"),
    ],
)
def test_what_is_no_channel_layer_is_an_error_that_names_the_setting(
    layers: Any, said: str
) -> None:
    """Some of these ended the checks with a TypeError, and the rest were told at the first notification."""
    (found,) = check(CHANNEL_LAYERS=layers)
    assert found.id == "sse_notify.E002"
    assert said in found.msg
    assert "CHANNEL_LAYERS" in (found.hint or "")


# --- URLs ---


def page(request: Any, path: str = "") -> HttpResponse:
    return HttpResponse(path)


OURS = path("notifications/", include("sse_notify.urls"))


class Urls:
    """A URLconf."""

    def __init__(self, *patterns: Any) -> None:
        self.urlpatterns = patterns


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        ([OURS], None),
        ([], None),
        ([OURS, re_path("", page)], None),
        ([path("", page), OURS], None),
        ([i18n_patterns(OURS, re_path("", page))[0]], None),
        ([re_path("", page), OURS], "/notifications/ is served by tests.unit.test_checks.page"),
        ([path("<path:path>", page), OURS], "'<path:path>'"),
        ([re_path(r"^((?:[\w\-]+/)*)$", page), OURS], "/notifications/ is served by"),
        ([re_path("", include([re_path("", page)])), OURS], "/notifications/ is served by"),
        ([i18n_patterns(re_path("", page), OURS)[0]], "/en/notifications/ is served by"),
        ([path("notifications/items/", page), OURS], "/notifications/items/ is served by"),
    ],
)
def test_a_pattern_that_hides_those_of_the_app_is_named(
    patterns: list[Any], said: str | None
) -> None:
    found = check(ROOT_URLCONF=Urls(*patterns))
    assert [message.id for message in found] == ["sse_notify.E009"] * (said is not None)
    assert all(str(said) in message.msg and message.hint for message in found)


def test_a_project_without_urls_has_none_that_are_hidden() -> None:
    with override_settings():
        del settings.ROOT_URLCONF
        assert check() == []


def test_the_check_of_the_urls_knows_a_site_below_a_path() -> None:
    set_script_prefix("/site/")
    try:
        assert check(ROOT_URLCONF=Urls(OURS, re_path("", page))) == []
        assert [each.id for each in check(ROOT_URLCONF=Urls(re_path("", page), OURS))] == [
            "sse_notify.E009"
        ]
    finally:
        set_script_prefix("/")


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


def router_of(path: str, base: type = Router) -> Any:
    """Return a router whose class has this dotted path."""
    module, name = path.rsplit(".", 1)
    return type(name, (base,), {"__module__": module})()


OF_TENANTS = type(router_of("django_tenants.routers.TenantSyncRouter"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"DATABASE_ROUTERS": [OF_TENANTS()]}, "DATABASE_ROUTERS"),
        ({"DATABASE_ROUTERS": [router_of("shop.routers.Ours", OF_TENANTS)]}, "DATABASE_ROUTERS"),
        ({"DATABASE_ROUTERS": [router_of("a_fork.routers.TenantSyncRouter")]}, "DATABASE_ROUTERS"),
        ({"DATABASE_ROUTERS": [router_of("django_pgschemas.routers.Sync")]}, "DATABASE_ROUTERS"),
        ({"MIDDLEWARE": ["tenant_schemas.middleware.TenantMiddleware"]}, "MIDDLEWARE"),
        ({"MIDDLEWARE": ["db_multitenant.middleware.MultiTenantMiddleware"]}, "MIDDLEWARE"),
        ({"TENANT_MODEL": "customers.Client"}, ""),
        ({"DATABASE_ROUTERS": [router_of("tenants.routers.Router")]}, ""),
        ({"MIDDLEWARE": ["tenants.middleware.X", "my.django_tenants"]}, ""),
    ],
    ids=[
        "router",
        "subclass",
        "fork",
        "pgschemas",
        "middleware",
        "db",
        "model",
        "other",
        "similar",
    ],
)
def test_tenants_that_share_a_process_are_an_error(settings: dict[str, Any], named: str) -> None:
    """The streams of one tenant's users got another's events, or hung, and no check said so."""
    with override_settings(**settings):
        found = checks.check_tenants()
    assert [error.id for error in found] == ["sse_notify.E008"] * bool(named)
    for error in found:
        assert error.msg.startswith(named)
        assert "SSE_NOTIFY['GROUP']" in str(error.hint)


@pytest.mark.parametrize(
    "engine",
    [
        "django_tenants.postgresql_backend",
        "tenant_schemas.postgresql_backend",
        "django_pgschemas.postgresql_backend",
        "django_multitenant.backends.postgresql",
        "our_fork_of_it.postgresql_backend",
    ],
)
def test_the_engine_names_the_package_for_tenants(
    monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ENGINE", engine)
    (error,) = check()
    assert (error.id, error.level) == ("sse_notify.E008", 40)
    assert error.msg.startswith(f"DATABASES['default'] has '{engine}'")


@pytest.mark.parametrize(
    "base", ["django_multitenant.backends.postgresql", "our_fork_of_it.postgresql_backend"]
)
def test_an_engine_of_the_projects_own_does_not_hide_that_it_is_one_for_tenants(
    monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    theirs = type("DatabaseWrapper", (DatabaseWrapper,), {"__module__": f"{base}.base"})
    ours = type("DatabaseWrapper", (theirs,), {"__module__": "shop.engine.base"})
    handler = ConnectionHandler({"default": {"ENGINE": "shop.engine"}})
    handler["default"] = ours(handler.settings["default"])
    monkeypatch.setattr(checks, "connections", handler)
    (error,) = checks.check_tenants()
    assert error.msg.startswith(f"DATABASES['default'] has '{base}")


def test_a_connection_that_never_commits_is_fine_if_it_holds_none_of_the_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    together = {"sse_notify": "other", "auth": "other", "contenttypes": "other"}
    assert check(DATABASE_ROUTERS=[Router(**together)]) == []
