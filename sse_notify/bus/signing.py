"""Sign messages for the channel layer, and verify them: others can write to the channel layer too.

A message is one text, which every serializer of a channel layer can carry::

    ["<origin>",<part>,<part>,...]:<time>:<HMAC-SHA256>

``django.core.signing`` derives the HMAC's key from ``SECRET_KEY`` and from the destination. So a
message for one group or for one presence query is valid for no other. Nothing in a message is read
before its signature and its time are verified.

The names of the groups contain a digest of the key, so that sites with different keys do not hear
each other. Hubs also join the groups of ``SECRET_KEY_FALLBACKS``: processes with a new key hear
those with the old one. The opposite only holds if the old processes have the new key in
``SECRET_KEY_FALLBACKS``; otherwise they find events at their next poll.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

from django.core.signing import TimestampSigner
from django.utils.crypto import salted_hmac

from sse_notify.conf import get_settings
from sse_notify.sse.format import dumps
from sse_notify.telemetry import Incident, count

#: Seconds for which a message is valid, by the clocks of both processes. By default, Redis' core
#: layer keeps a message as long.
WINDOW_SECONDS = 60
#: Maximum characters of a message. The sender joins waiting messages up to far less than this.
MAX_CHARS = 16 * 1024 * 1024
#: Seconds without a dropped message until the next valid one ends the incident.
QUIET_SECONDS = 60.0

_BOOT = uuid.uuid4().hex

_foreign = Incident("layer_messages", quiet=QUIET_SECONDS)

T = TypeVar("T")


def origin() -> str:
    """Return an id of this process, unique among those that share a channel layer or database."""
    # A forked child shares the random part with its parent, but not the pid.
    return f"{_BOOT}-{os.getpid()}"


def groups() -> list[str]:
    """Return the names of the groups that hubs join. Messages are sent to the first one."""
    name = get_settings().GROUP
    signer = _signer(name)
    return [_group(name, key) for key in (signer.key, *signer.fallback_keys)]


def health_group() -> str:
    """Return the name of a group without members."""
    return f"{groups()[0]}.health"


@lru_cache(maxsize=16)
def _group(name: str, key: str | bytes) -> str:
    digest = salted_hmac("sse_notify.group", name, key, algorithm="sha256").hexdigest()
    return f"{name[:75]}.{digest[:16]}"  # with ".health" 99 characters, the maximum of Channels


def sign(to: str, parts: Iterable[str]) -> dict[str, str]:
    """Return the message of the channel layer that carries ``parts``.

    Args:
        to: the destination: ``GROUP``, or the channel of a presence query.
        parts: values as JSON.
    """
    body = f"[{','.join([dumps(origin()), *parts])}]"
    return {"type": "sse_notify.message", "signed": _signer(to).sign(body)}


def verify(to: str, message: Any, read: Callable[[Any], T]) -> list[T]:
    """Return what ``read`` makes of the parts of a message from the channel layer.

    A message of this process has no parts here, as its hubs already have it. A message that is not
    signed for ``to``, or is too old, is dropped, counted and logged as an incident. So is a part
    that ``read`` rejects: another version of this package may have joined it with valid ones.

    Args:
        to: as for :func:`sign`.
        message: what the channel layer returned; it can be anything.
        read: raises an exception for a part that is not as it must be.
    """
    try:
        text = message["signed"]
        if len(text) > MAX_CHARS:
            raise ValueError(f"The message has more than {MAX_CHARS} characters.")
        # Not verified yet: whoever forges this achieves no more than by deleting the message.
        if text.startswith(f'["{origin()}"'):
            return []
        _, *parts = json.loads(_signer(to).unsign(text, max_age=WINDOW_SECONDS))
    except Exception as error:  # Do not trust data from outside.
        _drop(error)
        return []
    found = []
    for part in parts:
        try:
            found.append(read(part))
        except Exception as error:
            _drop(error)
    if found:
        _foreign.worked()
    return found


def _drop(error: Exception) -> None:
    count("dropped")
    _foreign.failed(error)


def _signer(to: str) -> TimestampSigner:
    return TimestampSigner(salt=f"sse_notify.bus:{to}")
