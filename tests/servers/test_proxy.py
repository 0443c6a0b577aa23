"""The proxy that the fault suite stands on does what it says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support import GUARD
from tests.support.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(4096):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[connection], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=GUARD)


def echoed(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(4096)


def assert_silent(connection: socket.socket) -> None:
    """Nothing comes for a moment."""
    connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(GUARD)


def test_it_carries_bytes_both_ways(echo: int) -> None:
    with Proxy(echo) as proxy, connect(proxy) as client:
        assert echoed(client, b"hello") == b"hello"
        assert (proxy.open, proxy.accepted) == (1, 1)


def test_a_cut_is_a_reset(echo: int) -> None:
    with Proxy(echo) as proxy, connect(proxy) as client:
        echoed(client, b"hello")
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_what_was_stalled_flows_on(echo: int) -> None:
    with Proxy(echo) as proxy, connect(proxy) as client:
        echoed(client, b"hello")
        proxy.stall()
        client.sendall(b"later")
        assert_silent(client)
        proxy.resume()
        assert client.recv(4096) == b"later"


def test_what_falls_into_the_hole_is_gone(echo: int) -> None:
    with Proxy(echo) as proxy, connect(proxy) as client:
        echoed(client, b"hello")
        proxy.blackhole()
        client.sendall(b"gone")
        assert_silent(client)
        assert proxy.swallowed == 4
        proxy.resume()
        assert echoed(client, b"again") == b"again"


def test_it_refuses_and_stops_refusing(echo: int) -> None:
    with Proxy(echo) as proxy:
        proxy.refuse()
        with pytest.raises(ConnectionResetError), connect(proxy) as client:
            client.recv(1)
        proxy.resume()
        with connect(proxy) as client:
            assert echoed(client, b"hello") == b"hello"
