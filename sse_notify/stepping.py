"""Running an awaitable as far as it goes without waiting: most writes to a client are done at once.

An ASGI server's ``send()`` hands the bytes to the socket and returns; only a client that is slow makes it wait. To run it up to there
takes no task, which is most of what an event costs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

A = TypeVar("A")


def step(function: Callable[[A], Awaitable[Any]], argument: A) -> Awaitable[None] | None:
    """Call the asynchronous ``function`` and run it until it is done or has to wait.

    Returns:
        ``None`` if it is done; otherwise what is left, which some task has to await. What it raised is raised there.
    """
    try:
        steps = function(argument).__await__()
        waits_for = next(steps)
    except StopIteration:
        return None
    except Exception as error:  # for the task whose client this is, not for whoever writes to all
        return _Raised(error)
    return _Rest(steps, waits_for)


class _Rest:
    """What is left of an awaitable that waits for something."""

    __slots__ = ("_steps", "_waits_for")

    def __init__(self, steps: Generator[Any, Any, Any], waits_for: Any) -> None:
        self._steps = steps
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            failure: BaseException | None = None
            value = None
            try:
                value = yield waits_for
            except BaseException as error:  # a cancellation, say: it is for what waits
                failure = error
            try:
                waits_for = (
                    self._steps.send(value) if failure is None else self._steps.throw(failure)
                )
            except StopIteration:
                return


class _Raised:
    """An awaitable that raised before it had to wait."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error: Exception | None = error

    def __await__(self) -> Generator[Any, Any, None]:
        if self._error is not None:
            raise self._error
        yield
