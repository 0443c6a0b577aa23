"""A rate limit per client address, for public actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.cache import cache

if TYPE_CHECKING:
    from django.http import HttpRequest


def is_allowed(request: HttpRequest, what: str, *, times: int, seconds: int) -> bool:
    """Return whether the request's address may do ``what`` again, and count it.

    Args:
        request: the request. Behind a proxy, the server must set ``REMOTE_ADDR`` from the proxy's
            header.
        what: the name of the counter.
        times: how often in ``seconds``.
        seconds: the time from the first count until counting starts again.
    """
    key = f"{what}:{request.META.get('REMOTE_ADDR', '')}"
    cache.add(key, 0, seconds)
    try:
        return cache.incr(key) <= times
    except ValueError:  # the counter has just expired
        return True
