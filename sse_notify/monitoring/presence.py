"""Who is connected, and how every process is.

Which users are connected is asked of all processes over the channel layer, as it is wanted exactly
and now. Everything else is read from the rows that the processes write, see
:mod:`sse_notify.monitoring.heartbeat`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import Future
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async

from sse_notify.bus import subscriber
from sse_notify.concurrency.threadpool import twin
from sse_notify.log.sequence import get_head
from sse_notify.monitoring import heartbeat
from sse_notify.monitoring.heartbeat import HubStatus
from sse_notify.streaming import registry as hubs_here
from sse_notify.streaming.registry import listeners

__all__ = ["HubStatus", "Presence", "connected_users", "hubs", "listeners", "look"]
__all__ += ["aconnected_users", "ahubs", "alook"]


class Presence(NamedTuple):
    """Every process that has streams, and every user who is connected to one."""

    hubs: list[HubStatus]
    """By process."""
    users: Counter[str]
    """How many streams each signed-in user has, by key as text."""
    head: int
    """How far the log was numbered just before."""


def hubs(timeout: float = 1.0) -> list[HubStatus]:
    """Return the status of every process that has open streams: two queries.

    The figures of other processes are at most about 10 seconds old.

    Args:
        timeout: checked, and not used any more: nobody is asked.

    Raises:
        ValueError: ``timeout`` is not a positive number.
        django.db.Error: the database cannot be read.
    """
    _check(timeout)
    return heartbeat.read(get_head())


ahubs = twin(hubs)


def connected_users(timeout: float = 1.0) -> set[str]:
    """Return the keys, as text, of all users who have a stream in some process. No query.

    Args:
        timeout: seconds that the call takes while a layer connects processes. A process that
            answers later is left out. Without a layer, or while it is away, the users of this
            process are returned, at once.

    Raises:
        ValueError: ``timeout`` is not a positive number.
    """
    return set(_users(_ask(timeout).result()))


async def aconnected_users(timeout: float = 1.0) -> set[str]:
    """Do what :func:`connected_users` does, from async code."""
    answers = await asyncio.wrap_future(_ask(timeout))
    return set(_users(answers))


def look(timeout: float = 1.0, *, head: int | None = None, everywhere: bool = True) -> Presence:
    """Return what :func:`hubs` and :func:`connected_users` do.

    Args:
        timeout: as for :func:`connected_users`.
        head: how far the log is, if that is known already; saves a query.
        everywhere: ``False``: about this process alone, at once and without another query.

    Raises:
        ValueError: ``timeout`` is not a positive number.
        django.db.Error: the database cannot be read.
    """
    answers = _ask(timeout, everywhere=everywhere).result()
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
    """Return what :func:`look` does, given the answers of the other processes."""
    head = get_head() if head is None else head
    found = heartbeat.read(head, everywhere=everywhere)
    return Presence(hubs=found, users=_users(answers), head=head)


def _check(timeout: Any) -> None:
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not is_number or not 0 < timeout < float("inf"):
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}.")


def _ask(timeout: float, *, everywhere: bool = True) -> Future[list[dict[str, int]]]:
    _check(timeout)
    return subscriber.ask(timeout if everywhere else 0)


def _users(answers: list[dict[str, int]]) -> Counter[str]:
    here = [hub.users() for hub in hubs_here.with_streams()]
    return sum((Counter(users) for users in [*here, *answers]), Counter())
