"""The event stream: who asks, for what, from where, and the answer. It knows the request; the stream does not."""

from __future__ import annotations

import logging

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from sse_notify.access import decisions, sessions
from sse_notify.access.decisions import Granted, Subscriber
from sse_notify.access.links import link_of
from sse_notify.access.openings import MALFORMED
from sse_notify.asgi.exchange import current_exchange, event_stream
from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused, UnknownTopic
from sse_notify.log.reader import read_entries
from sse_notify.log.sequence import get_position
from sse_notify.sse import control
from sse_notify.sse.format import MalformedCursor, parse_cursor
from sse_notify.streaming import registry
from sse_notify.streaming.limits import refuse
from sse_notify.streaming.stream import Stream
from sse_notify.topics import MAX_TOPICS, Match, find
from sse_notify.views.responses import StreamResponse

logger = logging.getLogger("sse_notify")


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
    exchange = current_exchange.get()
    try:
        subscriber = read_request(request)
        if request.method == "GET" and exchange is not None and exchange.joins:
            return StreamResponse(make_stream(subscriber))  # its hub decides, for many at once
        granted = decisions.open_now(subscriber)
        if request.method == "HEAD":
            return StreamResponse(b"")
        if not hasattr(request, "scope"):  # WSGI: finite, after which the browser asks again
            return StreamResponse(finite(granted))
        return StreamResponse(make_stream(subscriber, granted))
    except HandshakeRefused as refusal:
        return refuse(refusal)


def read_request(request: HttpRequest) -> Subscriber:
    """Return who asks, and for what. What it may have is decided later.

    Raises:
        HandshakeRefused: 401 without a user (and without public topics) or with a link that does not hold, 403 for a topic that is
            nobody's, 400 for too many.
    """
    link = link_of(request)
    # Without AuthenticationMiddleware everybody is anonymous.
    user: AbstractBaseUser | AnonymousUser = (
        link.user if link else getattr(request, "user", None) or AnonymousUser()
    )
    names = tuple(dict.fromkeys(request.GET.getlist("topic")))
    if link is not None:
        if foreign := [name for name in names if name not in link.topics]:
            text = "The link does not open this topic."
            raise HandshakeRefused(403, "forbidden", text, topic=foreign[0])
        names = link.topics
    if len(names) > MAX_TOPICS:
        text = f"At most {MAX_TOPICS} topics can be asked for."
        raise HandshakeRefused(400, "too_many_topics", text)
    if not user.is_authenticated and not names:
        raise decisions.unauthenticated()
    asked = tuple(map(_find, names))
    for match in asked:
        if not user.is_authenticated and not match.public:
            raise decisions.forbidden(match.name, visitor=True)
    try:
        cursor = parse_cursor(request.headers.get("Last-Event-ID"), *request.GET.getlist("cursor"))
    except MalformedCursor:
        cursor = MALFORMED
    session = sessions.of(request) if link is None else None
    return decisions.subscriber_of(user, session=session, asked=asked, cursor=cursor)


def make_stream(subscriber: Subscriber, granted: Granted | None = None) -> Stream:
    """Return the stream for a request; it counts against the limits until it is closed.

    Args:
        subscriber: whose stream.
        granted: the decision about it. ``None``: its hub decides when it joins.

    Raises:
        HandshakeRefused: 429 or 503, see :class:`sse_notify.streaming.limits.Admission`.
    """
    stream = Stream(subscriber=subscriber, feed=registry.feed())
    if granted is not None:
        stream.begin(granted, tuple(match.name for match in subscriber.asked))
    return stream


def finite(granted: Granted) -> bytes:
    """Return the whole of a stream that ends: what the client missed. For WSGI, where a stream would hold a worker."""
    opening = granted.opening
    assert opening is not None
    page = get_settings().REPLAY_PAGE
    parts = [opening.prelude]
    cursor = opening.cursor
    while cursor < opening.head:
        entries, cursor = read_entries(cursor, opening.head, reader=granted.reader, limit=page)
        parts.extend(entry.frame for entry in entries)
    if opening.cursor < opening.head and opening.cursor < get_position().floor:  # pruned meanwhile
        parts.append(control.reset("expired", cursor))
    return b"".join(parts)


def _find(name: str) -> Match:
    """Return what the project registered for a topic; a name that is nobody's is asked for in vain."""
    try:
        return find(name)
    except UnknownTopic:
        pass
    except Exception:  # a path converter of the project's
        logger.exception("The topic %r cannot be matched.", name)
    return Match(name)
