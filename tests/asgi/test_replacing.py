"""A user at the limit who opens one more page: a page that names itself replaces an older one, which may be a ghost that a proxy keeps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.test import override_settings

from sse_notify import EventStreamResponse, anotify, counters
from sse_notify.access.decisions import Subscriber
from sse_notify.asgi.app import EventStreams
from sse_notify.exceptions import HandshakeRefused
from sse_notify.streaming import limits
from sse_notify.streaming.limits import Admission, admission
from tests.asgi.client import GUARD, Connection, connect, cookies_of, events, until
from tests.asgi.test_handshake import make_user

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]

LIMIT = 3


@pytest.fixture(autouse=True)
def few() -> Iterator[None]:
    """Streams are few, and clients come back soon."""
    conf = {"MAX_STREAMS_PER_USER": LIMIT, "RETRY_MS": [10, 20]}
    with override_settings(SSE_NOTIFY=conf):
        yield
    assert admission.total == 0
    assert not admission._users
    assert not admission._pages


class Pages:
    """The pages of one user."""

    def __init__(self, stack: AsyncExitStack, app: Any, headers: dict[str, str]) -> None:
        self._stack, self._app, self._headers = stack, app, headers

    async def open(self, query: str) -> Connection:
        """Open a stream, and wait for its ``hello`` or its refusal."""
        opened = await self._stack.enter_async_context(
            connect(self._app, query=query, headers=self._headers)
        )
        await opened.until(b"hello" if await begins(opened) else b"error")
        return opened


async def begins(connection: Connection) -> bool:
    """Wait for the head of the answer; return whether it is a stream."""
    await until(lambda: connection.sent or connection.task.done())
    return connection.status == 200


def replaced() -> int:
    """Return how many streams were replaced so far."""
    closed: Any = counters.snapshot()["closed"]
    found: int = closed.get("replaced", 0)
    return found


async def farewell(connection: Connection) -> tuple[str, int | None]:
    """Wait for the end of a stream; return the reason of its ``bye``, and when to come back."""
    _, _, body = await connection.answer()
    name, said, _ = events(body)[-1]
    assert name == "bye"
    return said["reason"], said["retry_after"]


@pytest.fixture
def app() -> EventStreams:
    """The application, where a stream has joined its hub when it says hello."""
    return EventStreams(get_asgi_application())


@pytest_asyncio.fixture
async def pages(app: EventStreams, transactional_db: None) -> AsyncIterator[Pages]:
    """The pages of alice."""
    async with AsyncExitStack() as stack:
        yield Pages(stack, app, await cookies_of(await make_user()))


async def test_a_new_page_replaces_the_oldest_and_disturbs_no_other(pages: Pages) -> None:
    before = replaced()
    first, *others = [await pages.open(f"client=p{number}") for number in range(LIMIT)]
    newest = await pages.open("client=new")
    reason, retry = await farewell(first)
    assert reason == "replaced"
    assert retry in range(10, 21)
    assert replaced() == before + 1
    await asyncio.gather(*(each.until(b"hello") for each in (*others, newest)))
    assert not any(each.task.done() for each in (*others, newest))


async def test_a_page_replaces_its_own_stream_before_any_other(pages: Pages) -> None:
    oldest, mine, other = [await pages.open(f"client={name}") for name in ("a", "b", "c")]
    again = await pages.open("client=b")
    assert await farewell(mine) == ("replaced", None), "whoever reads it has another stream"
    once_more = await pages.open("client=b")
    assert await farewell(again) == ("replaced", None)
    assert not any(each.task.done() for each in (oldest, other, once_more))


async def test_below_the_limit_nothing_is_replaced(pages: Pages) -> None:
    """Some clients of other people may all have the same name."""
    opened = [await pages.open("client=app") for _ in range(LIMIT)]
    assert not any(each.task.done() for each in opened)


@pytest.mark.parametrize("query", ["", "client=", "client=" + "x" * 101])
async def test_a_stream_without_a_name_neither_replaces_nor_is_replaced(
    pages: Pages, query: str
) -> None:
    nameless = [await pages.open(query) for _ in range(LIMIT)]
    assert (await (await pages.open(query)).answer())[2]["error"] == "too_many_streams"
    refused = await pages.open("client=a")
    assert refused.status == 429
    await nameless.pop().leave()
    named = await pages.open("client=a")
    assert (await pages.open(query)).status == 429
    await pages.open("client=b")
    assert (await farewell(named))[0] == "replaced"
    assert not any(each.task.done() for each in nameless)


async def test_another_users_streams_stay(app: EventStreams, pages: Pages) -> None:
    bob = await cookies_of(await make_user("bob"))
    async with connect(app, query="client=p0", headers=bob) as theirs:
        await theirs.until(b"hello")
        opened = [await pages.open(f"client=p{number}") for number in range(LIMIT + 1)]
        assert (await farewell(opened[0]))[0] == "replaced"
        assert not theirs.task.done()


async def test_pages_that_come_back_end_their_fight_with_one_refusal_for_each_in_excess(
    pages: Pages,
) -> None:
    """Each page that is told to leave comes back at once; so often that the fight would show if it had no end."""
    excess, left = 2, 0
    running = {f"p{number}": await pages.open(f"client=p{number}") for number in range(LIMIT)}
    waiting = [f"new{number}" for number in range(excess)]
    refused: list[str] = []
    for _ in range(10 * LIMIT):
        if not waiting:
            break
        name = waiting.pop(0)
        connection = await pages.open(f"client={name}")
        if connection.status == 429:
            refused.append(name)
            continue
        running[name] = connection
        await until(lambda: sum(not each.task.done() for each in running.values()) <= LIMIT)
        for gone in [each for each, stream in running.items() if stream.task.done()]:
            assert (await farewell(running.pop(gone)))[0] == "replaced"
            waiting.append(gone)
            left += 1
    assert (len(refused), len(running), waiting) == (excess, LIMIT, [])
    assert left <= LIMIT + excess, "each page gives way once"
    # It is real excess: whoever is refused stays so until there is room.
    for name in refused:
        assert (await pages.open(f"client={name}")).status == 429
    assert not any(each.task.done() for each in running.values())
    await running.popitem()[1].leave()
    assert (await pages.open(f"client={refused[0]}")).status == 200


async def test_a_real_page_among_ghosts_gives_way_once_and_then_stays(pages: Pages) -> None:
    real = await pages.open("client=real")
    for number in range(LIMIT):
        await pages.open(f"client=ghost{number}")
    assert (await farewell(real))[0] == "replaced"
    real = await pages.open("client=real")
    assert real.status == 200
    for number in range(5 * LIMIT):
        assert (await pages.open(f"client=more{number}")).status == 200
    assert not real.task.done()
    await anotify(await User.objects.aget(username="alice"), "Still there")
    await real.until(b"Still there")


async def test_a_views_own_streams_count_and_are_not_replaced(pages: Pages) -> None:
    user = await User.objects.aget(username="alice")
    answers = [EventStreamResponse(iter(()), user=user) for _ in range(LIMIT - 1)]
    named = await pages.open("client=a")
    await pages.open("client=b")
    assert (await farewell(named))[0] == "replaced"
    assert EventStreamResponse(iter(()), user=user).status_code == 429
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        answer.close()


async def test_the_pages_that_a_process_remembers_are_bounded(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REMEMBERED", 4)
    monkeypatch.setattr(admission, "_replaced", {})
    for number in range(LIMIT + 9):
        await pages.open(f"client=p{number}")
    assert [page for _, page in admission._replaced] == ["p5", "p6", "p7", "p8"]


class Held:
    """A stream for the admission alone: it ends as soon as it is told, in another thread."""

    def __init__(self, counts: Admission, user_id: int, page: str) -> None:
        self.user_id: int | None = user_id
        self.subscriber = Subscriber(user_id=user_id, page=page)
        self._counts = counts
        counts.admit(self)
        counts.enlist(self)

    def end_soon(self, reason: str, retry: int | None) -> None:
        threading.Thread(target=self.close).start()

    def close(self) -> None:
        self._counts.release(self)


class Slow(Held):
    """A stream that takes its time to end."""

    def end_soon(self, reason: str, retry: int | None) -> None:
        pass


async def test_streams_that_take_their_time_to_end_are_as_few_as_the_limit() -> None:
    counts = Admission()
    opened = [Slow(counts, 1, f"p{number}") for number in range(2 * LIMIT)]
    for page in ("new", "p5"):
        with pytest.raises(HandshakeRefused, match="too many"):
            Slow(counts, 1, page)
    other = Slow(counts, 2, "p0")
    opened.pop(0).close()
    opened.append(Slow(counts, 1, "new"))
    assert counts.total == 2 * LIMIT + 1
    for stream in (*opened, other):
        stream.close()
    assert (counts.total, counts._users, counts._pages) == (0, {}, {})


async def test_every_place_comes_back_whatever_threads_do_at_once() -> None:
    counts, refused = Admission(), 0

    def come_and_go(seed: int) -> None:
        nonlocal refused
        dice, mine = Random(seed), list[Held]()
        for _ in range(200):
            page = dice.choice(["", *map(str, range(9))])
            try:
                held = Held(counts, dice.randint(1, 2), page)
            except HandshakeRefused:
                refused += 1
            else:
                assert counts._users[1] <= LIMIT
                if dice.random() < 0.5 and not page:  # what is replaced closes itself
                    mine.append(held)
                elif not page:
                    held.close()
        for held in mine:
            held.close()

    before = {*threading.enumerate()}
    async with asyncio.timeout(GUARD):
        await asyncio.gather(*(asyncio.to_thread(come_and_go, seed) for seed in range(4)))
        await until(lambda: {*threading.enumerate()} <= before | pool())
    for stream in [stream for pages in counts._pages.values() for stream in pages]:
        stream.close()
    assert refused > 0
    assert (counts.total, counts._users, counts._pages) == (0, {}, {})


def pool() -> set[threading.Thread]:
    """Return the new threads that stay: the event loop's own."""
    return {each for each in threading.enumerate() if each.name.startswith("asyncio_")}
