"""The view of the event stream: it reads the request and answers with a stream.

Under the wrapper `sse_notify.asgi.EventStreams`, the hub decides whether the stream may begin.
Without it, the view decides. This module knows the request; the stream does not.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from sse_notify.access import decisions, sessions
from sse_notify.access.decisions import Granted, Subscriber
from sse_notify.access.links import identify, link_of
from sse_notify.access.openings import MALFORMED
from sse_notify.asgi.exchange import current_exchange, event_stream
from sse_notify.concurrency.transactions import never_atomic
from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused, UnknownTopic
from sse_notify.inbox.marks import CLIENT_LENGTH
from sse_notify.sse import control
from sse_notify.sse.format import MalformedCursor, parse_cursor
from sse_notify.streaming import registry
from sse_notify.streaming.limits import admission, refuse
from sse_notify.streaming.stream import Stream, read_page
from sse_notify.topics import MAX_TOPICS, Match, find
from sse_notify.views.responses import StreamResponse


@never_atomic  # it writes nothing
@login_not_required  # LoginRequiredMiddleware would redirect; the view itself decides
@sessions.in_background
@require_safe
@event_stream
def stream(request: HttpRequest) -> HttpResponseBase:
    """Answer with the user's event stream, or refuse with JSON.

    It never redirects, as no client of event streams expects that. HEAD says who may ask, and does
    not ask whether the user may listen to the topics. Query parameters:

    * ``cursor``, ``lastEventId``: the last event id; ``event-source-polyfill`` sends the second.
      The ``Last-Event-ID`` header counts, too; the largest one wins.
    * ``topic``: may be repeated.
    * ``client``: the page's id, as in its ``update`` events. A page that has one may replace an
      older stream of its user instead of being refused.
    * ``transport``: "eventsource" if the script reads the stream with an ``EventSource``.
    """
    exchange = current_exchange.get()
    try:
        admission.check()
        if exchange is not None and exchange.login is not None:
            exchange.login.prepare(request)
        subscriber = read_request(request)
        if exchange is not None and exchange.joins:
            return StreamResponse(make_stream(subscriber))  # the hub decides, in batches
        if request.method == "HEAD":
            return StreamResponse(())
        granted = decisions.open_now(subscriber)
        if not hasattr(request, "scope"):  # WSGI: a finite stream; the browser reconnects
            parts = finite(granted)
            if subscriber.wants_names:
                parts = map(control.with_names, parts)
            return StreamResponse(parts)
        return StreamResponse(make_stream(subscriber, granted))
    except HandshakeRefused as refusal:
        return refuse(refusal)


def read_request(request: HttpRequest) -> Subscriber:
    """Return the subscriber: who asks, and for which topics. The permissions are checked later.

    Raises:
        HandshakeRefused: 401 for a visitor who asks for no topic or for one that is not public, or
            for an invalid link; 403 for a topic that the link does not contain; 400 for too many
            topics.
    """
    link = link_of(request)
    by_session = link is None and not identify(request)
    # Without AuthenticationMiddleware, every user is anonymous.
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
    last_event_id = request.headers.get("Last-Event-ID")
    given = (*request.GET.getlist("cursor"), *request.GET.getlist("lastEventId"))
    try:
        cursor = parse_cursor(last_event_id, *given)
    except MalformedCursor:
        cursor = MALFORMED
    session = sessions.of(request) if by_session else None
    page = request.GET.get("client", "")
    return decisions.subscriber_of(
        user,
        session=session,
        asked=asked,
        cursor=cursor,
        page=page if len(page) <= CLIENT_LENGTH else "",
        resumes=bool(last_event_id),
        wants_names=request.GET.get("transport") == "eventsource",
    )


def make_stream(subscriber: Subscriber, granted: Granted | None = None) -> Stream:
    """Return the stream for a request; it counts against the limits until it is closed.

    Args:
        subscriber: the stream's subscriber.
        granted: the permission decision. ``None``: the hub decides when the stream joins.

    Raises:
        HandshakeRefused: 429 or 503, see :class:`sse_notify.streaming.limits.Admission`.
    """
    stream = Stream(subscriber=subscriber, feed=registry.feed())
    if granted is not None:
        stream.begin(granted, tuple(match.name for match in subscriber.asked))
    return stream


def finite(granted: Granted) -> Iterator[bytes]:
    """Yield a finite stream: everything that the client missed, page by page.

    This is for WSGI, where an open stream would hold a worker.
    """
    opening, limit = granted.opening, get_settings().REPLAY_PAGE
    assert opening is not None
    yield opening.prelude
    cursor, head = opening.cursor, opening.head
    while cursor < head:
        entries, complete, floor = read_page(cursor, head, reader=granted.reader, limit=limit)
        if cursor < floor:  # pruned meanwhile
            cursor = floor
            yield control.reset("expired", floor)
        else:
            cursor = complete
            if entries:
                yield b"".join([entry.frame for entry in entries])


def _find(name: str) -> Match:
    """Return the topic's registration; for an unknown topic, one that lets nobody subscribe.

    A project's path converters run later, with the topic's function: not in the few threads of the
    handshakes, which all users share.
    """
    try:
        return find(name, convert=False)
    except UnknownTopic:
        return Match(name)
