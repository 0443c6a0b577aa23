"""The ``SSE_NOTIFY`` setting: keys, defaults and validation. No other module reads it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.functional import Promise

from sse_notify.sse.format import MAX_EVENT_BYTES, clean, shown


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of ``SSE_NOTIFY`` with their defaults. All are optional."""

    HEARTBEAT: float = 15.0  # seconds
    """Silence after which a stream sends a ``ping``."""
    RETRY_MS: tuple[int, int] = (2000, 5000)  # milliseconds
    """Minimum and maximum of ``retry:``. Each stream picks a random value between them."""
    MAX_LIFETIME: float = 600.0  # seconds
    """Age at which a stream ends with ``bye`` and its client reconnects. Each stream picks a random
    lifetime, at most a fifth shorter.
    """
    POLL_INTERVAL: float | None = None  # seconds
    """Time between two reads of the log. ``None``: 5, or 1 if no channel layer connects
    processes.
    """
    RECHECK_INTERVAL: float | None = None  # seconds
    """Time in which the permissions of every open stream are checked again. ``None``: 60. If no
    channel layer connects processes: ``POLL_INTERVAL``, or a second for every 50 streams of the
    process if that is more, up to 60.
    """
    MAX_STREAMS: int = 10_000  # per process
    """Maximum of open streams, and of waiting handshakes. The next request gets a 503."""
    MAX_STREAMS_PER_USER: int = 10  # per process
    """Maximum of open streams of one user. The next one replaces an older one, or gets a 429."""
    BUFFER_BYTES: int = 262_144  # bytes
    """Maximum size of a client's buffer. Beyond it, the stream drops it and reads the log."""
    SEND_TIMEOUT: float = 30.0  # seconds
    """Time that a client may block a write before the server closes its stream."""
    HANDSHAKE_THREADS: int = 8  # per process
    """Threads, and so database connections, for handshakes, permission checks and replays."""
    REPLAY_PAGE: int = 200  # events
    """Maximum that one query of a replay reads."""
    REPLAY_LIMIT: int = 10_000  # events
    """Maximum length of a replay. A client that missed more gets a ``reset``."""
    EVENT_MAX_BYTES: int = 65_536  # bytes
    """Maximum size of an encoded event. The package's script reads none of more than 1 MiB."""
    RETENTION_DAYS: float | None = 90.0  # days
    """Age at which ``prune_notifications`` deletes a notification. ``None``: never."""
    RUN_RETENTION: float = 60.0  # minutes
    """Time for which `sse_notify.contrib.runs` keeps runs that have ended."""
    DRAIN_SECONDS: float = 10.0  # seconds
    """Time over which clients reconnect when the process shuts down."""
    CATEGORIES: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Categories that users can mute, besides those they received: name to ``label``,
    ``description`` and ``required`` (nobody can mute it), all optional.
    """
    AUTHENTICATE: str = ""
    """The path of a function that finds the user of a request without a session, as by a token."""
    LIVE: bool = True
    """Whether the bell opens a stream. ``False`` is for browser tests, where an open stream keeps
    the network from ever being idle.
    """
    LAYER: str = "default"
    """The alias of the channel layer in ``CHANNEL_LAYERS``."""
    DOORBELL: str = "auto"
    """What connects processes. ``"layer"``: the channel layer. ``"postgresql"``: ``LISTEN`` and
    ``NOTIFY`` in the log's database. ``"auto"``: the channel layer if it connects processes, else
    PostgreSQL if the log is there, with psycopg 3. If nothing does, processes poll the log.
    """
    DOORBELL_OPTIONS: dict[str, Any] = field(default_factory=dict)
    """Arguments of ``psycopg.connect()`` that replace those of ``DATABASES`` for the connections of
    ``LISTEN`` and ``NOTIFY``, such as ``host`` and ``port`` of PostgreSQL behind a PgBouncer.
    """
    GROUP: str = "sse_notify"
    """The channel layer group of the hubs, without the digest of ``SECRET_KEY`` in its name. Sites
    that share a layer and a ``SECRET_KEY`` need different groups.
    """

    @cached_property
    def required(self) -> frozenset[str]:
        """The categories that nobody can mute."""
        return frozenset(name for name, about in self.CATEGORIES.items() if about.get("required"))


#: Maximum length of a category's name in characters. The columns have the same length.
CATEGORY_LENGTH = 100
_CATEGORY: Any = {"label": str | Promise, "description": str | Promise, "required": bool}
_DOORBELLS = ("auto", "layer", "postgresql")
_MAY_BE_NONE = {"POLL_INTERVAL", "RECHECK_INTERVAL", "RETENTION_DAYS"}
#: The largest number of every other key: databases limit the numbers in their statements.
_ANY = 2**31 - 1
_MOST = {"EVENT_MAX_BYTES": MAX_EVENT_BYTES, "HANDSHAKE_THREADS": 256, "RETENTION_DAYS": 36_500}
#: Seconds. A longer time would overflow the timers of browsers.
_SECONDS = ("HEARTBEAT", "MAX_LIFETIME", "SEND_TIMEOUT", "DRAIN_SECONDS")
_MOST |= dict.fromkeys((*_SECONDS, "POLL_INTERVAL", "RECHECK_INTERVAL"), 86_400)


def validate() -> tuple[Settings, list[str]]:
    """Return the project's settings and a list of the problems in ``SSE_NOTIFY``.

    In the returned settings, an invalid key has its default.
    """
    given = getattr(settings, "SSE_NOTIFY", {})
    if not isinstance(given, dict):
        return Settings(), [f"SSE_NOTIFY must be a dict, not {type(given).__name__}."]
    defaults = asdict(Settings())
    problems: list[str] = []
    good: dict[str, Any] = {}
    for key, value in given.items():
        if key not in defaults:
            problems.append(
                f"SSE_NOTIFY has no key {shown(key)}. Its keys are {', '.join(defaults)}."
            )
        elif requirement := _unmet_requirement(key, value, defaults[key]):
            problems.append(f"SSE_NOTIFY[{key!r}] must be {requirement}, not {shown(value)}.")
        else:
            good[key] = tuple(value) if isinstance(value, list) else value
    return Settings(**good), problems


def _unmet_requirement(key: str, value: Any, default: Any) -> str:
    """Return the requirement that the value does not meet; "" if the value is valid."""
    if key == "RETRY_MS":
        pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_whole, value))
        good = pair and 0 < value[0] <= value[1] <= 86_400_000
        requirement = "two whole numbers of milliseconds up to 86400000, the smaller first"
    elif key == "GROUP":  # Channels' rule for group names
        good = isinstance(value, str) and bool(re.fullmatch(r"[a-zA-Z0-9_.-]{1,99}", value))
        requirement = "1 to 99 ASCII letters, digits, hyphens, underscores or periods"
    elif key == "CATEGORIES":
        good = isinstance(value, dict) and all(map(_is_category, value.items()))
        requirement = "like {'orders': {'label': 'Orders', 'description': 'All', 'required': True}}"
    elif key == "DOORBELL":
        good, requirement = value in _DOORBELLS, f"one of {', '.join(map(repr, _DOORBELLS))}"
    elif key == "DOORBELL_OPTIONS":
        good = isinstance(value, dict) and all(map(str.isidentifier, map(str, value)))
        requirement = "like {'host': '10.0.0.5', 'port': 5432}"
    elif isinstance(default, bool):
        good, requirement = isinstance(value, bool), "True or False"
    elif isinstance(default, str):
        good, requirement = isinstance(value, str) and value != "", "a string that is not empty"
    else:
        whole, zero, most = isinstance(default, int), key == "DRAIN_SECONDS", _MOST.get(key, _ANY)
        if _is_whole(value) or (isinstance(value, float) and not whole):
            # NaN fails every comparison, so this rejects it.
            good = 0 < value <= most or (zero and value == 0)
        else:
            good = value is None and key in _MAY_BE_NONE
        least = "of at least" if zero else "greater than"
        requirement = f"a {'whole ' * whole}number {least} 0 and at most {most}"
    return "" if good else requirement


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_category(item: tuple[Any, Any]) -> bool:
    name, about = item
    is_named = isinstance(name, str) and 1 <= len(name) <= CATEGORY_LENGTH
    if not is_named or not isinstance(about, dict):
        return False
    texts = [text for text in (name, *about.values()) if isinstance(text, str)]
    are_clean = all(clean(text) == text for text in texts)
    return are_clean and all(isinstance(about[key], _CATEGORY.get(key, ())) for key in about)


@cache
def get_settings() -> Settings:
    """Return the current settings.

    Raises:
        ImproperlyConfigured: a key is unknown or its value is invalid. ``manage.py check`` reports
            the same problems.
    """
    found, problems = validate()
    if problems:
        raise ImproperlyConfigured(" ".join(problems))
    return found


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "SSE_NOTIFY":
        get_settings.cache_clear()
