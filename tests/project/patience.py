"""A middleware that lets the server wait longer for the streams, so that a busy machine has the time to look at it meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from sse_notify.streaming import registry


def patient(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Have the signal passed on when the last stream has left, or after a minute."""
    registry.BYE_SECONDS = 60.0
    return get_response
