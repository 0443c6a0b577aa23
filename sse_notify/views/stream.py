"""The event stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.views.decorators.http import require_safe

from sse_notify.access.decisions import open_now
from sse_notify.asgi.handover import current_handover, event_stream
from sse_notify.exceptions import HandshakeRefused
from sse_notify.streaming.limits import refuse
from sse_notify.views.handshake import finite, make_stream, read_request
from sse_notify.views.responses import StreamResponse

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


# Outside ATOMIC_REQUESTS: nothing is written.
@transaction.non_atomic_requests
@login_not_required  # or Django's LoginRequiredMiddleware would redirect; the handshake decides
@require_safe
@event_stream
def stream(request: HttpRequest) -> HttpResponseBase:
    """Answer with the user's event stream, or refuse with JSON; never with a redirect, which no reader of streams expects.

    Query: ``cursor``, the last event id (the ``Last-Event-ID`` header counts too, the larger wins); ``topic``, repeatable;
    ``client``, the page's own mark, which comes back in its ``update`` events.
    """
    handover = current_handover.get()
    try:
        subscriber = read_request(request)
        if request.method == "GET" and handover is not None and handover.joins:
            return StreamResponse(make_stream(subscriber))  # its hub decides, for many at once
        granted = open_now(subscriber)
        if request.method == "HEAD":
            return StreamResponse(b"")
        if not hasattr(request, "scope"):  # WSGI: finite, after which the browser asks again
            return StreamResponse(finite(granted))
        return StreamResponse(make_stream(subscriber, granted))
    except HandshakeRefused as refusal:
        return refuse(refusal)
