"""``EventStreams``: the handshake belongs to Django, the stream does not.

    application = EventStreams(get_asgi_application())

A request for a view marked as an event stream runs through Django's *synchronous* handler, with all middleware, in one hop on a
small pool of threads. The view authenticates, authorises, and hands a stream over through an object in the context. Then Django's
request ends completely, and what is left is the stream, ``receive`` and ``send``: no thread, no connection, no request.

All other requests go to the wrapped application unchanged; if one of them answers with a stream all the same, it is handed over in
the same way when Django has sent the headers.

Handshakes that wait for a thread are looked after: one whose client gave up is never begun, and when the process is full, is ending,
or has as many of them waiting as it could ever serve, a further one is turned away before it costs a thread or a query.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

from django.core import signals
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve, set_script_prefix

from sse_notify.asgi.exchange import MARK, ClientLeft, Exchange, current_exchange, give_up_after
from sse_notify.concurrency import threadpool
from sse_notify.conf import get_settings
from sse_notify.exceptions import HandshakeRefused
from sse_notify.sse.format import CONTENT_TYPE
from sse_notify.streaming.base import BaseStream
from sse_notify.streaming.limits import admission, refuse

# Loose, as Django's handler and other frameworks' types differ in their kinds of mappings.
Application = Callable[[Any, Any, Any], Awaitable[None]]

#: Status, headers and body; ``None`` for the body of a stream.
Answer = tuple[int, list[tuple[bytes, bytes]], bytes | None]

_ACCEPT = CONTENT_TYPE.encode()
#: Headers of a stream's answer that a refusal does not have, in lower case.
_OF_A_STREAM = (b"content-type", b"content-encoding", b"cache-control", b"x-accel-buffering")


class EventStreams:
    """Wraps a project's ASGI application so that its event streams are served beside Django.

    Args:
        application: what ``get_asgi_application()`` returned, or anything that ends in it.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self._handler: _Handler | None = None
        #: Handshakes under way, most of them waiting for a thread.
        self._waiting = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        exchange = Exchange(receive, _header(scope, b"cookie"))
        token = current_exchange.set(exchange)
        try:
            if _is_handshake(scope):
                await self._handshake(scope, exchange, send)
            else:
                kept_open = _keep_open(exchange, send, head=scope["method"] == "HEAD")
                await self.application(scope, exchange.receive, kept_open)
            stream = exchange.take()
            del scope
            if stream is not None:
                await serve(stream, exchange, send)
        finally:
            current_exchange.reset(token)
            exchange.end()

    async def _handshake(self, scope: Any, exchange: Exchange, send: Any) -> None:
        """Answer the request through the synchronous handler."""
        if self._handler is None:
            self._handler = _Handler()
        headers: list[tuple[bytes, bytes]] = []
        waiting = self._waiting
        self._waiting += 1
        try:
            if scope["method"] == "GET":
                admission.check(waiting=waiting)
            # In a copy of this context, as Django's own handler would.
            answer = threadpool.streams(copy_context().run, self._handler.answer, scope, exchange)
            status, headers, body = await exchange.unless_left(answer)
            if exchange.stream is not None:
                await exchange.unless_left(exchange.stream.join())
        except ClientLeft:
            return
        except HandshakeRefused as refusal:
            exchange.abandon()
            refused = refuse(refusal)
            refused["Content-Length"] = str(len(refused.content))
            # What the middleware has added stays.
            kept = [(name, value) for name, value in headers if name.lower() not in _OF_A_STREAM]
            status, headers, body = _render(refused)
            headers = [*kept, *headers]
        finally:
            self._waiting -= 1
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if body is not None:
            await send({"type": "http.response.body", "body": body})


async def serve(stream: BaseStream, exchange: Exchange, send: Any) -> None:
    """Send what ``stream`` has, until it ends or the client leaves. The headers are sent already.

    Every ``send`` is called in this task, so that a middleware around it may use timeouts and context variables.
    """
    task = asyncio.current_task()
    assert task is not None
    stream.cancel = task.cancel
    exchange.watch(stream.abort)
    give_up_after(get_settings().SEND_TIMEOUT, send)
    try:
        while (chunk := await stream.read()) is not None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if not exchange.left:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except asyncio.CancelledError:
        # The client left, or blocked a write for too long: our own doing, and the end. Anything else comes from the server.
        if not stream.aborted:
            raise
        task.uncancel()
    except OSError:  # the client left while this was writing, as some servers say
        pass
    finally:
        stream.close()
        give_up_after(0, send)  # the connection may stay open for other requests


def _keep_open(exchange: Exchange, send: Any, *, head: bool) -> Callable[[Any], Awaitable[None]]:
    """Return ``send`` for the wrapped application: it keeps the response open if its body was that of a stream, which is served then."""
    is_stream = False

    async def send_on(message: Any) -> None:
        nonlocal is_stream
        if message["type"] == "http.response.start":
            is_stream = not head and _is_stream(message["status"], message["headers"])
        elif exchange.stream is not None and not message.get("more_body", False):
            if not is_stream:  # the headers alone are asked for
                exchange.abandon()
            elif not message.get("body"):
                return
            else:
                message = {**message, "more_body": True}
        await send(message)

    return send_on


class _Handler(BaseHandler):
    """Django's request handling without its event loop: every middleware and the view in one thread.

    No public API of Django runs an ASGI request through the synchronous chain: ``get_asgi_application()`` hops between threads at each
    synchronous middleware, and ``get_wsgi_application()`` takes WSGI's environ, in which a view finds no scope. So this is Django's base
    class, with a middleware chain of its own: each middleware is made twice in a process. A test fails if Django changes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware(is_async=False)

    def answer(self, scope: Any, exchange: Exchange) -> Answer:
        """Return status, headers and body; ``None`` for the body of a stream."""
        exchange.joins = True
        set_script_prefix(get_script_prefix(scope))
        try:
            # Not before: a thousand that wait for a thread hold no request.
            request = ASGIRequest(scope, io.BytesIO())
        except UnicodeDecodeError:
            return _render(HttpResponseBadRequest())
        signals.request_started.send(sender=type(self), scope=scope)
        response = self.get_response(request)
        try:
            headers = _encode_headers(response)
            is_stream = request.method == "GET" and _is_stream(response.status_code, headers)
            if is_stream and exchange.choose(getattr(response, "stream", None)):
                return response.status_code, headers, None
            if request.method == "HEAD" or exchange.is_over:
                return response.status_code, headers, b""
            return _render(response)
        finally:
            response.close()


def _header(scope: Any, name: bytes) -> str:
    """Return a header; HTTP/2 may send several ``Cookie``."""
    return "; ".join(value.decode("latin1") for key, value in scope["headers"] if key == name)


def _is_handshake(scope: Any) -> bool:
    """Return whether the request asks for a stream, and a view that is marked as one answers it."""
    # Every reader of event streams sends this header. Other requests go through the wrapped
    # application, and their streams are served as well.
    accept = _header(scope, b"accept").lower()
    if scope["method"] not in ("GET", "HEAD") or CONTENT_TYPE not in accept:
        return False
    try:
        return hasattr(resolve(scope["path"].removeprefix(get_script_prefix(scope))).func, MARK)
    except Resolver404:  # maybe a middleware knows another URLconf: Django's own handler will see
        return False


def _is_stream(status: int, headers: Any) -> bool:
    return status == 200 and any(
        name.lower() == b"content-type" and value.startswith(_ACCEPT) for name, value in headers
    )


def _render(response: Any) -> Answer:
    return response.status_code, _encode_headers(response), b"".join(response)


def _encode_headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    """Return the headers as Django's own handler would send them, cookies included."""
    headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    cookies = [cookie.OutputString().encode("ascii") for cookie in response.cookies.values()]
    return headers + [(b"Set-Cookie", cookie) for cookie in cookies]
