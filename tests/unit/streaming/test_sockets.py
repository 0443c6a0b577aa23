"""Finding the connection behind a server's ``send``, and leaving alone what is not understood."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from sse_notify.asgi import exchange

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no TCP_USER_TIMEOUT"
)


@pytest.fixture
def accepted() -> Iterator[socket.socket]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as connection,
    ):
        yield connection


def timeout_of(connection: socket.socket) -> int:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


class Cycle:
    """As uvicorn's: the bound ``send`` of something with a transport."""

    def __init__(self, connection: Any) -> None:
        self.transport = SimpleNamespace(get_extra_info={"socket": connection}.get)

    async def send(self, message: Any) -> None:
        """Nothing is sent here."""


async def handle_reply(protocol: Any, message: Any) -> None:
    """As daphne's: a function that is bound to the request."""


def test_the_connection_is_changed_and_changed_back(accepted: socket.socket) -> None:
    request = SimpleNamespace(
        channel=SimpleNamespace(transport=SimpleNamespace(getHandle=lambda: accepted))
    )
    for send in (Cycle(accepted).send, partial(handle_reply, request)):
        assert exchange.give_up_after(30.0, send)
        assert timeout_of(accepted) == 30_000
        assert exchange.give_up_after(0, send)
        assert timeout_of(accepted) == 0


def test_what_is_not_understood_is_left_alone(accepted: socket.socket) -> None:
    async def wrapped(message: Any) -> None:
        """A middleware's."""

    near, far = socket.socketpair()
    with near, far:
        for send in (
            wrapped,
            partial(handle_reply, object()),
            Cycle(None).send,
            Cycle(near).send,
            None,
        ):
            assert not exchange.give_up_after(30.0, send)
    accepted.close()
    assert not exchange.give_up_after(0, Cycle(accepted).send), "it was closed meanwhile"
