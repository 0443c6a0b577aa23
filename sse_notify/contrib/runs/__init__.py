"""Runs: work with a stream of its own that outlives its client, such as an AI reply.

Add ``"sse_notify.contrib.runs"`` to ``INSTALLED_APPS``, and migrate. Then::

    from sse_notify.contrib.runs import Run

    async def chat(request, pk):
        run = await Run.astart(words(question), user=request.user, key=f"chat:{pk}")
        return run.response()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sse_notify.contrib.runs.feeds import RunEnded as RunEnded
    from sse_notify.contrib.runs.feeds import RunExists as RunExists
    from sse_notify.contrib.runs.models import Run as Run
    from sse_notify.contrib.runs.signals import run_ended as run_ended
    from sse_notify.contrib.runs.signals import run_interrupted as run_interrupted
    from sse_notify.contrib.runs.states import State as State

__all__ = ["Run", "RunEnded", "RunExists", "State", "run_ended", "run_interrupted"]

_WHERE = {
    "Run": "models",
    "RunEnded": "feeds",
    "RunExists": "feeds",
    "State": "states",
    "run_ended": "signals",
    "run_interrupted": "signals",
}


def __getattr__(name: str) -> Any:
    # Lazily: Django imports this package before it allows models.
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
