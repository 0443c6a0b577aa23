"""Connected users, and the status of every process.

Connected users must be exact and current, so all processes are asked for them over the channel
layer. Everything else comes from the rows that the processes write, see
:mod:`sse_notify.monitoring.processes`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import Future
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async

from sse_notify.bus import queries
from sse_notify.bus.publisher import START_SECONDS
from sse_notify.concurrency.threadpool import twin
from sse_notify.log.sequence import get_head
from sse_notify.monitoring import processes
from sse_notify.monitoring.processes import HubStatus
from sse_notify.sse.format import shown
from sse_notify.streaming import registry as hubs_here
from sse_notify.streaming.registry import listeners

__all__ = ["HubStatus", "Presence", "connected_users", "hubs", "listeners", "look"]
__all__ += ["aconnected_users", "ahubs", "alook"]

#: The longest timeout.
MOST_SECONDS = 86_400


class Presence(NamedTuple):
    """Every process with streams, and every connected user."""

    hubs: list[HubStatus]
    """The status of each process."""
    users: Counter[str]
    """The number of streams per signed-in user, by key as text."""
    head: int
    """The log's newest number, read just before."""


def hubs(timeout: float = 1.0) -> list[HubStatus]:
    """Return the status of every process that has open streams, with two queries.

    The figures of other processes are at most about 10 seconds old.

    Args:
        timeout: validated, but not used any more, as no process is asked.

    Raises:
        ValueError: ``timeout`` is not a positive number up to 86,400.
        django.db.Error: the database cannot be read.
    """
    _check(timeout)
    return processes.read(get_head())


ahubs = twin(hubs)


def connected_users(timeout: float = 1.0) -> set[str]:
    """Return the keys, as text, of all users who have a stream in any process. No query.

    Args:
        timeout: seconds that the call takes if a channel layer connects the processes. Later
            answers are ignored. Without a channel layer, or while it is down, this returns the
            users of this process immediately.

    Raises:
        ValueError: ``timeout`` is not a positive number up to 86,400.
    """
    return set(_users(_answers(timeout)))


async def aconnected_users(timeout: float = 1.0) -> set[str]:
    """Do what :func:`connected_users` does, from async code."""
    answers = await asyncio.wrap_future(_ask(timeout))
    return set(_users(answers))


def look(timeout: float = 1.0, *, head: int | None = None, everywhere: bool = True) -> Presence:
    """Return the results of :func:`hubs` and :func:`connected_users`.

    Args:
        timeout: as for :func:`connected_users`.
        head: the log's newest number, if it is known; saves a query.
        everywhere: ``False``: only this process, immediately and without another query.

    Raises:
        ValueError: ``timeout`` is not a positive number up to 86,400.
        django.db.Error: the database cannot be read.
    """
    answers = _answers(timeout, everywhere=everywhere)
    return combine(answers, head, everywhere=everywhere)


async def alook(
    timeout: float = 1.0, *, head: int | None = None, everywhere: bool = True
) -> Presence:
    """Do what :func:`look` does, from async code."""
    answers = await asyncio.wrap_future(_ask(timeout, everywhere=everywhere))
    return await sync_to_async(combine)(answers, head, everywhere=everywhere)


def combine(
    answers: list[dict[str, int]], head: int | None = None, *, everywhere: bool = True
) -> Presence:
    """Return every process with streams, and all users: of this process and of ``answers``.

    Args:
        answers: the number of streams by user of each other process.
        head, everywhere: as for :func:`look`.
    """
    head = get_head() if head is None else head
    found = processes.read(head, everywhere=everywhere)
    return Presence(hubs=found, users=_users(answers), head=head)


def _check(timeout: Any) -> None:
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not is_number or not 0 < timeout <= MOST_SECONDS:
        text = f"a positive number of seconds up to {MOST_SECONDS}"
        raise ValueError(f"timeout must be {text}, not {shown(timeout)}.")


def _ask(timeout: float, *, everywhere: bool = True) -> Future[list[dict[str, int]]]:
    _check(timeout)
    return queries.ask(timeout if everywhere else 0)


def _answers(timeout: float, *, everywhere: bool = True) -> list[dict[str, int]]:
    asked = _ask(timeout, everywhere=everywhere)
    return asked.result(timeout + START_SECONDS)  # gevent needs a timeout, see START_SECONDS


def _users(answers: list[dict[str, int]]) -> Counter[str]:
    here = [hub.users() for hub in hubs_here.with_streams()]
    return sum((Counter(users) for users in [*here, *answers]), Counter())
