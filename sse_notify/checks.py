"""System checks: every misconfiguration has a number and says what to type. ``docs/reference/checks.md`` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings  # noqa: TID251  (these are Django's and Channels' settings)
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import router

from sse_notify import conf

if TYPE_CHECKING:
    from django.apps import AppConfig

_IN_MEMORY = "channels.layers.InMemoryChannelLayer"
_CORE = "channels_redis.core.RedisChannelLayer"


@register("sse_notify")
def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E001: a key of ``SSE_NOTIFY`` is unknown or its value wrong."""
    _, problems = conf.validate(getattr(settings, "SSE_NOTIFY", {}))
    return [
        Error(problem, hint="Correct SSE_NOTIFY in your settings.", id="sse_notify.E001")
        for problem in problems
    ]


@register("sse_notify")
def check_layer(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E002: the alias names no layer. W003: the Redis core layer holds 100 messages and drops more."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    alias = conf.validate(getattr(settings, "SSE_NOTIFY", {}))[0].LAYER
    if alias not in layers:
        if alias == "default":
            return []
        hint = f"Add {alias!r} to CHANNEL_LAYERS, or correct SSE_NOTIFY['LAYER']."
        return [
            Error(
                f"SSE_NOTIFY['LAYER'] names {alias!r}, which CHANNEL_LAYERS has not.",
                hint=hint,
                id="sse_notify.E002",
            )
        ]
    if layers[alias].get("BACKEND") == _CORE:
        return [
            checks.Warning(
                "The channel layer holds 100 messages for each process and drops more; what it drops arrives one poll later.",
                hint="Use channels_redis.pubsub.RedisPubSubChannelLayer, or silence this check.",
                id="sse_notify.W003",
            )
        ]
    return []


@register("sse_notify", Tags.security, deploy=True)
def check_processes(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """W004: no layer connects processes, so that what one sends reaches the others' streams only at the next poll."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    alias = conf.validate(getattr(settings, "SSE_NOTIFY", {}))[0].LAYER
    if alias in layers and layers[alias].get("BACKEND") != _IN_MEMORY:
        return []
    return [
        checks.Warning(
            "No channel layer connects processes: with more than one, events arrive at the next poll instead of at once.",
            hint="pip install 'sse-notify[redis]' and set CHANNEL_LAYERS; with one process, silence this check.",
            id="sse_notify.W004",
        )
    ]


@register("sse_notify")
def check_application(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """W005: ``ASGI_APPLICATION`` is missing, so that ``runserver`` answers with finite streams."""
    if getattr(settings, "ASGI_APPLICATION", None):
        return []
    hint = "Set ASGI_APPLICATION = 'yourproject.asgi.application' and wrap it in sse_notify.asgi.EventStreams."
    return [
        checks.Warning(
            "ASGI_APPLICATION is not set: WSGI can only poll.", hint=hint, id="sse_notify.W005"
        )
    ]


@register("sse_notify")
def check_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E006: a router spreads the app's tables over databases; the log needs one."""
    from sse_notify.models import Inbox, LogHead, Notification, Receipt  # noqa: PLC0415  (checks run before all models are ready)

    models = (Notification, LogHead, Inbox, Receipt)
    aliases = {router.db_for_write(model) for model in models} | {
        router.db_for_read(model) for model in models
    }
    if len(aliases) == 1:
        return []
    return [
        Error(
            f"The database routers send the app's tables to {', '.join(sorted(aliases))}; the log needs one database.",
            hint="Have db_for_read() and db_for_write() return one alias for the app label 'sse_notify'.",
            id="sse_notify.E006",
        )
    ]
