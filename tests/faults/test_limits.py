"""The limits on real servers: what is too much is refused in words, and every place comes back, however a client went."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
import redis

from tests.faults.ledger import query
from tests.support import GUARD
from tests.support.servers import ASGI_KINDS, Kind, Server
from tests.support.site import STREAM, Site
from tests.support.sse import RawStream

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MakeSite = Callable[..., Site]

PER_USER, PER_PROCESS = 3, 5


def cookie(site: Site, server: Server, name: str) -> dict[str, str]:
    return {
        "Cookie": "; ".join(f"{key}={value}" for key, value in site.cookies(server, name).items())
    }


def open_one(server: Server, headers: dict[str, str]) -> RawStream:
    """Open a stream and return it when it is served."""
    stream = RawStream(server.url + STREAM, headers=headers)
    status, _ = stream.head()
    assert status == 200
    assert b"event: hello" in stream.block()
    return stream


def refusal(server: Server, headers: dict[str, str]) -> tuple[int, str, int] | None:
    """Return how a further stream is refused: status, code, seconds to wait; ``None`` if it is not."""
    with RawStream(server.url + STREAM, headers=headers) as stream:
        status, got = stream.head()
        if status == 200:
            return None
        assert got["content-type"] == "application/json"
        return status, json.loads(stream.rest())["error"], int(got["retry-after"])


async def until_room(server: Server, headers: dict[str, str], number: int) -> None:
    """Wait until ``number`` more streams are taken at once: a server notices a departure when the network tells it."""
    async with asyncio.timeout(GUARD):
        while True:
            streams = [RawStream(server.url + STREAM, headers=headers) for _ in range(number)]
            try:
                if all([(await asyncio.to_thread(stream.head))[0] == 200 for stream in streams]):
                    return
            finally:
                for stream in streams:
                    stream.close()


@pytest.mark.parametrize("kind", ASGI_KINDS)
async def test_a_limit_is_told_and_every_place_comes_back(make_site: MakeSite, kind: Kind) -> None:
    limits = {"MAX_STREAMS_PER_USER": PER_USER, "MAX_STREAMS": PER_PROCESS}
    site = make_site(env={"SSE_NOTIFY": json.dumps(limits)})
    server = site.serve(kind)
    alice, bob, carol = (cookie(site, server, name) for name in ("alice", "bob", "carol"))
    hers = [open_one(server, alice) for _ in range(PER_USER)]
    assert refusal(server, alice) == (429, "too_many_streams", 5)
    his = [open_one(server, bob) for _ in range(PER_PROCESS - PER_USER)]
    # Full for everybody, whether or not this one has streams.
    assert refusal(server, carol) == (503, "full", 5)
    # Out in good order, out with a crash, and out before the answer was read or even made.
    hers[0].close()
    for stream in hers[1:]:
        stream.reset()
    await until_room(server, alice, PER_USER)
    for number in range(30):
        stream = RawStream(server.url + STREAM, headers=alice)
        stream.reset() if number % 2 else stream.close()
    await until_room(server, alice, PER_USER)
    for stream in his:
        stream.close()
    await until_room(server, bob, PER_USER)
    assert "Traceback" not in server.output()


# A query and further headers, and whether a stream is a fine answer: where nobody looks at what is long, it is no harm.
BOMBS: dict[str, tuple[str, str, bool]] = {
    "a query of 100 KB": ("client=" + "x" * 100_000, "", False),
    "a topic of 60 KB": ("topic=" + "x" * 60_000, "", False),
    "a cursor of 60 KB": ("cursor=" + "9" * 60_000, "", True),
    "900 topics": ("&".join(f"topic=room.{n}" for n in range(900)), "", False),
    "10,000 topics": ("&".join(f"topic={n}" for n in range(10_000)), "", False),
    "5,000 other parameters": ("&".join(f"p{n}=" for n in range(5_000)), "", False),
    "a header of 100 KB": ("", "X-Bomb: " + "x" * 100_000 + "\r\n", True),
    "a cursor header of 60 KB": ("", "Last-Event-ID: " + "9" * 60_000 + "\r\n", True),
    "5,000 headers": ("", "".join(f"X-{n}: x\r\n" for n in range(5_000)), True),
}


async def status_of(server: Server, query: str, headers: str) -> int | None:
    """Return the status of the answer, ``None`` if the server hangs up on what it will not even read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        lines = f"GET {STREAM}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{headers}\r\n"
        async with asyncio.timeout(GUARD):
            writer.write(lines.encode())
            line = await reader.readline()
        return int(line.split()[1]) if line else None
    except ConnectionError:
        return None
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_a_bomb_is_refused_and_the_next_client_is_served(site: Site, kind: Kind) -> None:
    server = site.serve(kind)
    (session,) = cookie(site, server, "alice").values()
    for name, (parameters, headers, may_open) in BOMBS.items():
        status = await status_of(server, parameters, f"Cookie: {session}\r\n{headers}")
        # Refused by the server, by Django, or by the handshake.
        assert status in (None, 400, 403, 413, 414, 431, *((200,) if may_open else ())), name
    async with site.listen(server, "alice") as events:
        await events.next("hello")
    for sign in ("Internal Server Error", "Exception in ASGI", " 500"):
        assert sign not in server.output()


async def test_a_stream_costs_no_connection_to_redis_or_the_database(make_site: MakeSite) -> None:
    site = make_site(
        "postgresql",
        redis=True,
        env={"SSE_NOTIFY": json.dumps({"MAX_STREAMS_PER_USER": 100, "HANDSHAKE_THREADS": 2})},
    )
    assert site.redis_url is not None
    server = site.serve("uvicorn")
    alice = cookie(site, server, "alice")
    with redis.Redis.from_url(site.redis_url) as client:
        streams = [open_one(server, alice)]
        site.send(server, "notify", to="alice", title="Hi")
        assert b"Hi" in streams[0].block()
        before = client.info("clients")["connected_clients"]
        streams += [open_one(server, alice) for _ in range(40)]
        site.send(server, "notify", to="alice", title="To all")
        assert all(b"To all" in stream.block() for stream in streams)
        assert client.info("clients")["connected_clients"] <= before + 1
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ((connections,),) = query(site, count)
    # Two handshake threads, the hub's, and what sent.
    assert connections <= 4
    for stream in streams:
        stream.close()


async def test_publishers_inside_long_transactions_neither_wait_for_each_other_nor_lock_each_other_out(
    make_site: MakeSite,
) -> None:
    """To A and then B, and to B and then A, in two transactions that are open at the same time; they make the log's first rows, too."""
    site = make_site("postgresql")
    printed = site.script(
        """
        import threading
        from django.contrib.auth.models import User
        from django.db import connection, transaction
        from sse_notify import flush, notify
        from sse_notify.log.sequence import get_head
        alice, bob = User.objects.get(username="alice"), User.objects.get(username="bob")
        meet = threading.Barrier(2, timeout=15)

        def work(first, second):
            with transaction.atomic():
                notify(first, "one")
                meet.wait()  # both transactions have written
                notify(second, "two")
                meet.wait()  # and have written again: whoever waited for the other would never get here
            connection.close()

        threads = [threading.Thread(target=work, args=pair) for pair in ((alice, bob), (bob, alice))]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        flush()
        print(get_head())
        """
    )
    assert printed.split() == ["4"]
