"""Opening a stream: who asks, for what, from where. Sync code that queries; it knows the request, the stream does not."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AnonymousUser
from django.utils.crypto import salted_hmac

from sse_notify import counters, frames, hubs, log, snapshot, threads
from sse_notify.admission import admission
from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused
from sse_notify.links import link_of
from sse_notify.log import Reader
from sse_notify.permits import Permit, permit_of
from sse_notify.snapshot import reader_of
from sse_notify.stream import Stream
from sse_notify.topics import MAX_TOPICS, is_allowed
from sse_notify.wire import MalformedCursor, dumps, encode, parse_cursor

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.http import HttpRequest

#: The version of the protocol that ``hello`` names.
VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """A handshake that succeeded: what the stream starts with."""

    reader: Reader
    """What the client may read of the log."""
    permit: Permit
    """What the client's permission rests on, with the topics that it asked for."""
    cursor: int
    """After which number the stream starts."""
    head: int
    """How far the log was numbered at that moment."""
    prelude: bytes
    """``retry:``, ``hello``, and ``reset`` if the client's cursor cannot be honoured."""


def open_up(request: HttpRequest) -> Opening:
    """Authenticate and authorise the request, and say where its stream starts.

    Raises:
        HandshakeRefused: 401 without a user (and without public topics) or with a link that does not hold, 403 for a topic that is not
            allowed, 400 for too many.
    """
    link = link_of(request)
    # Without AuthenticationMiddleware everybody is anonymous.
    user: AbstractBaseUser | AnonymousUser = (
        link.user if link else getattr(request, "user", None) or AnonymousUser()
    )
    asked = tuple(dict.fromkeys(request.GET.getlist("topic")))
    if link is not None:
        if foreign := [name for name in asked if name not in link.topics]:
            raise HandshakeRefused(
                403, "forbidden", "The link does not open this topic.", topic=foreign[0]
            )
        asked = link.topics
    _authorise(user, asked)
    account: Any = user if user.is_authenticated else None
    reader = reader_of(account) if account is not None else Reader(topics=())
    seen = snapshot.take(reader, account)
    position = seen.position
    cursor, reason = _verdict(request, reader, position)
    hello = {
        "v": VERSION,
        "cursor": cursor,
        "head": position.head,
        "state_seq": seen.state_seq,
        "unread": seen.unread,
        "unseen": seen.unseen,
        "key": user_key(account) if account is not None else None,
        "ping": get_settings().HEARTBEAT,
        "server_time": datetime.now(UTC).isoformat(),
    }
    # The leading blank line ends what a browser may have kept of an earlier connection that was cut within an event.
    # ``retry:`` shares the block of ``hello``, as some readers take a block of its own for an event without data.
    retry = random.randint(*get_settings().RETRY_MS)
    prelude = b"\n" + encode(dumps(hello), event="hello", id=cursor, retry=retry)
    if reason:
        counters.add("reset", reason)
        prelude += frames.reset(reason, cursor)
    permit = permit_of(request if link is None else None, account, asked)
    return Opening(reader=reader, permit=permit, cursor=cursor, head=position.head, prelude=prelude)


def user_key(user: AbstractBaseUser | AnonymousUser) -> str:
    """Return a name for ``user`` that tells nothing of it.

    The widget carries it and ``hello`` repeats it: tabs of one user find each other by it, and a page of one user does not take the
    stream of another who signed in since.
    """
    return salted_hmac("sse_notify.user_key", str(user.pk), algorithm="sha256").hexdigest()[:32]


def make_stream(opening: Opening) -> Stream:
    """Return the stream for a handshake; it counts against the limits until it is closed.

    Raises:
        HandshakeRefused: 429 or 503, see :class:`sse_notify.admission.Admission`.
    """
    conf = get_settings()
    user_id = opening.reader.user_id
    admission.admit(user_id)
    return Stream(
        reader=opening.reader,
        topics=opening.permit.asked,
        permit=opening.permit,
        cursor=opening.cursor,
        prelude=opening.prelude,
        feed=hubs.feed(),
        run=threads.in_this_thread if threads.in_test_transaction() else threads.streams,
        page=conf.REPLAY_PAGE,
        buffer_bytes=conf.BUFFER_BYTES,
        lifetime=conf.MAX_LIFETIME,
        on_close=partial(admission.release, user_id),
    )


def finite(opening: Opening) -> bytes:
    """Return the whole of a stream that ends: what the client missed. For WSGI, where a stream would hold a worker."""
    page = get_settings().REPLAY_PAGE
    parts = [opening.prelude]
    cursor = opening.cursor
    while cursor < opening.head:
        entries, cursor = log.read(cursor, opening.head, reader=opening.reader, limit=page)
        parts.extend(entry.frame for entry in entries)
    if opening.cursor < opening.head and opening.cursor < log.position().floor:  # pruned meanwhile
        parts.append(frames.reset("expired", cursor))
    return b"".join(parts)


def _authorise(user: AbstractBaseUser | AnonymousUser, asked: tuple[str, ...]) -> None:
    if len(asked) > MAX_TOPICS:
        raise HandshakeRefused(
            400, "too_many_topics", f"At most {MAX_TOPICS} topics can be asked for."
        )
    if not user.is_authenticated and not asked:
        raise HandshakeRefused(401, "unauthenticated", "Sign in to open a stream.")
    for name in asked:
        if not is_allowed(user, name):
            if not user.is_authenticated:
                raise HandshakeRefused(401, "unauthenticated", "Sign in to listen to this topic.")
            raise HandshakeRefused(
                403, "forbidden", "You may not listen to this topic.", topic=name
            )


def _verdict(request: HttpRequest, reader: Reader, position: log.Position) -> tuple[int, str]:
    """Return the cursor to start from, and why the client's own cannot be honoured, if so."""
    head = position.head
    try:
        cursor = parse_cursor(request.headers.get("Last-Event-ID"), *request.GET.getlist("cursor"))
    except MalformedCursor:
        return head, "malformed"
    if cursor is None:
        return head, ""
    if cursor > head:
        return head, "ahead"
    if cursor < position.floor:
        return head, "expired"
    limit = get_settings().REPLAY_LIMIT
    # Numbers are dense: who is not further behind than the limit cannot have missed more than that.
    if head - cursor > limit and log.count(cursor, reader=reader, limit=limit + 1) > limit:
        return head, "too_many"
    return cursor, ""
