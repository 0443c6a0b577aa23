"""Who is connected, and how every hub is: asked of all processes when you call, kept nowhere.

A process without streams does not listen, so it neither answers nor is it listed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from sse_notify import hubs as hubs_here
from sse_notify import log, rollcall

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Seconds beyond the timeout after which a call that hangs is given up.
_GUARD_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HubStatus:
    """One hub, which is one event loop of one process, at one moment."""

    id: str
    """Names the hub for as long as it lives: host, process and a number."""
    host: str
    """The machine's, or container's, name."""
    pid: int
    """The process id on that machine."""
    started: datetime
    """When the process started."""
    at: datetime
    """When it answered, by its own clock."""
    streams: int
    """Open streams."""
    users: int
    """Signed-in users among them, each counted once."""
    anonymous: int
    """Streams of visitors who are not signed in."""
    cursor: int
    """Every event up to here was pushed to the streams."""
    head: int
    """How far the log was numbered just before the hub was asked."""
    draining: bool
    """Whether the process was asked to end."""
    counters: dict[str, int | dict[str, int]]
    """What happened in the process since it started; see :func:`sse_notify.counters.snapshot`."""

    @property
    def process(self) -> str:
        """The process, as ``host:pid``."""
        return f"{self.host}:{self.pid}"

    @property
    def lag(self) -> int:
        """Numbers of the log that the hub has not pushed yet."""
        return max(0, self.head - self.cursor)


@dataclass(frozen=True, kw_only=True, slots=True)
class Presence:
    """Every hub, and every user who is connected to one."""

    hubs: list[HubStatus]
    """By process."""
    users: Counter[str]
    """How many streams each user has, by key as text; signed-in users alone."""
    head: int
    """How far the log was numbered just before."""


def hubs(timeout: float = 1.0) -> list[HubStatus]:
    """Ask every hub of every process how it is.

    Args:
        timeout: seconds that the call takes, while a layer connects processes: who answers later is left out.

    Returns:
        The hubs by process; those of this process alone, and at once, while no layer connects processes or the layer is away.

    Raises:
        ValueError: ``timeout`` is not a positive number.
        django.db.Error: the head of the log cannot be read.
    """
    _check(timeout)
    head = log.head()
    return _hubs(_wait(rollcall.collect(timeout, users=False), timeout), head)


async def ahubs(timeout: float = 1.0) -> list[HubStatus]:  # noqa: ASYNC109  (its meaning is another: who answers later is left out)
    """Do what :func:`hubs` does, from async code."""
    _check(timeout)
    head = await sync_to_async(log.head)()
    return _hubs(await asyncio.wrap_future(rollcall.collect(timeout, users=False)), head)


def connected_users(timeout: float = 1.0) -> set[str]:
    """Return the keys, as text, of all users who have a stream in some process. No query.

    Args:
        timeout: as for :func:`hubs`.

    Raises:
        ValueError: ``timeout`` is not a positive number.
    """
    _check(timeout)
    return set(_users(_wait(rollcall.collect(timeout, users=True), timeout)))


async def aconnected_users(timeout: float = 1.0) -> set[str]:  # noqa: ASYNC109  (as ahubs)
    """Do what :func:`connected_users` does, from async code."""
    _check(timeout)
    return set(_users(await asyncio.wrap_future(rollcall.collect(timeout, users=True))))


def listeners(topic: str) -> int:
    """Return how many streams of this process listen to ``topic`` now: whether work for them is worth doing here. Asks nobody.

    Args:
        topic: the name of a topic.
    """
    return hubs_here.listeners(topic)


def look(timeout: float = 1.0, *, head: int | None = None, everywhere: bool = True) -> Presence:
    """Return what :func:`hubs` and :func:`connected_users` do, with one question.

    Args:
        timeout: as for :func:`hubs`.
        head: how far the log is, if that is known already; no query then.
        everywhere: ``False``: ask the hubs of this process alone, which answer at once.

    Raises:
        ValueError: ``timeout`` is not a positive number.
        django.db.Error: the head of the log cannot be read.
    """
    _check(timeout)
    if head is None:
        head = log.head()
    return _presence(
        _wait(rollcall.collect(timeout, users=True, everywhere=everywhere), timeout), head
    )


async def alook(
    timeout: float = 1.0,  # noqa: ASYNC109  (as ahubs)
    *,
    head: int | None = None,
    everywhere: bool = True,
) -> Presence:
    """Do what :func:`look` does, from async code."""
    _check(timeout)
    if head is None:
        head = await sync_to_async(log.head)()
    return _presence(
        await asyncio.wrap_future(rollcall.collect(timeout, users=True, everywhere=everywhere)),
        head,
    )


def _check(timeout: Any) -> None:
    if (
        isinstance(timeout, bool)
        or not isinstance(timeout, (int, float))
        or not 0 < timeout < float("inf")
    ):
        raise ValueError(f"timeout: a positive number of seconds is needed, not {timeout!r}")


def _wait(answers: Future[list[dict[str, Any]]], timeout: float) -> list[dict[str, Any]]:
    return answers.result(timeout + _GUARD_SECONDS)


def _presence(answers: list[dict[str, Any]], head: int) -> Presence:
    return Presence(hubs=_hubs(answers, head), users=_users(answers), head=head)


def _hubs(answers: list[dict[str, Any]], head: int) -> list[HubStatus]:
    found = [
        HubStatus(
            id=answer["id"],
            host=answer["host"],
            pid=answer["pid"],
            started=datetime.fromtimestamp(answer["started"], UTC),
            at=datetime.fromtimestamp(answer["at"], UTC),
            streams=answer["streams"],
            users=answer["people"],
            anonymous=answer["anonymous"],
            cursor=answer["cursor"],
            head=head,
            draining=answer["draining"],
            counters=answer["counters"],
        )
        for answer in answers
        if "streams" in answer  # not a further part, which names users only
    ]
    return sorted(found, key=lambda hub: (hub.host, hub.pid, hub.id))


def _users(answers: list[dict[str, Any]]) -> Counter[str]:
    users: Counter[str] = Counter()
    for answer in answers:
        users.update(answer.get("users", {}))
    return users
