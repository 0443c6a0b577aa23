"""The clients that other tests read streams with tell what came, what did not, and how it ended."""

from __future__ import annotations

from collections.abc import Callable

import h11
import httpx
import pytest

from tests.support.servers import Server
from tests.support.sse import RawStream, StreamEnded, listen

PEER = "tests.support.peer:app"


@pytest.fixture
def url(asgi_server: Callable[..., Server]) -> str:
    """The address of a server that misbehaves on demand."""
    return asgi_server(PEER).url


@pytest.mark.asyncio
async def test_a_client_takes_what_it_wants_and_keeps_what_it_skipped(url: str) -> None:
    async with listen(url + "/count") as events:
        assert (await events.next(lambda event: event.data == "1")).id == "1"
        assert [event.data for event in await events.rest()] == ["2"]
        assert [event.data for event in events.seen] == ["0", "1", "2"]
        with pytest.raises(StreamEnded, match="number 2"):
            await events.next()


@pytest.mark.asyncio
async def test_a_wait_for_what_never_comes_is_a_failure_that_tells_what_came(url: str) -> None:
    async with listen(url + "/silent") as events:
        with pytest.raises(TimeoutError, match=r"no hello within .*; came: number 0"):
            await events.next("hello", guard=0.2)


@pytest.mark.asyncio
async def test_a_connection_that_breaks_ends_the_stream_without_the_half_event(url: str) -> None:
    async with listen(url + "/cut") as events:
        assert (await events.next()).data == "0"
        with pytest.raises(StreamEnded, match="cut"):
            await events.next()
        assert len(events.seen) == 1


@pytest.mark.asyncio
async def test_a_refusal_is_raised_with_its_status(url: str) -> None:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        async with listen(url + "/refuse"):
            pass
    assert caught.value.response.status_code == 503


def test_the_raw_client_shows_head_and_bytes(url: str) -> None:
    with RawStream(url + "/count?x=1") as stream:
        status, headers = stream.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert stream.block() == b"event: number\ndata: 0\nid: 0\n\n"
        assert (
            stream.rest() == b"event: number\ndata: 1\nid: 1\n\nevent: number\ndata: 2\nid: 2\n\n"
        )
        assert stream.block() == b""


def test_the_raw_client_notices_a_cut(url: str) -> None:
    stream = RawStream(url + "/cut")
    stream.head()
    stream.block()
    with pytest.raises(h11.RemoteProtocolError):
        stream.block()
    stream.reset()
