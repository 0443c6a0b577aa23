"""A run as projects have them: started, read and stopped at one address, and started again after its process has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from sse_notify.contrib.runs import Run, run_interrupted


async def words(begin: int, count: int, pause: float, size: int = 0) -> AsyncIterator[Any]:
    """Yield numbered words, with ``size`` more bytes each."""
    for number in range(begin, count + 1):
        yield {"word": number, "more": "x" * size} if size else {"word": number}
        await asyncio.sleep(pause)


def words_in_thread(begin: int, count: int, pause: float, size: int = 0) -> Iterator[Any]:
    """Yield the same without a loop."""
    for number in range(begin, count + 1):
        yield {"word": number}
        time.sleep(pause)


@csrf_exempt
def run(request: HttpRequest, key: str) -> HttpResponseBase:
    """Start a run of ``words``, with ``pause`` seconds between them, and the options of the query; read it; stop it."""
    if request.method == "DELETE":
        return HttpResponse("stopped" if Run.stop(request.user, key) else "none")
    if request.method == "GET":
        return Run.response_for(request, key)
    count, pause = int(request.GET["words"]), float(request.GET.get("pause", "0"))
    make = words_in_thread if "thread" in request.GET else words
    options: dict[str, Any] = {"replace": "replace" in request.GET}
    for name in ("stalls_after", "max_seconds"):
        if name in request.GET:
            options[name] = float(request.GET[name])
    started = Run.start(
        make(1, count, pause, int(request.GET.get("size", "0"))),
        user=request.user,
        key=key,
        **options,
    )
    if "read" in request.GET:
        return started.response()
    return HttpResponse(str(started.pk))


@receiver(run_interrupted)
def go_on(sender: Any, run: Run, **kwargs: Any) -> None:
    """Start what was interrupted again, after what is there so far."""
    if run.key.startswith("again"):
        Run.start(words(len(run.events()) + 1, 10, 0), user=run.user, key=run.key)
