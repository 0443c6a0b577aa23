"""System checks: every misconfiguration has a number and a hint to type. ``docs/reference/checks.md`` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings  # noqa: TID251  (these are Django's and Channels' settings)
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connections, router

from sse_notify import conf

if TYPE_CHECKING:
    from django.apps import AppConfig
    from django.db.models import Model

_IN_MEMORY = "channels.layers.InMemoryChannelLayer"
_CORE = "channels_redis.core.RedisChannelLayer"


@register("sse_notify")
def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E001: a key of ``SSE_NOTIFY`` is unknown or its value wrong."""
    hint = "Correct SSE_NOTIFY in your settings."
    return [Error(problem, hint=hint, id="sse_notify.E001") for problem in conf.validate()[1]]


@register("sse_notify")
def check_layer(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E002: ``LAYER`` names no layer. W003: the Redis core layer holds 100 messages and drops more."""
    alias, backend = _layer()
    if backend is None and alias != "default":
        message = f"SSE_NOTIFY['LAYER'] is {alias!r}, but CHANNEL_LAYERS has no such alias."
        hint = f"Add {alias!r} to CHANNEL_LAYERS, or remove 'LAYER' from SSE_NOTIFY."
        return [Error(message, hint=hint, id="sse_notify.E002")]
    if backend == _CORE:
        message = (
            "RedisChannelLayer holds 100 messages for each process and drops the others, "
            "whose events then arrive at the next poll."
        )
        hint = f"Set 'BACKEND': 'channels_redis.pubsub.RedisPubSubChannelLayer' in CHANNEL_LAYERS[{alias!r}]."
        return [Warning(message, hint=hint, id="sse_notify.W003")]
    return []


@register("sse_notify", Tags.security, deploy=True)
def check_processes(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """W004: no layer connects processes, so events of other processes arrive at the next poll."""
    if _layer()[1] not in (None, _IN_MEMORY):
        return []
    message = (
        "No channel layer connects the processes. "
        "Events that another process sends arrive at the next poll instead of at once."
    )
    hint = (
        "Run: pip install 'sse-notify[redis]'. Then set CHANNEL_LAYERS = {'default': {'BACKEND': "
        "'channels_redis.pubsub.RedisPubSubChannelLayer', 'CONFIG': {'hosts': ['redis://localhost:6379']}}}. "
        "If the site has one process, add 'sse_notify.W004' to SILENCED_SYSTEM_CHECKS."
    )
    return [Warning(message, hint=hint, id="sse_notify.W004")]


@register("sse_notify")
def check_application(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """W005: ``ASGI_APPLICATION`` is missing, so that ``runserver`` answers with finite streams."""
    if getattr(settings, "ASGI_APPLICATION", None):
        return []
    message = "ASGI_APPLICATION is not set. Under WSGI, streams end at once and clients poll."
    hint = (
        "Set ASGI_APPLICATION = 'yourproject.asgi.application', and in that module: "
        "application = EventStreams(get_asgi_application()), with EventStreams from sse_notify.asgi."
    )
    return [Warning(message, hint=hint, id="sse_notify.W005")]


@register("sse_notify")
def check_databases(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E006: the tables are in several databases. E007: users, groups or content types are elsewhere. E008: no autocommit.

    Only the databases for writing matter. Replicas for reading are fine, as the package reads what it has to
    from where it writes.
    """
    own = list(apps.get_app_config("sse_notify").get_models())
    aliases = {model: router.db_for_write(model) for model in [*own, *_related(own)]}
    found: list[CheckMessage] = []
    if len({aliases[model] for model in own}) > 1:
        message = "The database routers send the tables of sse_notify to several databases"
        found.append(Error(_where(message, aliases), hint=_router(aliases), id="sse_notify.E006"))
    elif len(set(aliases.values())) > 1:
        message = (
            "The database routers separate the tables of sse_notify from tables that they refer to"
        )
        found.append(Error(_where(message, aliases), hint=_router(aliases), id="sse_notify.E007"))
    for alias in sorted({aliases[model] for model in own} & {*connections}):
        if not connections[alias].settings_dict["AUTOCOMMIT"]:
            message = f"DATABASES[{alias!r}] has 'AUTOCOMMIT': False, so what sse_notify writes is never committed."
            hint = f"Remove 'AUTOCOMMIT' from DATABASES[{alias!r}]. For one transaction per request, use 'ATOMIC_REQUESTS': True."
            found.append(Error(message, hint=hint, id="sse_notify.E008"))
    return found


def _layer() -> tuple[str, str | None]:
    """Return the alias of the channel layer, and its backend if there is such a layer."""
    alias = conf.validate()[0].LAYER
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    return alias, layers[alias].get("BACKEND", "") if alias in layers else None


def _related(own: list[type[Model]]) -> list[Any]:
    """Return the models whose tables the app's tables refer to, and the table of group members, which is joined."""
    groups: Any = getattr(
        get_user_model(), "groups", None
    )  # a custom user model need not have groups
    related = [
        field.related_model for model in own for field in model._meta.fields if field.related_model
    ]
    return [model for model in related if model not in own] + ([groups.through] if groups else [])


def _where(message: str, aliases: dict[Any, str]) -> str:
    places = sorted({f"{model._meta.label} in {alias!r}" for model, alias in aliases.items()})
    return f"{message}: {', '.join(places)}."


def _router(aliases: dict[Any, str]) -> str:
    """Return a router to paste. It keeps everything where the users are."""
    alias = aliases[get_user_model()]
    labels = tuple(sorted({model._meta.app_label for model in aliases if aliases[model] != alias}))
    return f"""Put this router first in DATABASE_ROUTERS, and migrate:

class SseNotifyRouter:
    def db_for_write(self, model, **hints):
        return {alias!r} if model._meta.app_label in {labels} else None

    db_for_read = db_for_write

    def allow_migrate(self, db, app_label, **hints):
        return db == {alias!r} if app_label in {labels} else None
"""
