"""A project's own topic functions are asked fairly, and none of them affects more than its own topic."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import DataError

from sse_notify import topics
from sse_notify.access import authorisers
from sse_notify.access.authorisers import Authorisers
from sse_notify.topics import find, topic
from tests.support import GUARD

pytestmark = pytest.mark.asyncio

ALICE, BOB, CAROL = (User(pk=pk, username=str(pk)) for pk in (1, 2, 3))


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_registrations", {})


@pytest.fixture
def ask() -> Iterator[Callable[..., Any]]:
    """Ask for a user's topics by name, on two threads."""
    pool = ThreadPoolExecutor(2)
    asked: list[Authorisers] = []

    async def run(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *args)

    async def ask(user: Any, *names: str) -> tuple[str, ...]:
        if not asked:
            asked.append(Authorisers(run))
        async with asyncio.timeout(GUARD):
            return await asked[0].allowed(user, [find(name) for name in names])

    yield ask
    pool.shutdown()


async def test_names_that_mean_the_same_are_one_call_for_one_user(ask: Callable[..., Any]) -> None:
    calls: list[tuple[int, int]] = []

    @topic("room.<int:n>")
    def can_enter(user: User, n: int) -> bool:
        calls.append((user.pk, n))
        return n == 2

    both = ask(ALICE, "room.2", "room.02", "room.3", "room.002")
    found = await asyncio.gather(both, ask(ALICE, "room.2"), ask(BOB, "room.2"))
    assert list(found) == [("room.2", "room.02", "room.002"), ("room.2",), ("room.2",)]
    assert sorted(calls) == [(1, 2), (1, 3), (2, 2)]


async def test_what_a_converter_makes_need_not_be_hashable(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.urls import register_converter

    class Words:
        regex = "[a-z-]+"

        def to_python(self, value: str) -> list[str]:
            return value.split("-")

    register_converter(Words, "words_of_a_test")  # type: ignore[arg-type]  # made a list of, which goes into no address

    @topic("tags.<words_of_a_test:words>")
    def can_watch(user: User, words: list[str]) -> bool:
        return "open" in words

    assert await ask(ALICE, "tags.open-now", "tags.shut") == ("tags.open-now",)


@pytest.mark.parametrize(
    "error",
    [
        DataError("out of range"),
        ZeroDivisionError(),
        asyncio.CancelledError(),
        TimeoutError(),
        SystemExit(1),
        StopIteration(),
    ],
    ids=repr,
)
async def test_whatever_a_function_raises_refuses_its_topic_and_no_other(
    ask: Callable[..., Any], caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    @topic("bad.<int:n>")
    def failing(user: User, n: int) -> bool:
        raise error

    @topic("bad-too")
    async def failing_too(user: User) -> bool:
        raise error

    topic("good")(lambda user: True)
    names = ("bad.1", "good") if isinstance(error, SystemExit) else ("bad.1", "bad-too", "good")
    assert await ask(ALICE, *names) == ("good",)
    logged = [record.name for record in caplog.records].count("sse_notify")
    assert logged == len(names) - 1


async def test_one_users_slow_topics_delay_that_user_alone(ask: Callable[..., Any]) -> None:
    goes_on = threading.Event()

    @topic("slow.<int:n>")
    def slow(user: User, n: int) -> bool:
        return goes_on.wait(GUARD)

    topic("quick")(lambda user: True)
    slows = [asyncio.create_task(ask(ALICE, f"slow.{n}", f"slow.{n + 1}")) for n in range(5)]
    await asyncio.sleep(0)
    assert await ask(BOB, "quick") == ("quick",)
    assert await ask(AnonymousUser(), "quick") == ()
    assert not any(task.done() for task in slows)
    goes_on.set()
    assert await asyncio.gather(*slows) == [(f"slow.{n}", f"slow.{n + 1}") for n in range(5)]


async def test_visitors_do_not_wait_for_each_others_topics(ask: Callable[..., Any]) -> None:
    goes_on = threading.Event()

    @topic("slow.<int:n>", public=True)
    def slow(user: Any, n: int) -> bool:
        return n > 1 or goes_on.wait(GUARD)

    first = asyncio.create_task(ask(AnonymousUser(), "slow.1"))
    await asyncio.sleep(0)
    assert await ask(AnonymousUser(), "slow.2") == ("slow.2",)
    goes_on.set()
    assert await first == ("slow.1",)


async def test_a_function_that_hangs_counts_as_one_that_says_no(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(authorisers, "ANSWER_SECONDS", 0.01)
    goes_on = threading.Event()
    topic("hangs")(lambda user: goes_on.wait(GUARD))
    assert await ask(ALICE, "hangs") == ()
    assert "hangs" in caplog.text
    goes_on.set()


async def test_what_nobody_waits_for_any_more_is_not_called(ask: Callable[..., Any]) -> None:
    goes_on, calls = threading.Event(), []

    @topic("room.<int:n>")
    def can_enter(user: User, n: int) -> bool:
        calls.append(n)
        return goes_on.wait(GUARD)

    first = asyncio.create_task(ask(ALICE, "room.1"))
    await asyncio.sleep(0)
    gone = asyncio.create_task(ask(ALICE, "room.2", "room.3"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    goes_on.set()
    assert await first == ("room.1",)
    assert await ask(ALICE, "room.4") == ("room.4",)
    assert calls == [1, 4]


async def test_a_call_that_has_begun_does_not_answer_for_a_later_question(
    ask: Callable[..., Any],
) -> None:
    """It may have looked before the change that the question is about."""
    begun, goes_on = threading.Event(), threading.Event()
    answers = [True, False]

    @topic("wall")
    def can_watch(user: User) -> bool:
        answer = answers.pop(0)
        begun.set()
        assert goes_on.wait(GUARD)
        return answer

    before = asyncio.create_task(ask(ALICE, "wall"))
    await asyncio.to_thread(begun.wait, GUARD)
    after = asyncio.create_task(ask(ALICE, "wall"))
    await asyncio.sleep(0)
    goes_on.set()
    assert (await before, await after) == (("wall",), ())
