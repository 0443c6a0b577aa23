"""How often one address may do something that anybody may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.cache import cache

if TYPE_CHECKING:
    from django.http import HttpRequest


def is_allowed(request: HttpRequest, what: str, *, times: int, seconds: int) -> bool:
    """Return whether the request's address may do ``what`` once more.

    Args:
        request: a request; behind a proxy, have the server set ``REMOTE_ADDR`` from what that proxy says.
        what: names the counter.
        times: how often in ``seconds``.
        seconds: after the first time, how long it takes until counting starts anew.
    """
    key = f"{what}:{request.META.get('REMOTE_ADDR', '')}"
    cache.add(key, 0, seconds)
    try:
        return cache.incr(key) <= times
    except ValueError:  # its time has just come
        return True
