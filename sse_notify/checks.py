"""System checks. ``docs/reference/checks.md`` lists them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from inspect import iscoroutinefunction
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings  # noqa: TID251  (these are Django's and Channels' settings)
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connections, router
from django.templatetags.static import static
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.module_loading import import_string

from sse_notify import conf
from sse_notify.bus import postgres, publisher
from sse_notify.log import healing
from sse_notify.models import LogHead
from sse_notify.topics import groups_field

#: The packages for tenants, and what their forks keep: the names of the engine and the router.
_TENANCY = re.compile(
    r"^(django_tenants|tenant_schemas|django_pgschemas|django_multitenant|db_multitenant"
    r"|boardinghouse)\b|\.postgresql_backend(\.base\.DatabaseWrapper)?$|\bTenantSyncRouter$"
)
_MYSQL = """
SELECT COALESCE((
    SELECT table_collation FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name = %s
), @@collation_database), CONVERT_TZ('2000-01-01', 'UTC', 'UTC')
"""
_PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
_ROUTER = """Put this router first in DATABASE_ROUTERS, and migrate:

class SseNotifyRouter:
    def db_for_write(self, model, **hints):
        return {alias!r} if model._meta.app_label in {labels} else None

    db_for_read = db_for_write

    def allow_migrate(self, db, app_label, **hints):
        return db == {alias!r} if app_label in {labels} else None
"""


@register("sse_notify")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check each setting by itself.

    E001: a key of ``SSE_NOTIFY`` is unknown, or its value is wrong. E002: ``LAYER`` is no alias in
    ``CHANNEL_LAYERS``, or names no channel layer. W003: ``RedisChannelLayer`` drops messages. W005:
    ``ASGI_APPLICATION`` is missing, so ``runserver`` ends each stream at once. E010: ``DOORBELL``
    chooses PostgreSQL, which is not there. W014: an allowed event fits in no buffer.
    """
    valid, invalid = conf.validate()
    problems = [*invalid, *_problems_of_function(valid.AUTHENTICATE)]
    hint = "Correct SSE_NOTIFY in your settings."
    found: list[CheckMessage] = [Error(each, hint=hint, id="sse_notify.E001") for each in problems]
    if valid.BUFFER_BYTES < valid.EVENT_MAX_BYTES:
        message = f"BUFFER_BYTES ({valid.BUFFER_BYTES}) is less than EVENT_MAX_BYTES "
        message += f"({valid.EVENT_MAX_BYTES}): events of publish() between them are always lost."
        hint = "In SSE_NOTIFY, make BUFFER_BYTES at least as large as EVENT_MAX_BYTES."
        found.append(Warning(message, hint=hint, id="sse_notify.W014"))
    alias, backend, problem = _layer()
    if problem:
        hint = f"Correct CHANNEL_LAYERS[{alias!r}] in your settings."
        found.append(Error(problem, hint=hint, id="sse_notify.E002"))
    elif not backend and alias != "default":
        message = f"SSE_NOTIFY['LAYER'] is {alias!r}, but CHANNEL_LAYERS has no such alias."
        hint = f"Add {alias!r} to CHANNEL_LAYERS, or remove 'LAYER' from SSE_NOTIFY."
        found.append(Error(message, hint=hint, id="sse_notify.E002"))
    if backend == "channels_redis.core.RedisChannelLayer":
        message = "RedisChannelLayer holds 100 messages for each process and drops the others. "
        message += "Notifications then arrive at the next poll, and events of publish() are lost."
        hint = f"In CHANNEL_LAYERS[{alias!r}], set 'BACKEND': {_PUBSUB!r}."
        found.append(Warning(message, hint=hint, id="sse_notify.W003"))
    if valid.DOORBELL == "postgresql" and not postgres.is_usable():
        message = "SSE_NOTIFY['DOORBELL'] is 'postgresql', but the log is not there with psycopg 3."
        hint = "Remove 'DOORBELL' from SSE_NOTIFY, or use PostgreSQL with psycopg 3."
        found.append(Error(message, hint=hint, id="sse_notify.E010"))
    if not getattr(settings, "ASGI_APPLICATION", None):
        message = "ASGI_APPLICATION is not set. Under WSGI, streams end at once and clients poll."
        name = "ASGI_APPLICATION = 'yourproject.asgi.application'"
        line = "application = EventStreams(get_asgi_application())"
        hint = f"Set {name}. In that module, write {line}, EventStreams from sse_notify.asgi."
        found.append(Warning(message, hint=hint, id="sse_notify.W005"))
    return found


def _problems_of_function(path: str) -> list[str]:
    name = "SSE_NOTIFY['AUTHENTICATE']"
    try:
        function = import_string(path) if path else None
    except Exception as error:  # whatever its module raises
        return [f"{name} must be the path of a function, not {path!r}: {error!r}."]
    if function is not None and (not callable(function) or iscoroutinefunction(function)):
        return [f"{name} must be the path of a function that is not async, not {path!r}."]
    return []


@register("sse_notify", Tags.security, deploy=True)
def check_processes(**kwargs: Any) -> list[CheckMessage]:
    """W004: nothing connects the processes, so events of others arrive at the next poll."""
    _, backend, problem = _layer()
    if problem or backend not in ("", "channels.layers.InMemoryChannelLayer") or _listens():
        return []
    message = "No channel layer connects the processes. Events arrive late from other processes."
    layer = {"BACKEND": _PUBSUB, "CONFIG": {"hosts": ["redis://localhost:6379"]}}
    hint = f"Run pip install 'sse-notify[redis]', and set CHANNEL_LAYERS = {{'default': {layer}}}. "
    hint += "If the site has one process, add 'sse_notify.W004' to SILENCED_SYSTEM_CHECKS."
    return [Warning(message, hint=hint, id="sse_notify.W004")]


@register("sse_notify", Tags.staticfiles, deploy=True)
def check_static_files(**kwargs: Any) -> list[CheckMessage]:
    """W013: the script comes from another host, which must allow the site to load it."""
    try:
        url = urlsplit(static("sse_notify/sse-notify.js"))
    except ValueError:  # collectstatic has not run
        url = urlsplit(settings.STATIC_URL or "")
    if not url.netloc or url.netloc in settings.ALLOWED_HOSTS:
        return []
    message = f"Static files come from {url.netloc}. Without CORS, browsers load no module from "
    message += "there, so the bell stays a link."
    hint = f"Have {url.netloc} send the header Access-Control-Allow-Origin: * with static files. "
    hint += "Then add 'sse_notify.W013' to SILENCED_SYSTEM_CHECKS."
    return [Warning(message, hint=hint, id="sse_notify.W013")]


@register("sse_notify")
def check_databases(**kwargs: Any) -> list[CheckMessage]:
    """Check which databases the tables are in.

    E006: a database router separates tables that foreign keys and joins connect. Only
    ``db_for_write()`` matters: read replicas are fine, because the package reads from the database
    that it writes to wherever it needs current data. E007: the connection has no autocommit. W010:
    MySQL's or MariaDB's isolation level is not Django's default.
    """
    models: set[Any] = {*apps.get_app_config("sse_notify").get_models()}
    used = {router.db_for_write(model) for model in models}
    found: list[CheckMessage] = []
    for alias in sorted(used & {*connections}):
        database = connections[alias].settings_dict
        if not database["AUTOCOMMIT"]:
            message = f"DATABASES[{alias!r}] has 'AUTOCOMMIT': False, so nothing is ever committed."
            hint = "Remove it. For one transaction per request, set 'ATOMIC_REQUESTS': True."
            found.append(Error(message, hint=hint, id="sse_notify.E007"))
        level = database["OPTIONS"].get("isolation_level", "read committed")
        if connections[alias].vendor == "mysql" and str(level).lower() != "read committed":
            message = f"DATABASES[{alias!r}] has the isolation level {level!r}. Inside your own "
            message += "transactions, notify() and marks may then fail with deadlocks (error 1213)."
            hint = "Remove 'isolation_level' from OPTIONS: Django's default is 'read committed'."
            found.append(Warning(message, hint=hint, id="sse_notify.W010"))
    models |= {field.related_model for model in models for field in model._meta.fields}
    if field := groups_field():  # queries join the table of group members
        models |= {field.remote_field.through, field.related_model}
    aliases = {model: router.db_for_write(model) for model in models - {None}}
    if len(set(aliases.values())) > 1:
        places = sorted(f"{model._meta.label} in {alias!r}" for model, alias in aliases.items())
        message = "The database routers separate tables that sse_notify needs together: "
        alias = aliases[get_user_model()]
        labels = {model._meta.app_label for model in aliases if aliases[model] != alias}
        hint = _ROUTER.format(alias=alias, labels=tuple(sorted(labels)))
        found.append(Error(f"{message}{', '.join(places)}.", hint=hint, id="sse_notify.E006"))
    return found


@register("sse_notify", Tags.database)
def check_mysql(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check what a MySQL or MariaDB holds. As all that ask a database, ``migrate`` runs it.

    W011: the table, or the database before it has the table, cannot store all of Unicode. W012: the
    time zone tables are empty, which the dates above the admin's list need.
    """
    model = apps.get_model("sse_notify", "Notification")
    alias = router.db_for_write(model)
    if alias not in (databases or ()) or connections[alias].vendor != "mysql":
        return []
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(_MYSQL, [model._meta.db_table])
        collation, moment = cursor.fetchone()
    found: list[CheckMessage] = []
    if not collation.startswith("utf8mb4"):
        message = f"The collation is {collation!r}, so a notification with an emoji is refused."
        hint = f"ALTER DATABASE {connection.settings_dict['NAME']} CHARACTER SET utf8mb4; and, for "
        hint += "each table that is there, ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4;"
        found.append(Warning(message, hint=hint, id="sse_notify.W011"))
    if moment is None and settings.USE_TZ:
        message = "The server has no time zones, so the admin's list of notifications fails."
        hint = "Run mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql -u root mysql"
        found.append(Warning(message, hint=hint, id="sse_notify.W012"))
    return found


@register("sse_notify", Tags.database)
def check_log(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the database of the log.

    W015: a fixture or SQL brought numbers, but not the head of the log. W016: it is behind a
    connection pooler, so processes may not hear each other.
    """
    models = apps.get_app_config("sse_notify").get_models()
    alias = router.db_for_write(LogHead)
    if alias not in (databases or ()):
        return []
    tables = {*connections[alias].introspection.table_names()}
    if not tables.issuperset(model._meta.db_table for model in models):  # before `migrate`
        return []
    found: list[CheckMessage] = []
    if problem := healing.find_problem(alias):
        hint = "The next notification or mark corrects this. Open pages then get the loaded ones."
        found.append(Warning(problem, hint=hint, id="sse_notify.W015"))
    if _listens():
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            problem = postgres.problem_of(connections[alias].connection, *cursor.fetchone())
        if problem:
            hint = "Until then, events of other processes arrive at the next poll."
            found.append(Warning(problem, hint=hint, id="sse_notify.W016"))
    return found


@register("sse_notify")
def check_tenants(**kwargs: Any) -> list[CheckMessage]:
    """E008: the tenants of the site share its processes.

    The streams run outside requests, without a tenant: they would read another's tables, or none.
    """
    named = [(f"DATABASES[{name!r}]", at["ENGINE"]) for name, at in connections.settings.items()]
    classes = [(f"DATABASES[{name!r}]", type(connections[name])) for name in connections]
    classes += [("DATABASE_ROUTERS", type(each)) for each in router.routers]
    for name, kind in classes:  # a project's own may be derived from that of a package
        named += [(name, f"{each.__module__}.{each.__qualname__}") for each in kind.__mro__]
    for name in ("INSTALLED_APPS", "MIDDLEWARE"):
        named += [(name, path) for path in getattr(settings, name)]
    found = [f"{name} has {path!r}" for name, path in named if _TENANCY.search(path)]
    if not found:
        return []
    message = f"{found[0]}, but sse_notify does not keep apart tenants that share a process."
    hint = "Run the site once for each tenant, each with its own database, SECRET_KEY and "
    hint += "SSE_NOTIFY['GROUP']. See “Several tenants” in docs/how-to/security.md."
    return [Error(message, hint=hint, id="sse_notify.E008")]


@register("sse_notify", Tags.urls)
def check_urls(**kwargs: Any) -> list[CheckMessage]:
    """E009: a pattern of the project matches first, so the bell would wait for ever.

    The usual one matches every path, as that of a CMS does.
    """
    if not getattr(settings, "ROOT_URLCONF", None):  # a project of workers alone
        return []
    from sse_notify import urls  # noqa: PLC0415  (only this check loads the views)

    for name in [pattern.name for pattern in urls.urlpatterns]:
        try:
            path = reverse(f"{urls.app_name}:{name}")
        except NoReverseMatch:  # the project does not use the package's URLs
            return []
        try:
            match = resolve(f"/{path.removeprefix(get_script_prefix())}")
        except Resolver404:  # a middleware chooses the URLconf
            return []
        if urls.app_name not in match.app_names:
            message = f"{path} is served by {match._func_path}, as the pattern {match.route!r}"
            message += " stands before those of sse_notify."
            hint = "In urlpatterns, include sse_notify.urls first."
            return [Error(message, hint=hint, id="sse_notify.E009")]
    return []


def _layer() -> tuple[str, str, str]:
    """Return the channel layer's alias; its backend, "" for none; and what is wrong with it."""
    alias = conf.validate()[0].LAYER
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    if not isinstance(layers, dict):
        return alias, "", f"CHANNEL_LAYERS must be a dict, not {type(layers).__name__}."
    if alias not in layers:
        return alias, "", ""
    name, layer = f"CHANNEL_LAYERS[{alias!r}]", layers[alias]
    path = layer.get("BACKEND") if isinstance(layer, dict) else None
    if not isinstance(path, str):
        return alias, "", f"{name} must be a dict with the path of a 'BACKEND'."
    try:
        import_string(path)
    except Exception as error:  # whatever its module raises
        return alias, path, f"{name}['BACKEND'] cannot be imported: {error!r}."
    return alias, path, ""


def _listens() -> bool:
    """Return whether processes listen to PostgreSQL; ``False`` if the settings are invalid."""
    is_valid = not (conf.validate()[1] or _layer()[2])
    return is_valid and isinstance(publisher.remote_layer(), postgres.PostgresLayer)
