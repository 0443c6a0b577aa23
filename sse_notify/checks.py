"""System checks. ``docs/reference/checks.md`` lists them."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings  # noqa: TID251  (these are Django's and Channels' settings)
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connections, router

from sse_notify import conf

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
    ``CHANNEL_LAYERS``. W003: ``RedisChannelLayer`` drops messages. W005: ``ASGI_APPLICATION`` is
    missing, so ``runserver`` ends each stream at once.
    """
    hint = "Correct SSE_NOTIFY in your settings."
    found: list[CheckMessage] = []
    found += [Error(problem, hint=hint, id="sse_notify.E001") for problem in conf.validate()[1]]
    alias, backend = _layer()
    if backend is None and alias != "default":
        message = f"SSE_NOTIFY['LAYER'] is {alias!r}, but CHANNEL_LAYERS has no such alias."
        hint = f"Add {alias!r} to CHANNEL_LAYERS, or remove 'LAYER' from SSE_NOTIFY."
        found.append(Error(message, hint=hint, id="sse_notify.E002"))
    if backend == "channels_redis.core.RedisChannelLayer":
        drops = "holds 100 messages for each process and drops the others"
        message = f"RedisChannelLayer {drops}, whose events then arrive at the next poll."
        hint = f"In CHANNEL_LAYERS[{alias!r}], set 'BACKEND': {_PUBSUB!r}."
        found.append(Warning(message, hint=hint, id="sse_notify.W003"))
    if not getattr(settings, "ASGI_APPLICATION", None):
        message = "ASGI_APPLICATION is not set. Under WSGI, streams end at once and clients poll."
        line = (
            "application = EventStreams(get_asgi_application()), EventStreams from sse_notify.asgi"
        )
        name = "ASGI_APPLICATION = 'yourproject.asgi.application'"
        hint = f"Set {name}. In that module, write {line}."
        found.append(Warning(message, hint=hint, id="sse_notify.W005"))
    return found


@register("sse_notify", Tags.security, deploy=True)
def check_processes(**kwargs: Any) -> list[CheckMessage]:
    """W004: without a channel layer, events of other processes arrive at the next poll."""
    if _layer()[1] not in (None, "channels.layers.InMemoryChannelLayer"):
        return []
    message = "No channel layer connects the processes. Events arrive late from other processes."
    layer = {"BACKEND": _PUBSUB, "CONFIG": {"hosts": ["redis://localhost:6379"]}}
    hint = (
        f"Run pip install 'sse-notify[redis]', and set CHANNEL_LAYERS = {{'default': {layer}}}. "
        "If the site has one process, add 'sse_notify.W004' to SILENCED_SYSTEM_CHECKS."
    )
    return [Warning(message, hint=hint, id="sse_notify.W004")]


@register("sse_notify")
def check_databases(**kwargs: Any) -> list[CheckMessage]:
    """Check which databases the tables are in.

    E006: a database router separates tables that foreign keys and joins connect. Only
    ``db_for_write()`` matters: read replicas are fine, because the package reads from the database
    that it writes to wherever it needs current data. E007: the connection has no autocommit.
    """
    models: set[Any] = {*apps.get_app_config("sse_notify").get_models()}
    used = {router.db_for_write(model) for model in models}
    found: list[CheckMessage] = [
        Error(
            f"DATABASES[{alias!r}] has 'AUTOCOMMIT': False, so notifications are never committed.",
            hint="Remove it. For one transaction per request, set 'ATOMIC_REQUESTS': True instead.",
            id="sse_notify.E007",
        )
        for alias in sorted(used & {*connections})
        if not connections[alias].settings_dict["AUTOCOMMIT"]
    ]
    models |= {field.related_model for model in models for field in model._meta.fields}
    # Queries join the table of group members. A custom user model may have no groups.
    models |= {getattr(getattr(get_user_model(), "groups", None), "through", None)}
    aliases = {model: router.db_for_write(model) for model in models - {None}}
    if len(set(aliases.values())) > 1:
        places = sorted(f"{model._meta.label} in {alias!r}" for model, alias in aliases.items())
        message = "The database routers separate tables that sse_notify needs together: "
        alias = aliases[get_user_model()]
        labels = {model._meta.app_label for model in aliases if aliases[model] != alias}
        hint = _ROUTER.format(alias=alias, labels=tuple(sorted(labels)))
        found.append(Error(f"{message}{', '.join(places)}.", hint=hint, id="sse_notify.E006"))
    return found


def _layer() -> tuple[str, str | None]:
    """Return the channel layer's alias, and its backend; ``None`` if there is no such alias."""
    alias = conf.validate()[0].LAYER
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    return alias, layers[alias].get("BACKEND", "") if alias in layers else None
