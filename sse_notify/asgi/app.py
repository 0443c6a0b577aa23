"""``EventStreams``: Django handles the handshake; the stream runs without Django.

    application = EventStreams(get_asgi_application())

A request for a view marked as an event stream runs through Django's *synchronous* handler, with all
middleware, in one hop to a small thread pool. The view authenticates, authorises, and hands over a
stream through an object in the context. Then Django's request ends completely. What remains is the
stream, ``receive`` and ``send``: no thread, no connection, no request.

All other requests go to the wrapped application unchanged. If one of them answers with a stream,
the stream is handed over in the same way, after Django has sent the headers.

Handshakes take turns, and give way to other requests: see `sse_notify.concurrency.turns`. One that
waits is not started if its client disconnects. A new one is refused, before it costs a thread or a
query, if the process is full or shutting down, or if ``MAX_STREAMS`` handshakes are waiting.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.core import signals
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.urls import resolve, set_script_prefix

from sse_notify.access.logins import Logins
from sse_notify.asgi.exchange import MARK, ClientLeft, Exchange, current_exchange, give_up_after
from sse_notify.concurrency import threadpool, turns
from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused
from sse_notify.sse.format import MEDIA_TYPE
from sse_notify.streaming.base import BaseStream
from sse_notify.streaming.limits import admission, refuse

# Loose types, as Django and other frameworks use different mappings.
Application = Callable[[Any, Any, Any], Awaitable[None]]

#: Status, headers and body; the body of a stream is ``None``.
Answer = tuple[int, list[tuple[bytes, bytes]], bytes | None]

_MEDIA_TYPE = MEDIA_TYPE.encode()
#: Headers of a stream's response that a refusal does not keep, in lower case.
_OF_A_STREAM = (b"content-type", b"content-encoding", b"cache-control", b"x-accel-buffering")


class EventStreams:
    """Wrap a project's ASGI application, and serve its event streams outside Django.

    Args:
        application: what ``get_asgi_application()`` returned, or an application that wraps it.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self._handler = _Handler()
        #: Handshakes in progress, most of them waiting for their turn.
        self._waiting = 0
        self._logins = Logins()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        exchange = Exchange(receive, _header(scope, b"cookie"))
        try:
            await self._answer(scope, exchange, send)
            stream = exchange.take()
            del scope
            if stream is not None:
                await serve(stream, exchange, send)
        finally:
            exchange.end()

    async def _answer(self, scope: Any, exchange: Exchange, send: Any) -> None:
        """Answer the request, except for the stream that the answer may have."""
        token = current_exchange.set(exchange)
        try:
            if _is_handshake(scope):
                await self._handshake(scope, exchange, send)
            else:
                with turns.current().other() as answered:
                    is_head = scope["method"] == "HEAD"
                    kept_open = _keep_open(exchange, send, answered, head=is_head)
                    await self.application(scope, exchange.receive, kept_open)
        finally:
            current_exchange.reset(token)

    async def _handshake(self, scope: Any, exchange: Exchange, send: Any) -> None:
        """Answer the request through Django's synchronous handler."""
        headers: list[tuple[bytes, bytes]] = []
        waiting = self._waiting
        self._waiting += 1
        in_turn, turn = turns.current(), None
        exchange.login = login = self._logins.add(exchange.cookies)
        try:
            admission.check(waiting=waiting)
            turn = in_turn.ask()
            await exchange.unless_left(turn)
            # Not the pool's own call: this one makes async-only middleware run on this event loop,
            # as with Django's own handler.
            pool: Any = threadpool.streams
            answer = sync_to_async(self._handler.answer, thread_sensitive=False, executor=pool)
            status, headers, body = await exchange.unless_left(answer(scope, exchange))
            in_turn.end(turn)
            if body is not None:  # middleware may have made another answer of it
                exchange.abandon()
            elif exchange.stream is not None:
                await exchange.unless_left(exchange.stream.join())
        except ClientLeft:
            return
        except HandshakeRefused as refusal:
            exchange.abandon()
            refused = refuse(refusal)
            refused["Content-Length"] = str(len(refused.content))
            # Keep the headers that middleware added.
            kept = [(name, value) for name, value in headers if name.lower() not in _OF_A_STREAM]
            status, headers, body = _render(refused)
            headers = [*kept, *headers]
        finally:
            self._waiting -= 1
            login.forget()
            if turn is not None:
                in_turn.end(turn)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if body is not None:
            await send({"type": "http.response.body", "body": body})


async def serve(stream: BaseStream, exchange: Exchange, send: Any) -> None:
    """Send the chunks of ``stream`` until it ends or the client disconnects.

    The headers are sent already. Every ``send`` is called in this task, so that middleware around
    it may use timeouts and context variables.
    """
    task = asyncio.current_task()
    assert task is not None
    stream.cancel = task.cancel
    exchange.watch(stream.abort)
    give_up_after(get_settings().SEND_TIMEOUT, send)
    try:
        while (chunk := await stream.read()) is not None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            del chunk  # an idle stream holds nothing of what it has sent
        if not exchange.left:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except asyncio.CancelledError:
        # ``abort`` cancels this task: the client disconnected, or blocked a write for too long. Any
        # other cancellation comes from the server.
        if not stream.aborted:
            raise
        task.uncancel()
    except OSError:  # some servers raise it if the client disconnects during a write
        pass
    finally:
        stream.close()
        give_up_after(0, send)  # the connection may stay open for other requests


def _keep_open(
    exchange: Exchange, send: Any, answered: Callable[[], None], *, head: bool
) -> Callable[[Any], Awaitable[None]]:
    """Return a ``send`` for the wrapped application that keeps a stream's response open.

    The stream is served after the application has returned. ``answered`` is called when the
    response begins.
    """
    is_stream = False

    async def send_on(message: Any) -> None:
        nonlocal is_stream
        if message["type"] == "http.response.start":
            is_stream = not head and _is_stream(message["status"], message["headers"])
            answered()
        elif exchange.stream is not None and not message.get("more_body", False):
            if not is_stream:  # HEAD, or the response is not a stream
                exchange.abandon()
            elif not message.get("body"):
                return
            else:
                message = {**message, "more_body": True}
        await send(message)

    return send_on


class _Handler(BaseHandler):
    """Django's request handler without its event loop: all middleware and the view in one thread.

    Django has no public API that runs an ASGI request through the synchronous chain:
    ``get_asgi_application()`` switches threads at each sync middleware, and
    ``get_wsgi_application()`` takes a WSGI environ, so that a view finds no scope. So this class
    extends Django's base class and loads a middleware chain of its own: each middleware is
    instantiated twice per process. A test fails if Django changes the base class.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loading = threading.Lock()

    def answer(self, scope: Any, exchange: Exchange) -> Answer:
        """Return status, headers and body; the body of a stream is ``None``."""
        with self._loading:  # not on the event loop: a middleware may query when it is made
            if self._middleware_chain is None:  # type: ignore[attr-defined]
                self.load_middleware(is_async=False)
        exchange.joins = True
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        try:
            # Created only here, so that handshakes that wait for a thread hold no request.
            request = ASGIRequest(scope, io.BytesIO())
        except (UnicodeDecodeError, SuspiciousOperation):
            return _render(HttpResponseBadRequest())
        response = self.get_response(request)
        try:
            headers = _encode_headers(response)
            is_stream = response.streaming and _is_stream(response.status_code, headers)
            if is_stream and exchange.choose(getattr(response, "stream", None)):
                return response.status_code, headers, None
            if exchange.is_over or getattr(response, "stream", None):
                return response.status_code, headers, b""
            return _render(response)
        finally:
            response.close()


def _header(scope: Any, name: bytes) -> str:
    """Return a header's value; HTTP/2 may send several ``Cookie`` headers, which are joined."""
    return "; ".join(value.decode("latin1") for key, value in scope["headers"] if key == name)


def _is_handshake(scope: Any) -> bool:
    """Return whether the request asks for a stream, from a view that is marked as one."""
    # Whatever it accepts: the limits hold for all. HEAD, which opens no stream, goes to the wrapped
    # application. So do requests for other views, whose streams are served as well.
    if scope["method"] != "GET":
        return False
    try:
        return hasattr(resolve(scope["path"].removeprefix(get_script_prefix(scope))).func, MARK)
    except Exception:  # a middleware may set another URLconf, or a converter fails: Django answers
        return False


def _is_stream(status: int, headers: Any) -> bool:
    return status == 200 and any(
        name.lower() == b"content-type" and value.startswith(_MEDIA_TYPE) for name, value in headers
    )


def _render(response: Any) -> Answer:
    return response.status_code, _encode_headers(response), b"".join(response)


def _encode_headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    """Return the headers as Django's own handler would send them, cookies included."""
    headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    cookies = [cookie.OutputString().encode("ascii") for cookie in response.cookies.values()]
    return headers + [(b"Set-Cookie", cookie) for cookie in cookies]
