"""``SSE_NOTIFY``: the defaults, their validation, and the one place that reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.functional import Promise


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Every key of ``SSE_NOTIFY`` with its default. All are optional."""

    HEARTBEAT: float = 15.0
    """Seconds of silence after which a stream sends a ``ping``."""
    RETRY_MS: tuple[int, int] = (2000, 5000)
    """Milliseconds, from and to, out of which each stream's ``retry:`` is drawn."""
    MAX_LIFETIME: float = 600.0
    """Seconds after which a stream ends with ``bye`` and the client comes back; each stream's own is up to a fifth shorter."""
    POLL_INTERVAL: float | None = None
    """Seconds between two looks at the log. ``None``: 5, or 1 while no layer connects processes."""
    RECHECK_INTERVAL: float | None = None
    """Seconds in which the permission of every open stream is looked at again unasked. ``None``: 60, or ``POLL_INTERVAL`` without a layer."""
    MAX_STREAMS: int = 10_000
    """Open streams in one process, and as many handshakes may wait; one more is answered by 503."""
    MAX_STREAMS_PER_USER: int = 10
    """Open streams of one user in one process; one more is answered by 429."""
    BUFFER_BYTES: int = 262_144
    """Bytes that may wait for one client; beyond them the buffer is dropped and the client reads the log."""
    SEND_TIMEOUT: float = 30.0
    """Seconds that a client may block a write before its stream is closed."""
    HANDSHAKE_THREADS: int = 8
    """Threads, and so database connections, for handshakes, decisions about streams and replays in one process."""
    REPLAY_PAGE: int = 200
    """Events that one query of a replay reads."""
    REPLAY_LIMIT: int = 10_000
    """Missed events that are replayed; a client that missed more is told to fetch its list anew."""
    EVENT_MAX_BYTES: int = 65_536
    """Bytes that one encoded event may have."""
    RETENTION_DAYS: float | None = 90.0
    """Days after which ``prune_notifications`` deletes a notification. ``None``: never."""
    DRAIN_SECONDS: float = 10.0
    """Seconds over which clients are told to come back when the process is asked to end."""
    CATEGORIES: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What users find in ``preferences/`` to mute, besides what they got: the category's name, and of each, all optional,
    its ``label`` and ``description``, and ``required``, ``True`` for one that nobody can mute."""
    LAYER: str = "default"
    """The alias in ``CHANNEL_LAYERS``."""
    GROUP: str = "sse_notify"
    """The layer's group that the hubs are in; sites that share a layer need different ones."""

    @property
    def required(self) -> frozenset[str]:
        """The categories that nobody can mute."""
        return frozenset(name for name, about in self.CATEGORIES.items() if about.get("required"))


_LONGEST_RETENTION = 36_500
_MAY_BE_NONE = frozenset({"POLL_INTERVAL", "RECHECK_INTERVAL", "RETENTION_DAYS"})
#: Keys that may be zero; every other number has to be more than that.
_MAY_BE_ZERO = frozenset({"DRAIN_SECONDS"})
_LARGEST_THREADS = 256
#: The longest name of a category, in characters: what the column of the log holds.
CATEGORY_LENGTH = 100


def validate(given: Any) -> tuple[Settings, list[str]]:
    """Return the settings that ``given``, the value of ``SSE_NOTIFY``, asks for, and what is wrong with it.

    A key that is wrong keeps its default in the settings that are returned.
    """
    if not isinstance(given, dict):
        return Settings(), [f"SSE_NOTIFY is a dict of settings, not {type(given).__name__}."]
    known = {field.name: field for field in fields(Settings)}
    problems: list[str] = []
    good: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            problems.append(
                f"SSE_NOTIFY has no key {key!r}. Its keys are: {', '.join(sorted(known))}."
            )
        elif problem := _problem(key, value, known[key].default):
            problems.append(f"SSE_NOTIFY[{key!r}] {problem}, not {value!r}.")
        else:
            good[key] = tuple(value) if isinstance(value, list) else value
    return Settings(**good), problems


def _problem(key: str, value: Any, default: Any) -> str:
    if key == "RETRY_MS":
        pair = (
            isinstance(value, (tuple, list))
            and len(value) == 2
            and all(_is_number(v, int) for v in value)
        )
        return (
            ""
            if pair and 0 < value[0] <= value[1]
            else "is a pair of milliseconds, the smaller first"
        )
    if key == "GROUP":  # what Channels allows as a group's name
        fine = isinstance(value, str) and re.fullmatch(r"[a-zA-Z0-9_.-]{1,99}", value)
        return "" if fine else "is 1 to 99 ASCII letters, digits, hyphens, underscores or periods"
    if key == "CATEGORIES":
        return _problem_of_categories(value)
    if isinstance(default, str):
        return "" if isinstance(value, str) and value else "is a text that is not empty"
    if key in _MAY_BE_NONE and value is None:
        return ""
    whole = isinstance(default, int)
    if not _is_number(value, int if whole else (int, float)):
        return "is a whole number" if whole else "is a number of seconds or days"
    if key == "RETENTION_DAYS" and not value <= _LONGEST_RETENTION:  # so put, it refuses NaN
        return f"is at most {_LONGEST_RETENTION}"
    if value < 0 or (value == 0 and key not in _MAY_BE_ZERO):
        return "is more than zero"
    if key == "HANDSHAKE_THREADS" and value > _LARGEST_THREADS:
        return f"is at most {_LARGEST_THREADS}"
    return ""


def _problem_of_categories(value: Any) -> str:
    texts = {"label", "description"}
    if not isinstance(value, dict) or not all(isinstance(about, dict) for about in value.values()):
        return "is a dict of dicts"
    for name, about in value.items():
        if not isinstance(name, str) or not 1 <= len(name) <= CATEGORY_LENGTH:
            return f"has names of 1 to {CATEGORY_LENGTH} characters"
        if not about.keys() <= {*texts, "required"}:
            return f"has no key but label, description and required in {name!r}"
        if not all(
            isinstance(about.get(key, ""), (str, Promise)) for key in texts
        ) or not isinstance(about.get("required", False), bool):
            return f"has texts and a required that is True or False in {name!r}"
    return ""


def _is_number(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


@cache
def get_settings() -> Settings:
    """Return the settings in force.

    Raises:
        ImproperlyConfigured: a key is unknown or its value wrong; the message names the key. ``manage.py check`` says the same.
    """
    found, problems = validate(getattr(settings, "SSE_NOTIFY", {}))
    if problems:
        raise ImproperlyConfigured(" ".join(problems))
    return found


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "SSE_NOTIFY":
        get_settings.cache_clear()
