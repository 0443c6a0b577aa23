"""A project's own topic functions are asked fairly, and none of them affects more than its own topic."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import DataError
from django.urls import register_converter

from sse_notify import topics
from sse_notify.access import authorisers
from sse_notify.access.authorisers import Authorisers
from sse_notify.concurrency import threadpool
from sse_notify.exceptions import HandshakeRefused
from sse_notify.topics import Match, find, topic
from tests.support import GUARD

pytestmark = pytest.mark.asyncio

ALICE, BOB, CAROL = (User(pk=pk, username=str(pk)) for pk in (1, 2, 3))


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_registrations", {})


@pytest.fixture
def ask() -> Iterator[Callable[..., Any]]:
    """Ask for a user's topics by name, on as many threads as in a process."""
    pool = ThreadPoolExecutor(threadpool.topics._size())
    asked: list[Authorisers] = []

    async def run(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *args)

    async def ask(user: Any, *names: str, first: bool = True) -> tuple[str, ...]:
        if not asked:
            asked.append(Authorisers(run))
        async with asyncio.timeout(GUARD):
            return await asked[0].allowed(user, [find(name) for name in names], first=first)

    vars(ask)["asked"] = asked
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


async def test_what_a_converter_makes_need_not_be_hashable(ask: Callable[..., Any]) -> None:
    class Words:
        regex = "[a-z-]+"

        def to_python(self, value: str) -> list[str]:
            return value.split("-")

    register_converter(Words, "words_of_a_test")  # type: ignore[arg-type]  # made a list of, which goes into no address

    @topic("tags.<words_of_a_test:words>")
    def can_watch(user: User, words: list[str]) -> bool:
        return "open" in words

    assert await ask(ALICE, "tags.open-now", "tags.shut") == ("tags.open-now",)


class Orders:
    """A converter that looks up what a name means now."""

    regex = "[a-z]+"
    owners: ClassVar[dict[str, Any]] = {}

    def to_python(self, value: str) -> Any:
        owner = self.owners.get(value)
        if owner is None:
            raise ValueError(value)
        if isinstance(owner, Exception):
            raise owner
        return owner


register_converter(Orders, "order_of_a_test")  # type: ignore[arg-type]  # goes into no address


@pytest.mark.parametrize("first", [True, False], ids=["new streams", "rechecks"])
@pytest.mark.parametrize(
    "now",
    [BOB, User(pk=2), None, DataError("cannot be read")],
    ids=["other", "row", "gone", "down"],
)
async def test_what_a_name_means_is_looked_up_at_each_call(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, now: Any, first: bool
) -> None:
    """The owner of an order changed, and the old owner kept what the name had meant at the handshake."""
    owners = {"mine": User(pk=1), "same": User(pk=1)}
    monkeypatch.setattr(Orders, "owners", owners)
    topic("order.<order_of_a_test:owner>")(lambda user, owner: owner.pk == user.pk)
    matches = [find("order.mine"), find("order.same")]
    assert await ask(ALICE, "order.mine", "order.same") == ("order.mine", "order.same")
    owners["same"] = now
    assert await ask.asked[0].allowed(ALICE, matches, first=first) == ("order.mine",)  # type: ignore[attr-defined]
    assert await ask.asked[0].allowed(ALICE, matches[1:], first=first) == ()  # type: ignore[attr-defined]
    owners["same"] = ALICE
    assert await ask.asked[0].allowed(ALICE, matches[1:], first=first) == ("order.same",)  # type: ignore[attr-defined]


async def test_names_that_nothing_knew_do_not_answer_for_each_other(
    ask: Callable[..., Any],
) -> None:
    """The converter failed for a moment, at the handshake alone."""
    matches = [Match("wall"), Match("desk")]
    topic("wall")(lambda user: True)
    await ask(ALICE, "wall")
    assert await ask.asked[0].allowed(ALICE, matches) == ("wall",)  # type: ignore[attr-defined]


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


@pytest.mark.parametrize("first", [True, False], ids=["new streams", "rechecks"])
async def test_one_users_slow_topics_delay_that_user_alone(
    ask: Callable[..., Any], first: bool
) -> None:
    """One user with as many streams as there are turns had everybody else's rechecks wait."""
    ask = partial(ask, first=first)
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


@pytest.mark.parametrize("first", [True, False], ids=["new streams", "rechecks"])
@pytest.mark.parametrize("functions", [1, 3])
@pytest.mark.parametrize(
    "users",
    [[User(pk=pk) for pk in range(10, 20)], [AnonymousUser()]],
    ids=["users", "visitors"],
)
async def test_functions_that_hang_keep_only_their_own_topics_back(
    ask: Callable[..., Any], users: list[Any], functions: int, first: bool
) -> None:
    """Four calls of one function, of users who had left, took every topic from everybody."""
    begun, goes_on = threading.Semaphore(0), threading.Event()

    def hang(user: Any, n: int) -> bool:
        begun.release()
        return goes_on.wait(GUARD)

    for number in range(functions):
        topic(f"hang-{number}.<int:n>", public=True)(partial(hang))
    topic("quick", public=True)(lambda user: True)
    hanging = [
        asyncio.create_task(ask(user, f"hang-{number}.{n}", "quick", first=first))
        for user in users
        for number in range(functions)
        for n in range(5)
    ]
    assert await asyncio.to_thread(begun.acquire, timeout=GUARD)
    for user in (ALICE, users[0], AnonymousUser()):
        for is_new in (True, False):
            assert await ask(user, "quick", first=is_new) == ("quick",)
    assert not any(task.done() for task in hanging)
    for task in hanging[1:]:
        task.cancel()
    await asyncio.wait(hanging[1:])
    assert await ask(ALICE, "quick", first=first) == ("quick",)
    assert len(ask.asked[0]._queues) <= functions * authorisers.TURNS  # type: ignore[attr-defined]
    goes_on.set()
    await hanging[0]


@pytest.mark.parametrize("first", [True, False], ids=["new streams", "rechecks"])
@pytest.mark.parametrize("visitors", [False, True], ids=["users", "visitors"])
async def test_calls_that_hang_for_ever_take_their_function_from_nobody_else(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, visitors: bool, first: bool
) -> None:
    """Two of them, of any two users, took it from all. The spare turns have an end, too: other functions keep their threads."""
    monkeypatch.setattr(authorisers, "HANGING_SECONDS", 0.01)
    most = authorisers.TURNS + authorisers.SPARE_TURNS
    begun, goes_on = threading.Semaphore(0), threading.Event()

    @topic("room.<int:n>", public=True)
    def can_enter(user: Any, n: int) -> bool:
        begun.release()
        return n == 0 or goes_on.wait(GUARD)

    def call(n: int, room: int) -> asyncio.Task[Any]:
        user = AnonymousUser() if visitors else User(pk=100 + n)
        return asyncio.create_task(ask(user, f"room.{room}", first=first))

    async def began() -> None:
        assert await asyncio.to_thread(begun.acquire, timeout=GUARD)

    topic("quick", public=True)(lambda user: True)
    hanging = []
    for n in range(1, most):
        hanging.append(call(n, n))
        await began()
        assert await call(0, 0) == ("room.0",), f"{n} of {most} turns hang"
        await began()
    hanging += [call(most + n, most + n) for n in range(5)]
    await began()
    assert await ask(ALICE, "quick", first=first) == ("quick",)
    assert not begun.acquire(blocking=False)
    goes_on.set()
    assert len(await asyncio.gather(*hanging)) == most + 4
    assert await call(0, 0) == ("room.0",)
    (asked,) = ask.asked  # type: ignore[attr-defined]
    assert (asked._spare._value, asked._queues) == (authorisers.SPARE_TURNS, {})


async def test_who_waits_for_a_turn_is_not_late_while_others_get_theirs(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that a thousand streams ask for at once may take longer, as long as it answers."""
    clock = [1000.0]
    monkeypatch.setattr(authorisers, "monotonic", lambda: clock[0])
    begun, ends = threading.Semaphore(0), [threading.Event() for _ in range(4)]

    @topic("slow")
    def slow(user: User) -> bool:
        begun.release()
        return ends[user.pk].wait(GUARD)

    tasks = [asyncio.create_task(ask(User(pk=pk), "slow")) for pk in range(4)]
    last: Any = None
    for pk in (None, 0):
        for _ in range(2 if pk is None else 1):
            assert await asyncio.to_thread(begun.acquire, timeout=GUARD)
        queues = ask.asked[0]._queues.values()  # type: ignore[attr-defined]
        last = next(call for queue in list(queues)[-1:] for call in queue.calls.values())
        assert last.seconds() == authorisers.ANSWER_SECONDS
        clock[0] += 0.9 * authorisers.ANSWER_SECONDS
        assert last.seconds() > 0
        ends[0].set()
    clock[0] += 0.2 * authorisers.ANSWER_SECONDS
    assert last.seconds() < 0, "nobody gets a turn any more"
    for end in ends:
        end.set()
    assert await asyncio.gather(*tasks) == [("slow",)] * 4


async def test_who_waits_for_a_call_of_ones_own_that_hangs_is_late_whoever_else_gets_a_turn(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(authorisers, "monotonic", lambda: clock[0])
    begun, goes_on = threading.Event(), threading.Event()

    @topic("room.<int:n>")
    def can_enter(user: User, n: int) -> bool:
        begun.set()
        return n == 2 or goes_on.wait(GUARD)

    tasks = [asyncio.create_task(ask(ALICE, f"room.{n}", first=False)) for n in (1, 3)]
    assert await asyncio.to_thread(begun.wait, GUARD)
    (queue,) = ask.asked[0]._queues.values()  # type: ignore[attr-defined]
    (waits,) = queue.calls.values()
    clock[0] += 0.9 * authorisers.ANSWER_SECONDS
    assert await ask(BOB, "room.2", first=False) == ("room.2",)
    assert waits.seconds() > 0
    clock[0] += 0.2 * authorisers.ANSWER_SECONDS
    assert waits.seconds() < 0
    goes_on.set()
    assert await asyncio.gather(*tasks) == [("room.1",), ("room.3",)]


async def test_who_asks_last_says_who_the_user_is_now(ask: Callable[..., Any]) -> None:
    """The call that waits was asked for before the user lost the staff status."""
    goes_on = threading.Event()
    topic("slow")(lambda user: goes_on.wait(GUARD))
    topic("desk")(lambda user: user.is_staff)
    slow = asyncio.create_task(ask(ALICE, "slow"))
    await asyncio.sleep(0)
    before = asyncio.create_task(ask(User(pk=ALICE.pk, is_staff=True), "desk"))
    await asyncio.sleep(0)
    after = asyncio.create_task(ask(User(pk=ALICE.pk, is_staff=False), "desk"))
    await asyncio.sleep(0)
    before.cancel()
    goes_on.set()
    assert (await slow, await after) == (("slow",), ())


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


@pytest.mark.parametrize("first", [True, False], ids=["new streams", "rechecks"])
async def test_visitors_however_many_delay_no_user(ask: Callable[..., Any], first: bool) -> None:
    goes_on, begun, calls = threading.Event(), threading.Event(), []

    @topic("room.<int:n>", public=True)
    def can_enter(user: Any, n: int) -> bool:
        calls.append(user)
        begun.set()
        return goes_on.wait(GUARD)

    rooms = [f"room.{n}" for n in range(40)]
    visitors = asyncio.create_task(ask(AnonymousUser(), *rooms, first=first))
    await asyncio.to_thread(begun.wait, GUARD)
    alice = asyncio.create_task(ask(ALICE, "room.1", first=first))
    for _ in range(10):  # turns of the loop, until the call waits for a thread
        await asyncio.sleep(0)
    goes_on.set()
    assert await alice == ("room.1",)
    assert calls.index(ALICE) <= authorisers.TURNS
    assert len(await visitors) == len(rooms)


async def test_a_function_that_hangs_says_no_to_an_open_stream_and_not_now_to_a_new_one(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A new stream was refused with 403, which clients take for the last word."""
    monkeypatch.setattr(authorisers, "ANSWER_SECONDS", 0.01)
    goes_on = threading.Event()
    topic("hangs")(lambda user: goes_on.wait(GUARD))
    for user in (ALICE, BOB, CAROL):  # the last one waits for a turn
        assert await ask(user, "hangs", first=False) == ()
        assert "hangs" in caplog.text
        caplog.clear()
        with pytest.raises(HandshakeRefused) as caught:
            await ask(user, "hangs")
        assert (caught.value.status, caught.value.code) == (503, "unchecked")
        assert caught.value.retry_after
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
